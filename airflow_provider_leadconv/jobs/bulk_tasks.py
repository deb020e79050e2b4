"""What a worker of a bulk conversion does: one lead, or one look at the head of the log."""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

from airflow_provider_leadconv.api.client import LeadConversionsClient
from airflow_provider_leadconv.api.config import ClientConfig
from airflow_provider_leadconv.api.converting import is_about_one_lead, look_up
from airflow_provider_leadconv.api.errors import (
    InvalidRequestError,
    LeadConversionError,
    PermissionDeniedError,
    UnknownOutcomeError,
)
from airflow_provider_leadconv.api.records import ConversionRequest, LeadConversion
from airflow_provider_leadconv.api.wire import ListQuery
from airflow_provider_leadconv.jobs.feed import LogReader, Window

_CREATED_AT_SLACK = 60.0
"""Seconds by which ``created_at`` may be out of order."""


class Attempt(NamedTuple):
    """A lead that is converted.

    :param answered: whether a POST was answered with the conversion; else a look-up found it.
    """

    conversion: LeadConversion
    answered: bool


class Head(NamedTuple):
    """The head of the log.

    :param rows: what was not there at the last look.
    :param window: what the next look has to know.
    :param read_at: when the look began, on the client's clock. What was visible then is in it.
    """

    rows: list[LeadConversion]
    window: Window
    read_at: float


def attempt(client: LeadConversionsClient, lead: ConversionRequest, *, look_first: bool) -> Attempt:
    """Convert a lead. A refusal may mean that it is converted already, so that is decided by looking.

    :param look_first: for a lead that an earlier request may have converted.
    :raises UnknownOutcomeError: if nobody knows whether the lead is converted now.
    :raises LeadConversionError: of the class that says what to do about it.
    """
    if look_first and (found := look_up(client, lead.lead_id)):
        return Attempt(found, answered=False)
    try:
        return Attempt(client.post(lead), answered=True)
    except (InvalidRequestError, PermissionDeniedError) as refused:
        if not is_about_one_lead(refused) or not (found := _look_up_refused(client, lead, refused)):
            raise
        return Attempt(found, answered=False)


def _look_up_refused(
    client: LeadConversionsClient, lead: ConversionRequest, refused: LeadConversionError
) -> LeadConversion | None:
    try:
        return look_up(client, lead.lead_id)
    except LeadConversionError as error:
        doubt = UnknownOutcomeError(f"refused ({refused.message}), and then not to be looked up: {error.message}")
        raise doubt from error


def read_head(client: LeadConversionsClient, window: Window) -> Head:
    """Read the log from the newest conversion down to the floor of the last look's window.

    :raises LeadConversionError: if it could not be read whole.
    """
    read_at = client.clock()
    reader = log_reader(client.config, window)
    rows: list[LeadConversion] = []
    for page in client.list_pages(ListQuery()):
        rows += reader.take(page)
        if reader.finished:
            break
    return Head(rows, reader.window(), read_at)


def log_reader(config: ClientConfig, window: Window) -> LogReader:
    """:return: a reader whose window is as long as a conversion may take to become visible, but not longer: at ten
    conversions a second, each minute of it is three requests at every look.
    """
    seconds = config.timeout + config.settle_time + _CREATED_AT_SLACK
    return LogReader(window, window_time=timedelta(seconds=seconds))
