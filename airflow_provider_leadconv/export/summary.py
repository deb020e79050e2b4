"""Summary of an export: rows, bytes, requests and duration."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from airflow_provider_leadconv.api.client import LeadConversionsClient


class FileFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Facts about a file.

    :param rows: number of conversions.
    :param min_id: lowest id; ``None`` if the file is empty.
    :param max_id: highest id; ``None`` if the file is empty.
    :param bytes: size of the file.
    :param sha256: SHA-256 of the file, in hex.
    """

    rows: int
    min_id: int | None
    max_id: int | None
    bytes: int
    sha256: str


class ExportSummary(msgspec.Struct, frozen=True, kw_only=True):
    """Summary of an export.

    :param rows: conversions written.
    :param min_id: lowest id written; ``None`` if no row was written.
    :param max_id: highest id written; ``None`` if no row was written.
    :param bytes: size of the files written.
    :param api_calls: requests sent.
    :param duration_s: duration in seconds.
    """

    rows: int
    min_id: int | None
    max_id: int | None
    bytes: int
    api_calls: int
    duration_s: float


class Stopwatch:
    """Measures the requests and the duration of an export.

    :param client: client of the export; its counters and its clock are used.
    """

    def __init__(self, client: LeadConversionsClient) -> None:
        self._client = client
        self._requests_at_start = client.counters.requests
        self._started = client.clock()

    @property
    def requests(self) -> int:
        """Requests sent since the start."""
        return self._client.counters.requests - self._requests_at_start

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return round(self._client.clock() - self._started, 3)

    def summary(self, files: Sequence[FileFacts]) -> ExportSummary:
        """Return the summary of an export that wrote these files."""
        ids = [(file.min_id, file.max_id) for file in files if file.min_id is not None and file.max_id is not None]
        return ExportSummary(
            rows=sum(file.rows for file in files),
            min_id=min((low for low, _ in ids), default=None),
            max_id=max((high for _, high in ids), default=None),
            bytes=sum(file.bytes for file in files),
            api_calls=self.requests,
            duration_s=self.seconds,
        )
