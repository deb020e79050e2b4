from __future__ import annotations

from airflow_provider_leadconv.api.at_most_once import ConfirmedConversion
from airflow_provider_leadconv.api.models import ConversionRequest, LeadConversion
from airflow_provider_leadconv.bulk.ledger import Ledger, ResumeState
from airflow_provider_leadconv.bulk.progress_line import ProgressLine, waiting_line
from tests.support.clock import Clock
from tests.support.endpoint import Endpoint
from tests.support.responses import client


def test_a_line_begins_with_percent_and_time_left():
    clock = Clock()
    leads = [ConversionRequest(lead_id) for lead_id in range(1, 11)]
    ledger = Ledger(leads, ResumeState(start_watermark=100, known={1: 101}))
    progress = ProgressLine(client(Endpoint(clock=clock), clock), ledger)
    words = "1 by an earlier attempt, 0 converted, 0 existing, 0 failed, 0 unknown"
    assert str(progress.line(9)) == f"10 %: 1 of 10 leads ({words}, 9 to check); 0.0 leads/s, 0 requests throttled"
    progress.start()
    for lead_id in (2, 3, 4):
        ledger.send(lead_id)
        ledger.converted(ConfirmedConversion(LeadConversion(id=100 + lead_id, lead_id=lead_id), from_response=True))
    clock.now += 6.0
    words = words.replace("0 converted", "3 converted")
    line = f"40 %, 12 s left: 4 of 10 leads ({words}); 0.5 leads/s, 0 requests throttled"
    assert str(progress.line(0)) == line
    clock.now += 60.0
    assert str(progress.line(0)).startswith("40 %, 2 min left: ")


def test_the_line_of_a_wait():
    clock = Clock()
    line = waiting_line("for rain", 60.0, 60.0, clock)
    clock.now += 45.0
    assert line() == "75 %, 15 s left: waiting for rain"
