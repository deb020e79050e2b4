"""Export to a folder of part files and a manifest.

Parts are published as they are written, but only the manifest refers to them. It is published last and atomically, and
includes the overlap window for the next incremental run. So readers of the manifest always see a complete export, and a
killed run changes nothing. Its checkpoint lets the next run continue.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import msgspec

from airflow_provider_leadconv.api.client import LeadConversionsClient
from airflow_provider_leadconv.api.exceptions import InvalidRequestError
from airflow_provider_leadconv.changefeed import ChangefeedReader, OverlapWindow
from airflow_provider_leadconv.export.file import RowStream, write_rows
from airflow_provider_leadconv.export.lock import LockOptions, locked
from airflow_provider_leadconv.export.manifest import (
    CHECKPOINT,
    FORMAT_VERSION,
    MANIFEST,
    PART_DRAFT,
    SCHEMA,
    Checkpoint,
    ExportSettings,
    Manifest,
    Part,
    Verification,
    orphaned_files,
    part_name,
    read_checkpoint,
    read_manifest,
    write_state,
)
from airflow_provider_leadconv.export.pages import PageRead, read_pages, resume_pages, rows_above
from airflow_provider_leadconv.export.selection import Selection, wait_for_late_conversions
from airflow_provider_leadconv.export.summary import ExportSummary, Stopwatch
from airflow_provider_leadconv.export.verification import Comparison, exported_ids, is_intact
from airflow_provider_leadconv.file_formats import FileFormat
from airflow_provider_leadconv.storage.base import ConcurrentRunError, Folder
from airflow_provider_leadconv.table_files import check_installed

log = logging.getLogger(__name__)

ROWS_PER_FILE = 100_000

CHECKPOINT_LIFE = timedelta(days=1)
"""Maximum age of a checkpoint. After an older run, the export starts over to get the current data."""


class FolderOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options of an export to a folder.

    :param rows_per_file: rows per part, at least 1.
    :param incremental: add the conversions that are new since the last manifest, instead of replacing its parts.
    :param full: start an incremental export over.
    :param verify_complete: compare the parts with a second pass over the listing, and add missing rows.
    :raises InvalidRequestError: if the options contradict each other.
    """

    rows_per_file: int = ROWS_PER_FILE
    incremental: bool = False
    full: bool = False
    verify_complete: bool = False

    def __post_init__(self) -> None:
        if self.rows_per_file < 1:
            raise InvalidRequestError(f"rows_per_file must be at least 1, got {self.rows_per_file}")
        if self.full and not self.incremental:
            raise InvalidRequestError("full=True requires incremental=True: without it, every run is a full export")

    @property
    def appends(self) -> bool:
        """Whether the parts of the last manifest are kept."""
        return self.incremental and not self.full


def export_folder(
    client: LeadConversionsClient,
    selection: Selection,
    folder: Folder,
    file_format: FileFormat,
    options: FolderOptions,
    lock: LockOptions = LockOptions(),  # noqa: B008  # immutable
) -> ExportSummary:
    """Export conversions to part files, newest first in each run, and publish them together.

    :param lock: how long to wait for another run that writes to the folder.
    :raises InvalidRequestError: if an incremental run has other settings than the previous one.
    :raises ConcurrentRunError: if another run still writes to the folder after that, or has published during this run.
    :raises LeadConversionError: if the conversions cannot be read.
    :raises OSError: if a file cannot be written.
    :raises ImportError: if the file format needs a library that is not installed.
    """
    check_installed(file_format)
    folder.check_writable()
    with locked(lambda: folder.locked(lock.holder), client, lock):
        return _FolderExport(client, selection, folder, file_format, options).run()


