"""The head of the changefeed, as a bulk conversion reads it while leads are sent."""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

from airflow_provider_leadconv.api.client import LeadConversionsClient
from airflow_provider_leadconv.api.config import ClientConfig
from airflow_provider_leadconv.api.models import LeadConversion
from airflow_provider_leadconv.api.queries import ListQuery
from airflow_provider_leadconv.changefeed import ChangefeedReader, OverlapWindow

_CREATED_AT_SLACK = 60.0
"""Seconds by which ``created_at`` may be out of order."""


class ChangefeedHead(NamedTuple):
    """The newest rows of the changefeed.

    :param rows: what was not there at the last reading.
    :param window: the overlap window for the next reading.
    :param read_at: when the reading began, on the client's clock. What was visible then is in it.
    """

    rows: list[LeadConversion]
    window: OverlapWindow
    read_at: float


def read_head(client: LeadConversionsClient, window: OverlapWindow) -> ChangefeedHead:
    """Read from the newest conversion down to the low watermark of the last reading.

    :raises LeadConversionError: if it could not be read completely.
    """
    read_at = client.clock()
    reader = new_reader(client.config, window)
    rows: list[LeadConversion] = []
    for page in client.list_pages(ListQuery()):
        rows += reader.take(page)
        if reader.finished:
            break
    return ChangefeedHead(rows, reader.window(), read_at)


def new_reader(config: ClientConfig, window: OverlapWindow) -> ChangefeedReader:
    """Make a reader whose overlap window covers the time that a conversion may take to become visible.

    It is not longer than that: at ten conversions a second, each minute of it costs three requests a reading.
    """
    seconds = config.timeout + config.settle_time + _CREATED_AT_SLACK
    return ChangefeedReader(window, overlap_time=timedelta(seconds=seconds))
