"""Which leads of a batch are converted already? Asked before anything is sent; nothing is converted in here."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future
from functools import partial
from itertools import count
from typing import Any

import msgspec

from airflow_provider_leadconv.api.client import LeadConversionsClient
from airflow_provider_leadconv.api.converting import look_up
from airflow_provider_leadconv.api.records import ConversionOutcome
from airflow_provider_leadconv.api.wire import ListQuery
from airflow_provider_leadconv.jobs.bulk_tasks import log_reader
from airflow_provider_leadconv.jobs.bulk_watch import Watch
from airflow_provider_leadconv.jobs.feed import Window
from airflow_provider_leadconv.jobs.ledger import Ledger

Look = Generator[ConversionOutcome, None, Window]


def first_look(client: LeadConversionsClient, ledger: Ledger, watch: Watch, concurrency: int) -> Look:
    """Find the leads that are converted already, and set the start mark.

    Walks the log, 200 conversions a request, for at most as many pages as there are leads, then looks up what is left.

    :return: the window of the log that the next look at its head starts from.
    :raises LeadConversionError: if the API cannot be asked.
    """
    window, lowest = yield from _walk(client, ledger, watch, max_pages=len(ledger.leads))
    if lowest is None:
        return window
    yield from _look_up(client, ledger, watch, concurrency)
    return window if window.floor else msgspec.structs.replace(window, floor=lowest - 1)


def second_look(client: LeadConversionsClient, ledger: Ledger, watch: Watch) -> Look:
    """Find what was converted since a run that had looked at all these leads: read the log down to its start mark.

    :return: the window of the log that the next look at its head starts from.
    :raises LeadConversionError: if the API cannot be asked.
    """
    window, _ = yield from _walk(client, ledger, watch, floor=ledger.start_mark or 0)
    return window


def _walk(
    client: LeadConversionsClient, ledger: Ledger, watch: Watch, *, floor: int = 0, max_pages: int | None = None
) -> Generator[ConversionOutcome, None, tuple[Window, int | None]]:
    """Read the log newest first.

    :return: its window, and the lowest id read if older conversions may be of interest, too.
    """
    reader = log_reader(client.config, Window(floor=floor))
    pages = filter(None, client.list_pages(ListQuery()))  # an empty page is no end, and has no newest conversion
    lowest = 0
    for number in count(1):
        page = watch.result_of(
            partial(next, pages, None),
            partial("Looking which leads are converted already: {} pages read, down to id {}".format, number, lowest),
        )
        if ledger.start_mark is None and not watch.killed:
            ledger.start_mark = page[0].id if page else 0
        if page is None:
            break
        yield from ledger.meet(page)
        reader.take(page)
        lowest = page[-1].id
        if reader.finished:
            break
        if max_pages is not None and (number >= max_pages or not ledger.open):
            return reader.window(), lowest
    return reader.window(), None


def _look_up(
    client: LeadConversionsClient, ledger: Ledger, watch: Watch, concurrency: int
) -> Iterator[ConversionOutcome]:
    left = deque(lead_id for lead_id in ledger.leads if lead_id in ledger.open)
    running: set[Future[Any]] = set()
    while (left or running) and not watch.killed:
        while left and len(running) < concurrency:
            running.add(watch.workers.submit(partial(look_up, client, left.popleft())))
        line = partial("Looking which leads are converted already: {} left to look up".format, len(left))
        if future := watch.next_ended(float("inf"), line):
            running.discard(future)
            if found := future.result():
                yield from ledger.meet([found])
