"""An export into a folder: part files, and a manifest that makes them an export.

Parts are published as they are written, but nothing refers to them until the manifest does. The manifest comes last
and in one piece, with the mark for the next incremental run in it. So whoever follows it sees a whole export, and a run
that dies has changed nothing; what it has written, its checkpoint tells the next one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import msgspec

from airflow_provider_leadconv.api.client import LeadConversionsClient
from airflow_provider_leadconv.api.errors import InvalidRequestError
from airflow_provider_leadconv.jobs.export import ExportSummary, RowStream, Stopwatch, write_rows
from airflow_provider_leadconv.jobs.feed import LogReader, Window
from airflow_provider_leadconv.jobs.manifest import (
    CHECKPOINT,
    FORMAT_VERSION,
    MANIFEST,
    PART_DRAFT,
    SCHEMA,
    Checkpoint,
    Manifest,
    Part,
    Settings,
    Verification,
    litter,
    part_name,
    read_checkpoint,
    read_manifest,
    write,
)
from airflow_provider_leadconv.jobs.reading import PageRead, Selection, read, read_below, wait_until_visible
from airflow_provider_leadconv.jobs.storage import ExportConflictError, Folder
from airflow_provider_leadconv.jobs.verification import Comparison, exported_ids
from airflow_provider_leadconv.jobs.writers import FileFormat

log = logging.getLogger(__name__)

ROWS_PER_FILE = 100_000

CHECKPOINT_LIFE = timedelta(days=1)
"""An unfinished run older than this is not gone on with: who exports again wants what the API says now."""


class DatasetOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a folder is exported.

    :param rows_per_file: rows a part, at least 1.
    :param incremental: add what is new since the last manifest, instead of replacing its parts.
    :param full: start an incremental folder over.
    :param verify_complete: walk the listing a second time, and prove that the parts have it all.
    :raises InvalidRequestError: if they contradict each other.
    """

    rows_per_file: int = ROWS_PER_FILE
    incremental: bool = False
    full: bool = False
    verify_complete: bool = False

    def __post_init__(self) -> None:
        if self.rows_per_file < 1:
            raise InvalidRequestError(f"rows_per_file must be at least 1, got {self.rows_per_file}")
        if self.full and not self.incremental:
            raise InvalidRequestError("full=True starts an incremental export over; without incremental every run does")

    @property
    def appends(self) -> bool:
        """Whether the parts of the last manifest stay."""
        return self.incremental and not self.full


def export_dataset(
    client: LeadConversionsClient, selection: Selection, folder: Folder, how: FileFormat, options: DatasetOptions
) -> ExportSummary:
    """Write conversions to part files, newest first in each run, and publish them together.

    :raises InvalidRequestError: if an incremental run has other settings than the one before.
    :raises ExportConflictError: if another run writes to the folder, or has published meanwhile.
    :raises LeadConversionError: of the class that says what to do about it.
    :raises OSError: if a file cannot be written.
    """
    folder.check_writable()
    with folder.locked():
        return _Run(client, selection, folder, how, options).run()


