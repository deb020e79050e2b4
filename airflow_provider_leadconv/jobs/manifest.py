"""What an exported folder says of itself: ``_manifest.json``, and ``_checkpoint.json`` while it is being written."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, TypeVar

import msgspec

from airflow_provider_leadconv.api.client import LeadConversionsClient
from airflow_provider_leadconv.api.errors import InvalidRequestError
from airflow_provider_leadconv.jobs.export import FileFacts
from airflow_provider_leadconv.jobs.feed import Window
from airflow_provider_leadconv.jobs.reading import Selection
from airflow_provider_leadconv.jobs.storage import DRAFT_SUFFIX, Folder
from airflow_provider_leadconv.jobs.writers import COLUMNS, ID_COLUMNS, FileFormat

# The underscore keeps readers of whole folders (Spark, pyarrow) from taking them for data.
MANIFEST = "_manifest.json"
CHECKPOINT = "_checkpoint.json"
PART_DRAFT = "part"
FORMAT_VERSION = 1
SCHEMA = {name: "int64" if name in ID_COLUMNS else "timestamp[us, UTC]" for name in COLUMNS}

_DRAFTS = "|".join(map(re.escape, (PART_DRAFT, MANIFEST, CHECKPOINT)))
_OURS = re.compile(rf"part-\d{{5,}}-[0-9a-f]{{16}}\..+|\.({_DRAFTS}){re.escape(DRAFT_SUFFIX)}")
T = TypeVar("T")


class Part(FileFacts, frozen=True, kw_only=True):
    """A data file of a folder.

    :param name: of the file. It tells the content, so that no run can overwrite a part of another.
    """

    name: str


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What must not change from one incremental run to the next.

    :param account: name of the Sell account, as in the connection.
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
    def of(cls, client: LeadConversionsClient, selection: Selection, how: FileFormat) -> Settings:
        """:return: the settings of an export."""
        return cls(
            account=client.config.account,
            host=client.config.base_url,
            file_format=how.file_format,
            compression=how.compression,
            filters=selection.query.filters,
            created_from=selection.created_from,
            created_until=selection.created_until,
        )

    def check_unchanged(self, settings: Settings) -> None:
        """:raises InvalidRequestError: naming what differs."""
        for name in self.__struct_fields__:
            old, new = getattr(self, name), getattr(settings, name)
            if old != new:
                raise InvalidRequestError(
                    f"{name} is {new!r} and was {old!r} when the folder was written; "
                    "use another folder, or start over with full=True"
                )


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """What a second walk over the whole listing found.

    :param listed: conversions it saw.
    :param added: how many of these the first walk had missed; they are in the parts.
    :param vanished: ids of conversions in the parts that are no longer listed.
    :param statement: the result in a sentence.
    """

    started: datetime
    finished: datetime
    listed: int
    added: int
    vanished: list[int]
    statement: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The published state of a folder.

    :param data_schema: column -> type of CSV and Parquet; JSONL has every key the API sent.
    :param requests: sent for the last run.
    :param window: what the next incremental run has to know.
    """

    format_version: int
    settings: Settings
    data_schema: dict[str, str] = msgspec.field(name="schema")
    rows: int
    min_id: int | None
    max_id: int | None
    requests: int
    started: datetime
    finished: datetime
    parts: list[Part]
    window: Window
    verification: Verification | None = None


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """How far an unfinished run has come.

    :param base: hash of the manifest the run started from; ``None`` if there was none.
    :param appends: whether the run adds to the parts of that manifest, or replaces them.
    :param parts: those the run has written.
    :param window: the head of the log as the run saw it.
    :param last_id: the last row of the last part.
    :param cursor: what the page with that row was asked for with.
    """

    format_version: int
    settings: Settings
    base: str | None
    appends: bool
    requests: int
    started: datetime
    parts: list[Part]
    window: Window
    last_id: int
    cursor: str | None


class Published(NamedTuple):
    """A manifest, and the hash that tells it from others."""

    manifest: Manifest | None
    digest: str | None


def read_manifest(folder: Folder) -> Published:
    """:return: the manifest of a folder, if it has one.

    :raises InvalidRequestError: if it is none that this version can read.
    """
    data = _read(folder, MANIFEST)
    if data is None:
        return Published(None, None)
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except msgspec.DecodeError as error:
        raise InvalidRequestError(f"{MANIFEST} cannot be read ({error}); use another folder") from error
    if manifest.format_version != FORMAT_VERSION:
        raise InvalidRequestError(f"{MANIFEST} has format version {manifest.format_version}, not {FORMAT_VERSION}")
    return Published(manifest, hashlib.sha256(data).hexdigest())


def read_checkpoint(folder: Folder) -> Checkpoint | None:
    """:return: the checkpoint of a folder, if it has one that this version can read."""
    data = _read(folder, CHECKPOINT)
    try:
        checkpoint = msgspec.json.decode(data, type=Checkpoint) if data is not None else None
    except msgspec.DecodeError:
        return None
    return checkpoint if checkpoint and checkpoint.format_version == FORMAT_VERSION else None


def write(folder: Folder, name: str, what: Manifest | Checkpoint) -> None:
    """Publish a manifest or a checkpoint."""
    with folder.draft(name) as draft:
        draft.write(msgspec.json.format(msgspec.json.encode(what), indent=2) + b"\n")
        folder.publish(draft, name)


def part_name(index: int, facts: FileFacts, how: FileFormat) -> str:
    """:return: the name of a part: where it stands, and what is in it."""
    return f"part-{index:05d}-{facts.sha256[:16]}{how.suffix}"


def litter(names: Sequence[str], keep: Sequence[Part]) -> set[str]:
    """:return: those files of a folder that exports wrote and nothing refers to."""
    return {name for name in names if _OURS.fullmatch(name)} - {part.name for part in keep}


def _read(folder: Folder, name: str) -> bytes | None:
    try:
        with folder.open(name) as file:
            return file.read()
    except FileNotFoundError:
        return None
