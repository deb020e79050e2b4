"""What is recorded for a later process of the run, and when."""

from __future__ import annotations

import json
import logging

import pytest

from airflow_provider_leadconv.bulk.ledger import Ledger, ResumeState
from airflow_provider_leadconv.bulk.milestones import Milestones, RunObserver
from airflow_provider_leadconv.bulk.sending_marker import ConstantMarker
from airflow_provider_leadconv.bulk.suspension import SuspensionDetector
from airflow_provider_leadconv.bulk.workers import Dispatcher, Workers
from tests.support.bulk_simulation import Disk, Server, World, convert
from tests.support.clock import Clock


@pytest.fixture
def world():
    return World()


def test_the_start_watermark_is_on_record_before_the_first_conversion(world):
    server, disk = Server(world, leads=30, conversions=40_000, latency=(0.2, 0.25)), Disk()
    newest = server.store.conversions[0].id
    written = []
    server.on_request = lambda request: written.append(disk.journal_bytes) if request.method == "POST" else None
    convert(server, server.store.leads, disk)
    assert [json.loads(line) for line in written[0].splitlines()] == [
        {"record": "sending", "run": "run", "start_watermark": newest}
    ]


class Observed(RunObserver):
    def __init__(self):
        self.notes = []

    def start_watermark_known(self, start_watermark):
        self.notes.append(("start watermark", start_watermark))

    def all_checked(self, checks):
        self.notes.append(("all checked", checks))


class RecordedMarker(ConstantMarker):
    def __init__(self, notes):
        super().__init__(is_set=False)
        self.set = lambda: notes.append("set")
        self.clear = lambda: notes.append("clear")


@pytest.mark.parametrize("is_killed", [False, True])
def test_each_milestone_is_recorded_once_and_in_order(is_killed):
    dispatcher = Dispatcher(Workers(0), logging.getLogger(), Clock(), SuspensionDetector())
    observer, ledger = Observed(), Ledger([], ResumeState())
    milestones = Milestones(ledger, dispatcher, RecordedMarker(observer.notes), observer)
    milestones.note_start_watermark()
    assert observer.notes == [], "it is not known yet"
    ledger.start_watermark = 7
    if is_killed:
        dispatcher.kill()
    for _ in range(2):
        milestones.note_sending()
        milestones.note_start_watermark()
        milestones.note_all_checked(3)
    milestones.note_all_resolved()
    assert milestones.is_sending
    expected = ["set", "clear"] if is_killed else [("start watermark", 7), "set", ("all checked", 3), "clear"]
    assert observer.notes == expected