class _Run:
    def __init__(
        self,
        client: LeadConversionsClient,
        selection: Selection,
        folder: Folder,
        how: FileFormat,
        options: DatasetOptions,
    ) -> None:
        self._client = client
        self._selection = selection
        self._folder = folder
        self._how = how
        self._options = options
        self._settings = Settings.of(client, selection, how)
        self._watch = Stopwatch(client)
        self._started = datetime.now(UTC)
        self._requests_before = 0
        self._parts: list[Part] = []
        self._base = read_manifest(folder)
        self._found = folder.names()
        base = self._base.manifest if options.appends else None
        if base is not None:
            base.settings.check_unchanged(self._settings)
        self._kept = base.parts if base is not None else []
        self._last_window = base.window if base is not None else Window()

    def run(self) -> ExportSummary:
        wait_until_visible(self._client, self._selection)
        checkpoint = self._checkpoint()
        window = self._resume(checkpoint) if checkpoint else self._walk()
        verification = None
        if self._options.verify_complete:
            window, verification = self._verify()
        # Without anything new, the last manifest is still true; the first run says that there is nothing.
        if self._parts or verification or not (self._options.appends and self._base.manifest):
            self._publish(window, verification)
        self._folder.remove(CHECKPOINT)
        return self._watch.summary(self._parts)

    def _walk(self) -> Window:
        reader = LogReader(self._last_window)
        # Without a settled window, nobody could tell later what has appeared above.
        self._write(read(self._client, self._selection, reader), lambda: reader.window() if reader.is_settled else None)
        return reader.window()

    def _resume(self, checkpoint: Checkpoint) -> Window:
        log.info("Going on below id %d, with %d parts of an earlier run", checkpoint.last_id, len(checkpoint.parts))
        self._parts, self._started = list(checkpoint.parts), checkpoint.started
        self._requests_before = checkpoint.requests
        # What has appeared above since then is to be in the export as well.
        head = LogReader(checkpoint.window)
        self._write(read(self._client, self._selection, head), lambda: None)
        window = head.window()
        self._save(window, checkpoint.last_id, checkpoint.cursor)
        rest = read_below(
            self._client,
            self._selection,
            LogReader(self._last_window),
            below=checkpoint.last_id,
            cursor=checkpoint.cursor,
        )
        self._write(rest, lambda: window)
        return window

    def _verify(self) -> tuple[Window, Verification]:
        started = datetime.now(UTC)
        reader = LogReader()
        comparison = Comparison(exported_ids(self._folder, [*self._kept, *self._parts], self._how))
        parts_before = len(self._parts)
        self._write(comparison.missing(read(self._client, self._selection, reader)), lambda: None)
        added = sum(part.rows for part in self._parts[parts_before:])
        vanished = comparison.vanished
        narrowed = self._settings.filters or self._selection.has_times
        scope = "the listing, narrowed by the filters and times in the settings," if narrowed else "the whole listing"
        statement = (
            f"A second walk over {scope} saw {comparison.listed} conversions. "
            f"All are in the parts, each once; {added} had been missing and were added. "
            f"{len(vanished)} in the parts are no longer listed."
        )
        log.info("%s", statement)
        return reader.window(), Verification(
            started=started,
            finished=datetime.now(UTC),
            listed=comparison.listed,
            added=added,
            vanished=vanished,
            statement=statement,
        )

    def _write(self, pages: Iterator[PageRead], window: Callable[[], Window | None]) -> None:
        """Write what is left of a walk.

        :param window: the head of the log for a checkpoint after each part, or ``None`` for no checkpoint.
        """
        rows = RowStream(pages)
        while rows.any_left():
            with self._folder.draft(PART_DRAFT) as draft:
                facts = write_rows(draft, self._how, rows.take(self._options.rows_per_file))
                cursor = rows.cursor
                name = part_name(len(self._kept) + len(self._parts), facts, self._how)
                self._folder.publish(draft, name)
            self._parts.append(Part(name=name, **msgspec.structs.asdict(facts)))
            if rows.any_left() and (head := window()) is not None:
                self._save(head, facts.min_id or 0, cursor)

    def _checkpoint(self) -> Checkpoint | None:
        """:return: how far a run came that was to do the same as this one."""
        checkpoint = read_checkpoint(self._folder)
        ours = (self._settings, self._base.digest, self._options.appends)
        if checkpoint is None or (checkpoint.settings, checkpoint.base, checkpoint.appends) != ours:
            return None
        is_fresh = datetime.now(UTC) - checkpoint.started < CHECKPOINT_LIFE
        is_whole = {part.name for part in checkpoint.parts} <= set(self._found)
        return checkpoint if is_fresh and is_whole else None

    def _save(self, window: Window, last_id: int, cursor: str | None) -> None:
        checkpoint = Checkpoint(
            format_version=FORMAT_VERSION,
            settings=self._settings,
            base=self._base.digest,
            appends=self._options.appends,
            requests=self._requests_before + self._watch.requests,
            started=self._started,
            parts=self._parts,
            window=window,
            last_id=last_id,
            cursor=cursor,
        )
        write(self._folder, CHECKPOINT, checkpoint)

    def _publish(self, window: Window, verification: Verification | None) -> None:
        parts = [*self._kept, *self._parts]
        total = self._watch.summary(parts)
        manifest = Manifest(
            format_version=FORMAT_VERSION,
            settings=self._settings,
            data_schema=SCHEMA,
            rows=total.rows,
            min_id=total.min_id,
            max_id=total.max_id,
            requests=self._requests_before + self._watch.requests,
            started=self._started,
            finished=datetime.now(UTC),
            parts=parts,
            window=window,
            verification=verification,
        )
        if read_manifest(self._folder).digest != self._base.digest:
            raise ExportConflictError("another run has published to this folder meanwhile; run again")
        write(self._folder, MANIFEST, manifest)
        # Readers may still follow the manifest before: its parts are left to the run after this one.
        before = self._base.manifest.parts if self._base.manifest else []
        self._folder.discard(litter(self._found, [*parts, *before]))
