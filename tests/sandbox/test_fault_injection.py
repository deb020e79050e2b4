from __future__ import annotations

from airflow_provider_leadconv.sandbox.fault_injection import FaultInjector
from airflow_provider_leadconv.sandbox.fault_kinds import Visibility


def test_share_and_times_follow_the_seed():
    one, other = (FaultInjector(["error_500:0.3"], seed=3) for _ in range(2))
    names = [one.decide("GET").label for _ in range(1000)]
    assert names == [other.decide("GET").label for _ in range(1000)]
    assert 250 < names.count("error_500") < 350
    limited = FaultInjector(["error_500,times=2", "lookup_lag"])
    assert [limited.decide("POST").label for _ in range(3)] == ["error_500+lookup_lag"] * 2 + ["lookup_lag"]


def test_fault_applies_only_to_its_method_and_page():
    injector = FaultInjector(["error_500,method=POST", "repeat_rows", "late_commit"])
    assert injector.decide("GET").label is None
    assert injector.decide("GET", is_later_page=True).label == "repeat_rows"
    assert injector.decide("POST").label == "error_500"


def test_first_fault_wins_and_delays_of_visibility_are_added():
    injector = FaultInjector(["late_visible,seconds=5", "drop_after", "error_500", "lookup_lag"])
    decision = injector.decide("POST")
    assert decision.label == "late_visible+drop_after+lookup_lag"
    assert decision.fault == injector.faults[1]
    assert decision.visibility == Visibility(visible_after=5.0, lookup_after=2.0)


def test_setting_faults_restarts_their_count():
    injector = FaultInjector(["error_500,times=1"])
    assert [injector.decide("GET").label for _ in range(2)] == ["error_500", None]
    injector.faults = injector.faults
    assert injector.decide("GET").label == "error_500"