class _FolderExport:
    """One run.

    It writes the parts, either of a new pass or of the rest of an interrupted one, verifies them if requested,
    publishes the manifest, and removes the checkpoint.
    """

    def __init__(
        self,
        client: LeadConversionsClient,
        selection: Selection,
        folder: Folder,
        file_format: FileFormat,
        options: FolderOptions,
    ) -> None:
        self._client = client
        self._selection = selection
        self._folder = folder
        self._file_format = file_format
        self._options = options
        self._settings = ExportSettings.from_export(client, selection, file_format)
        self._stopwatch = Stopwatch(client)
        self._started = datetime.now(UTC)
        self._requests_of_interrupted_run = 0
        self._parts: list[Part] = []
        self._base = read_manifest(folder)
        self._names_at_start = folder.names()
        base = self._base.manifest if options.appends else None
        if base is not None:
            base.settings.check_unchanged(self._settings)
        self._kept_parts = base.parts if base is not None else []
        self._last_window = base.window if base is not None else OverlapWindow()

    def run(self) -> ExportSummary:
        wait_for_late_conversions(self._client, self._selection)
        checkpoint = self._matching_checkpoint()
        window = self._resume(checkpoint) if checkpoint else self._write_all()
        verification = None
        if self._options.verify_complete:
            window, verification = self._verify()
        # If nothing is new, the last manifest is still valid. The first run publishes one even if it has no rows.
        if self._parts or verification or not (self._options.appends and self._base.manifest):
            self._publish_manifest(window, verification)
        self._folder.remove(CHECKPOINT)
        summary = self._stopwatch.summary(self._parts)
        self._log_growth(summary.rows)
        return summary

    def _log_growth(self, new_rows: int) -> None:
        if not self._options.appends:
            return
        rows = sum(part.rows for part in self._kept_parts) + new_rows
        if new_rows:
            log.info("Added %d conversions; the folder has %d rows", new_rows, rows)
        else:
            log.info("Nothing new since id %d; the folder has %d rows", self._last_window.high_watermark, rows)

    def _write_all(self) -> OverlapWindow:
        reader = ChangefeedReader(self._last_window)

        # Without its final window, a later run could not find the rows that have become visible at the head.
        def final_window() -> OverlapWindow | None:
            return reader.window() if reader.window_is_final else None

        self._write_parts(read_pages(self._client, self._selection, reader), checkpoint_window=final_window)
        return reader.window()

    def _resume(self, checkpoint: Checkpoint) -> OverlapWindow:
        log.info(
            "Continuing below id %d after the %d parts of an interrupted run", checkpoint.last_id, len(checkpoint.parts)
        )
        self._parts, self._started = list(checkpoint.parts), checkpoint.started
        self._requests_of_interrupted_run = checkpoint.requests
        # First add the rows above the last one that have become visible since then, then continue below it.
        head = ChangefeedReader(checkpoint.window)
        self._write_parts(rows_above(checkpoint.last_id, read_pages(self._client, self._selection, head)))
        window = head.window()
        self._save_checkpoint(window, checkpoint.last_id, checkpoint.cursor)
        rest = resume_pages(
            self._client,
            self._selection,
            ChangefeedReader(self._last_window),
            below=checkpoint.last_id,
            cursor=checkpoint.cursor,
        )
        self._write_parts(rest, checkpoint_window=lambda: window)
        return window

    def _verify(self) -> tuple[OverlapWindow, Verification]:
        started = datetime.now(UTC)
        reader = ChangefeedReader()
        parts = [*self._kept_parts, *self._parts]
        comparison = Comparison(exported_ids(self._folder, parts, self._file_format))
        log.info("Comparing the %d parts with a second pass over the listing", len(parts))
        parts_before = len(self._parts)
        pages = read_pages(self._client, self._selection, reader, expected=sum(part.rows for part in parts))
        self._write_parts(comparison.missing(pages))
        verification = comparison.verification(
            started=started,
            added=sum(part.rows for part in self._parts[parts_before:]),
            is_narrowed=bool(self._settings.filters) or self._selection.has_time_range,
            counts_checked=self._client.config.check_count,
        )
        log.info("%s", verification.statement)
        return reader.window(), verification

    def _write_parts(
        self, pages: Iterator[PageRead], *, checkpoint_window: Callable[[], OverlapWindow | None] = lambda: None
    ) -> None:
        """Write pages to parts.

        :param checkpoint_window: returns the overlap window for the checkpoint after each part; if it returns ``None``,
            no checkpoint is saved.
        """
        rows = RowStream(pages)
        while rows.any_left():
            with self._folder.draft(PART_DRAFT) as draft:
                facts = write_rows(draft, self._file_format, rows.take(self._options.rows_per_file))
                cursor = rows.cursor
                name = part_name(len(self._kept_parts) + len(self._parts), facts, self._file_format)
                self._folder.publish(draft, name)
            self._parts.append(Part(name=name, **msgspec.structs.asdict(facts)))
            if rows.any_left() and (window := checkpoint_window()) is not None:
                self._save_checkpoint(window, facts.min_id or 0, cursor)

    def _matching_checkpoint(self) -> Checkpoint | None:
        """Return the checkpoint of an interrupted run with the same settings and base, if it can be continued."""
        checkpoint = read_checkpoint(self._folder)
        expected = (self._settings, self._base.digest, self._options.appends)
        if checkpoint is None or (checkpoint.settings, checkpoint.base, checkpoint.appends) != expected:
            return None
        is_fresh = datetime.now(UTC) - checkpoint.started < CHECKPOINT_LIFE
        is_complete = is_fresh and all(is_intact(self._folder, part) for part in checkpoint.parts)
        return checkpoint if is_complete else None

    def _save_checkpoint(self, window: OverlapWindow, last_id: int, cursor: str | None) -> None:
        checkpoint = Checkpoint(
            format_version=FORMAT_VERSION,
            settings=self._settings,
            base=self._base.digest,
            appends=self._options.appends,
            requests=self._requests_of_interrupted_run + self._stopwatch.requests,
            started=self._started,
            parts=self._parts,
            window=window,
            last_id=last_id,
            cursor=cursor,
        )
        write_state(self._folder, CHECKPOINT, checkpoint)

    def _publish_manifest(self, window: OverlapWindow, verification: Verification | None) -> None:
        parts = [*self._kept_parts, *self._parts]
        total = self._stopwatch.summary(parts)
        manifest = Manifest(
            format_version=FORMAT_VERSION,
            settings=self._settings,
            data_schema=SCHEMA,
            rows=total.rows,
            min_id=total.min_id,
            max_id=total.max_id,
            requests=self._requests_of_interrupted_run + self._stopwatch.requests,
            started=self._started,
            finished=datetime.now(UTC),
            parts=parts,
            window=window,
            verification=verification,
        )
        if read_manifest(self._folder).digest != self._base.digest:
            raise ConcurrentRunError(
                "another run has published to the folder during this run, which therefore published nothing. Run the "
                "task again, and let one run at a time write there (max_active_runs=1)"
            )
        write_state(self._folder, MANIFEST, manifest)
        # Readers may still use the previous manifest, so its parts are only removed by the next run.
        previous_parts = self._base.manifest.parts if self._base.manifest else []
        self._folder.discard(orphaned_files(self._names_at_start, [*parts, *previous_parts]))
