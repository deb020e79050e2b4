"""Any schedule of faults, lags, kills and restarts on the simulated clock: at most one conversion a lead, exactly one
result a lead, and the results are true.
"""

from __future__ import annotations

import json
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from airflow_provider_leadconv.api.exceptions import LeadConversionError
from airflow_provider_leadconv.sandbox.faults import Fault
from tests.support.bulk_simulation import Disk, Server, World, convert

TIMEOUT = 10.0
SETTLE = 5.0
UNSETTLED = TIMEOUT + SETTLE

# Within the promise: a conversion is committed before the request's timeout, and visible settle_time later.
FAULTS = st.one_of(
    st.builds(
        Fault,
        name=st.sampled_from(
            [
                "drop_before",
                "drop_after",
                "error_500_after",
                "error_504_html_after",
                "cut_json",
                "error_500",
                "error_503",
                "error_200_bare",
                "html_200",
                "throttle_429",
                "throttle_404",
                "throttle_409",
            ]
        ),
        share=st.floats(0.05, 0.6),
        method=st.just("POST"),
    ),
    st.builds(
        Fault,
        name=st.sampled_from(["error_503", "throttle_429_empty", "drop_before", "empty_page", "short_page"]),
        share=st.floats(0.05, 0.3),
        method=st.just("GET"),
    ),
    st.builds(Fault, name=st.just("late_commit"), share=st.floats(0.05, 0.5), seconds=st.floats(0.0, TIMEOUT - 0.1)),
    st.builds(
        Fault,
        name=st.sampled_from(["late_visible", "lookup_lag"]),
        share=st.floats(0.05, 1.0),
        seconds=st.floats(0.0, SETTLE - 0.6),
    ),
)


class BulkMachine(RuleBasedStateMachine):
    """One batch and one account; processes come and go."""

    @initialize(
        seed=st.integers(0, 2**16),
        leads=st.integers(1, 12),
        conversions=st.sampled_from([0, 3, 250]),
        second=st.sampled_from(["new", "refuse", "not_found", "conflict", "same"]),
    )
    def set_up(self, seed, leads, conversions, second):
        self.world = World()
        self.server = Server(
            self.world, leads=leads, conversions=conversions, seed=seed, second_conversion=second, timeout=TIMEOUT
        )
        store = self.server.store
        self.good = list(store.leads)
        self.bad = [*store.add_leads(2, convertible=False), 7]
        self.before = self.good[: Random(seed).randint(0, 2)]
        for lead in self.before:
            store.add_conversion(lead)
        self.batch = self.good + self.bad
        Random(seed).shuffle(self.batch)
        self.disk = Disk()
        self.runs = 0
        self.finished = False

    @rule(faults=st.lists(FAULTS, max_size=3))
    def change_faults(self, faults):
        self.server.service.injector.faults = faults

    @rule(seconds=st.floats(0.1, 60.0))
    def pass_time(self, seconds):
        self.world.run_until(self.world.now + seconds, lambda: False)

    @rule(kill_after=st.floats(0.0, 90.0), torn=st.booleans())
    @precondition(lambda self: not self.finished)
    def run_and_kill(self, kill_after, torn):
        """:param torn: whether the last result was only half written."""
        run = self.process(kill_after)
        lines = self.disk.journal_bytes.splitlines(keepends=True)
        if torn and run and run.killed and lines and b'"lead_id"' in lines[-1]:
            self.disk.journal_bytes = b"".join(lines[:-1])

    @rule()
    @precondition(lambda self: not self.finished)
    def run_to_the_end(self):
        self.process(None)

    @rule()
    def start_a_new_run(self):
        """With nothing of what the others have left, once the server must be done with their requests."""
        self.world.run_until(self.world.now + UNSETTLED, lambda: False)
        self.disk = Disk()
        self.runs += 1
        self.finished = False

    def process(self, kill_after):
        try:
            self.last = convert(
                self.server,
                self.batch,
                self.disk,
                kill_after=kill_after,
                run=f"run {self.runs}",
                settle_time=SETTLE,
            )
        except LeadConversionError:  # the API could not even be asked
            return None
        summary = self.last.run.summary
        self.finished = not (self.last.killed or summary.unknown or summary.not_attempted)
        if not self.last.killed:
            self.check_results()
        return self.last

    def check_results(self):
        run = self.last
        summary = run.run.summary
        if self.disk.journal_bytes:  # a try that continued, and could not check all leads
            assert summary.unknown or summary.not_attempted
            assert run.run.stopped_by
            self.check_lines(self.journaled())
            return
        assert [line["lead_id"] for line in run.lines] == self.batch
        words = ("converted", "existing", "failed", "unknown", "not_attempted")
        assert {word: getattr(summary, word) for word in words} == {
            word: list(run.statuses.values()).count(word) for word in words
        }
        self.check_lines(run.lines)

    def journaled(self):
        records = map(json.loads, self.disk.journal_bytes.splitlines())
        return [record["line"] for record in records if record["record"] == "result"]

    def check_lines(self, lines):
        conversions = {row.lead_id: row for row in self.server.store.conversions}
        for line in lines:
            lead, result = line["lead_id"], line["status"]
            if result in {"converted", "existing"}:
                assert line["conversion_id"] == conversions[lead].id
                assert line["individual_id"] == conversions[lead].individual_id
            elif result in {"failed", "not_attempted"}:
                assert lead not in conversions, f"{lead} is reported {result} and is converted"
            if lead in self.before:
                assert result != "converted"
            elif self.runs == 0:
                assert result != "existing"

    @invariant()
    def no_lead_is_converted_twice(self):
        if hasattr(self, "server"):
            assert max(self.server.store.conversion_counts.values(), default=0) <= 1

    def teardown(self):
        """Once the faults are over, a last try converts every lead that can be."""
        if not hasattr(self, "server"):
            return
        self.server.service.injector.faults = []
        self.world.run_until(self.world.now + UNSETTLED, lambda: False)
        if not self.finished:
            self.process(None)
        assert self.last.run.summary.unknown == self.last.run.summary.not_attempted == 0
        assert self.last.run.summary.duplicates == 0
        counts = self.server.store.conversion_counts
        assert {lead: counts.get(lead, 0) for lead in self.batch} == {
            lead: int(lead in self.good) for lead in self.batch
        }


BulkMachine.TestCase.settings = settings(
    max_examples=60, stateful_step_count=8, deadline=None, suppress_health_check=list(HealthCheck)
)
TestBulkMachine = BulkMachine.TestCase


@pytest.mark.slow
@settings(max_examples=1500, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32), faults=st.lists(FAULTS, max_size=4), kills=st.lists(st.floats(0, 80), max_size=4))
def test_schedules(seed, faults, kills):
    machine = BulkMachine()
    machine.set_up(seed, 12, 250, ["new", "refuse", "not_found", "conflict", "same"][seed % 5])
    machine.change_faults(faults)
    for number, kill_after in enumerate(kills):
        if not machine.finished:
            machine.run_and_kill(kill_after, seed % 2)
        if (seed >> number) % 3 == 0:
            machine.start_a_new_run()
        machine.no_lead_is_converted_twice()
    if not machine.finished:
        machine.run_to_the_end()
    machine.teardown()
    machine.no_lead_is_converted_twice()
