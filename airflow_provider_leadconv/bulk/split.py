"""A batch of leads cut into files, each for a task of its own."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from math import ceil

import msgspec

from airflow_provider_leadconv.api.exceptions import InvalidRequestError
from airflow_provider_leadconv.api.models import ConversionRequest, ConversionStatus
from airflow_provider_leadconv.storage.base import Folder

log = logging.getLogger(__name__)


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
    :raises InvalidRequestError: if there is a chunk with other leads already.
    """
    size = max(chunk_size, ceil(len(leads) / max_chunks))
    note = {"run": "earlier run", "status": ConversionStatus.UNKNOWN} if has_unknown else {}
    rows = [msgspec.structs.asdict(lead) | note for lead in leads]
    there = set(folder.names())
    names = []
    for number, start in enumerate(range(0, len(leads), size)):
        name = f"chunk-{number:04d}.jsonl"
        content = b"".join(msgspec.json.encode(row) + b"\n" for row in rows[start : start + size])
        if name not in there:
            with folder.draft(name) as draft:
                draft.write(content)
                folder.publish(draft, name)
        elif _read(folder, name) != content:
            raise InvalidRequestError(
                f"{name} already exists with other leads: put {{{{ run_id }}}} into the path of the chunks, "
                "or start a new run if the leads have changed"
            )
        names.append(name)
    log.info("%d leads in %d chunks of up to %d", len(leads), len(names), size)
    return names


def _read(folder: Folder, name: str) -> bytes:
    with folder.open(name) as file:
        return file.read()
