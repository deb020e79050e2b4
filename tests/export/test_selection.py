"""Which conversions an export takes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import time_machine

from airflow_provider_leadconv.api.exceptions import InvalidRequestError, InvalidResponseError
from airflow_provider_leadconv.api.models import LeadConversion
from airflow_provider_leadconv.export.selection import SLACK, VISIBLE_AFTER, as_time, wait_for_late_conversions
from tests.support.endpoint import EPOCH, Endpoint
from tests.support.exports import selection

START, END = EPOCH, EPOCH + timedelta(days=1)


def row(moment):
    text = moment.isoformat() if isinstance(moment, datetime) else moment
    return LeadConversion(id=7, lead_id=1, created_at_raw=text)


def test_without_a_time_window_every_row_is_selected_readable_or_not():
    rows = [row("soon"), row(START)]
    chosen = selection(creator_id=2)
    assert (chosen.has_time_range, chosen.select(rows), chosen.ends_above(rows)) == (False, rows, False)


@pytest.mark.parametrize(
    ("window", "selected"),
    [
        ({"created_from": START, "created_until": END}, [False, True, True, False]),
        ({"created_from": START}, [False, True, True, True]),
        ({"created_until": END}, [True, True, True, False]),
    ],
)
def test_the_start_is_in_the_window_and_the_end_is_not(window, selected):
    second = timedelta(seconds=1)
    rows = [row(moment) for moment in (START - second, START, END - second, END)]
    chosen = selection(**window)
    assert chosen.has_time_range
    assert chosen.select(rows) == [each for each, is_in in zip(rows, selected, strict=True) if is_in]


def test_a_page_is_behind_if_all_its_rows_are_older_than_the_slack():
    chosen = selection(created_from=START)
    edge, older = row(START - SLACK), row(START - SLACK - timedelta(seconds=1))
    assert chosen.ends_above([older, older])
    assert not chosen.ends_above([older, edge])
    assert not chosen.ends_above([])
    assert not selection(created_until=END).ends_above([older])


@pytest.mark.parametrize("window", [{"created_from": START}, {"created_until": END}])
def test_an_unreadable_time_is_an_error_if_there_is_a_window(window):
    with pytest.raises(InvalidResponseError, match=r"conversion 7 has no readable created_at \('soon'\)"):
        selection(**window).select([row("soon")])


@pytest.mark.parametrize("end", [EPOCH, EPOCH - timedelta(seconds=1)])
def test_an_empty_window_is_refused(end):
    with pytest.raises(InvalidRequestError, match="CronDataIntervalTimetable"):
        selection(created_from=EPOCH, created_until=end)


def test_times_are_read_as_templates_render_them():
    expected = datetime(2026, 11, 23, tzinfo=UTC)
    for value in ("2026-11-23T00:00:00+00:00", "2026-11-23 01:00:00+01:00", "2026-11-23", expected):
        assert as_time(value, "created_from") == expected
    assert as_time(None, "created_from") is None
    for value in ("None", "yesterday", 5):
        with pytest.raises(InvalidRequestError, match="created_from must be a time such as"):
            as_time(value, "created_from")


@pytest.mark.parametrize(("early", "waited"), [(120.0, 120.0 + 300.0), (-100.0, 200.0), (-300.0, 0.0)])
def test_the_end_of_the_window_is_waited_for(early, waited):
    assert timedelta(minutes=5) == VISIBLE_AFTER
    client = Endpoint().client()
    with time_machine.travel(END - timedelta(seconds=early), tick=False) as clock:
        sleep = client.sleep
        client.sleep = lambda seconds: (sleep(seconds), clock.shift(seconds))
        wait_for_late_conversions(client, selection(created_until=END))
    assert client.clock() == waited


def test_a_window_without_an_end_is_not_waited_for():
    client = Endpoint().client()
    wait_for_late_conversions(client, selection(created_from=datetime.now(UTC)))
    assert client.clock() == 0.0
