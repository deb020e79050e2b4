"""The leads of a query, kept for the retries of its run."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from airflow_provider_leadconv.api.models import ConversionRequest
from airflow_provider_leadconv.bulk.inputs.errors import InvalidLeadsError
from airflow_provider_leadconv.storage.base import Folder


class _Head(msgspec.Struct):
    run: str
    query: str


class LeadSnapshot:
    """A file with the leads of a query, beside the results of its run.

    A query that selects what is not converted yet returns fewer leads after the first try, and with a ``LIMIT`` others.
    So a retry takes its leads from this file.

    :param folder: where the file is.
    :param name: its name.
    :param run: identity of the run.
    :param query: the query, as a text that differs if anything about it does.
    """

    def __init__(self, folder: Folder, name: str, *, run: str, query: str) -> None:
        self._folder = folder
        self.name = name
        self._head = _Head(run, query)

    def read(self) -> list[ConversionRequest] | None:
        """Return the leads of an earlier try, or ``None`` if this is the first.

        :raises InvalidLeadsError: if the file is of another run, or of another query.
        """
        if self.name not in self._folder.names():
            return None
        with self._folder.open(self.name) as file:
            head, *lines = file.read().splitlines() or [b""]
        try:
            self._check(msgspec.json.decode(head, type=_Head))
            return [msgspec.json.decode(line, type=ConversionRequest) for line in lines]
        except msgspec.MsgspecError as error:
            raise InvalidLeadsError(f"{self.name} is there and is no snapshot of leads: {error}") from error

    def write(self, leads: Iterable[ConversionRequest]) -> None:
        """Keep the leads for the next try."""
        with self._folder.draft(self.name) as draft:
            draft.writelines(msgspec.json.encode(item) + b"\n" for item in (self._head, *leads))
            self._folder.publish(draft, self.name)

    def remove(self) -> None:
        """Remove the file, since the run is complete."""
        self._folder.remove(self.name)

    def _check(self, head: _Head) -> None:
        if head.run != self._head.run:
            raise InvalidLeadsError(
                f"{self.name} holds the leads of another run ({head.run}): put {{{{ run_id }}}} into results_path"
            )
        if head.query != self._head.query:
            raise InvalidLeadsError(
                f"the query is another one than that of this run's first try, whose leads are in {self.name}: "
                "start a new run for the new query, or restore the old one"
            )
