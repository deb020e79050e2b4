"""State files of an export folder: ``_manifest.json``, and ``_checkpoint.json`` while a run is writing."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec

from airflow_provider_leadconv.api.client import LeadConversionsClient
from airflow_provider_leadconv.api.exceptions import JSON_ERRORS, InvalidRequestError
from airflow_provider_leadconv.api.models import COLUMNS, ID_COLUMNS
from airflow_provider_leadconv.changefeed import OverlapWindow
from airflow_provider_leadconv.export.selection import Selection
from airflow_provider_leadconv.export.summary import FileFacts
from airflow_provider_leadconv.file_formats import FileFormat
from airflow_provider_leadconv.storage.base import DRAFT_SUFFIX, Folder

# Readers of whole folders (Spark, pyarrow) ignore files with a leading underscore.
MANIFEST = "_manifest.json"
CHECKPOINT = "_checkpoint.json"
PART_DRAFT = "part"
FORMAT_VERSION = 1
SCHEMA = {name: "int64" if name in ID_COLUMNS else "timestamp[us, UTC]" for name in COLUMNS}

_DRAFTS = "|".join(map(re.escape, (PART_DRAFT, MANIFEST, CHECKPOINT)))
_PART_NAME = re.compile(r"part-[0-9]{5,}-[0-9a-f]{16}(\.[a-z]+){1,2}")
_EXPORT_FILES = re.compile(rf"{_PART_NAME.pattern}|\.({_DRAFTS}){re.escape(DRAFT_SUFFIX)}")


class Part(FileFacts, frozen=True, kw_only=True):
    """A data file of a folder.

    :param name: file name. It includes a hash of the content, so no run can overwrite a part of another run.
    """

    name: str


class ExportSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings that must not change between incremental runs.

    :param account: name of the Sell account in the connection.
    :param host: base URL of the API.
    :param filters: the filters that are set, by name.
    """

    account: str
    host: str
    file_format: str
    compression: str | None
    filters: dict[str, int]
    created_from: datetime | None
    created_until: datetime | None

    @classmethod
    def from_export(
        cls, client: LeadConversionsClient, selection: Selection, file_format: FileFormat
    ) -> ExportSettings:
        """Return the settings of an export."""
        return cls(
            account=client.config.account,
            host=client.config.base_url,
            file_format=file_format.name,
            compression=file_format.compression,
            filters=selection.query.filters,
            created_from=selection.created_from,
            created_until=selection.created_until,
        )

    def check_unchanged(self, settings: ExportSettings) -> None:
        """Compare the settings of an earlier run with those of this one.

        :param settings: settings of this run.
        :raises InvalidRequestError: if a setting differs; the message names it.
        """
        for name in self.__struct_fields__:
            old, new = getattr(self, name), getattr(settings, name)
            if old != new:
                raise InvalidRequestError(
                    f"{name} is {new!r}, but the folder was written with {old!r}",
                    remedy="Use another folder, or pass full=True to start over.",
                )


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """Result of a second pass over the listing, compared with the parts.

    :param listed: conversions in the listing.
    :param added: conversions that were missing in the parts, and were added.
    :param vanished: ids of conversions in the parts that are no longer listed.
    :param statement: the result as text.
    """

    started: datetime
    finished: datetime
    listed: int
    added: int
    vanished: list[int]
    statement: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The published state of a folder.

    :param data_schema: type of each column of CSV and Parquet; JSONL has every key the API sent.
    :param requests: requests sent by the last run.
    :param window: overlap window for the next incremental run.
    """

    format_version: int
    settings: ExportSettings
    data_schema: dict[str, str] = msgspec.field(name="schema")
    rows: int
    min_id: int | None
    max_id: int | None
    requests: int
    started: datetime
    finished: datetime
    parts: list[Part]
    window: OverlapWindow
    verification: Verification | None = None


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Progress of an unfinished run.

    :param base: hash of the manifest that the run started from; ``None`` if there was none.
    :param appends: whether the run adds to the parts of that manifest, or replaces them.
    :param requests: requests sent so far.
    :param parts: parts written so far.
    :param window: overlap window at the head of the changefeed, as the run read it.
    :param last_id: id of the last row of the last part.
    :param cursor: the cursor that the page with that row was requested with.
    """

    format_version: int
    settings: ExportSettings
    base: str | None
    appends: bool
    requests: int
    started: datetime
    parts: list[Part]
    window: OverlapWindow
    last_id: int
    cursor: str | None


class PublishedManifest(NamedTuple):
    """The manifest of a folder and its SHA-256; both are ``None`` if the folder has no manifest."""

    manifest: Manifest | None
    digest: str | None


_OTHER_FOLDER = "Use another folder."


def read_manifest(folder: Folder) -> PublishedManifest:
    """Return the manifest of a folder, if it has one.

    :raises InvalidRequestError: if this version cannot read the manifest, or it names a file that is no part.
    """
    data = _read(folder, MANIFEST)
    if data is None:
        return PublishedManifest(None, None)
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except JSON_ERRORS as error:
        raise InvalidRequestError(f"{MANIFEST} cannot be read: {error}", remedy=_OTHER_FOLDER) from error
    if manifest.format_version != FORMAT_VERSION:
        raise InvalidRequestError(
            f"{MANIFEST} has format version {manifest.format_version}, not {FORMAT_VERSION}", remedy=_OTHER_FOLDER
        )
    if (foreign := _foreign_name(manifest.parts)) is not None:
        raise InvalidRequestError(f"{MANIFEST} lists {foreign!r:.80}, which is not a part", remedy=_OTHER_FOLDER)
    return PublishedManifest(manifest, hashlib.sha256(data).hexdigest())


def read_checkpoint(folder: Folder) -> Checkpoint | None:
    """Return the checkpoint of a folder, or ``None`` if it has none that this version can read."""
    data = _read(folder, CHECKPOINT)
    try:
        checkpoint = msgspec.json.decode(data, type=Checkpoint) if data is not None else None
    except JSON_ERRORS:
        return None
    if checkpoint is None or checkpoint.format_version != FORMAT_VERSION:
        return None
    return checkpoint if _foreign_name(checkpoint.parts) is None else None


def write_state(folder: Folder, name: str, state: Manifest | Checkpoint) -> None:
    """Publish a manifest or a checkpoint."""
    with folder.draft(name) as draft:
        draft.write(msgspec.json.format(msgspec.json.encode(state), indent=2) + b"\n")
        folder.publish(draft, name)


def part_name(index: int, facts: FileFacts, file_format: FileFormat) -> str:
    """Return the file name of a part, made of its index and a hash of its content."""
    return f"part-{index:05d}-{facts.sha256[:16]}{file_format.suffix}"


def orphaned_files(names: Sequence[str], keep: Sequence[Part]) -> set[str]:
    """Return the files written by exports that are not among the parts to keep."""
    return {name for name in names if _EXPORT_FILES.fullmatch(name)} - {part.name for part in keep}


def _foreign_name(parts: Sequence[Part]) -> str | None:
    """Return a name that no export gives to a part, if there is one: it may lead out of the folder."""
    return next((part.name for part in parts if not _PART_NAME.fullmatch(part.name)), None)


def _read(folder: Folder, name: str) -> bytes | None:
    try:
        with folder.open(name) as file:
            return file.read()
    except FileNotFoundError:
        return None
