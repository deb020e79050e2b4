"""A batch of leads cut into files, each for a task of its own."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from math import ceil

import msgspec

from airflow_provider_leadconv.api.exceptions import InvalidRequestError
from airflow_provider_leadconv.api.models import ConversionRequest, ConversionStatus
from airflow_provider_leadconv.storage.base import Folder

log = logging.getLogger(__name__)

_CHUNK = re.compile(r"chunk-\d{4,}\.jsonl")


def write_chunks(
    leads: Sequence[ConversionRequest],
    folder: Folder,
    *,
    chunk_size: int,
    max_chunks: int,
    has_unknown: bool = False,
) -> list[str]:
    """Write each chunk to a file, in input order. A file that is there is never changed: a task may be reading it.

    :param leads: each lead once, so that no two chunks share one.
    :param chunk_size: leads in a chunk; more, if there would be more than ``max_chunks``.
    :param has_unknown: as of :class:`~.inputs.LeadBatch`; a chunk then says so, as a results file does.
    :return: the names of the files.
    :raises InvalidRequestError: if there is a chunk with other leads already, or a chunk too many.
    """
    size = max(chunk_size, ceil(len(leads) / max_chunks))
    note = {"run": "earlier run", "status": ConversionStatus.UNKNOWN} if has_unknown else {}
    chunks = {
        f"chunk-{number:04d}.jsonl": b"".join(_line(lead, note) for lead in leads[start : start + size])
        for number, start in enumerate(range(0, len(leads), size))
    }
    there = {name for name in folder.names() if _CHUNK.fullmatch(name)}
    for name in sorted(there):
        if chunks.get(name) != _read(folder, name):
            raise InvalidRequestError(
                f"{name} already exists with other leads: put {{{{ run_id }}}} into the path of the chunks, "
                "or start a new run if the leads have changed"
            )
    for name, content in chunks.items():
        if name not in there:
            with folder.draft(name) as draft:
                draft.write(content)
                folder.publish(draft, name)
    log.info("%d leads in %d chunks of up to %d", len(leads), len(chunks), size)
    return list(chunks)


def _line(lead: ConversionRequest, note: dict[str, str]) -> bytes:
    return msgspec.json.encode(msgspec.structs.asdict(lead) | note) + b"\n"


def _read(folder: Folder, name: str) -> bytes:
    with folder.open(name) as file:
        return file.read()
