"""Files of a folder, written and read as exports do, and a disk that is full."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def full_disk(room: int = 0) -> Iterator[None]:
    """Have the kernel refuse what would make any file larger, as it does on a full disk.

    :param room: bytes that a file may have.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def put(folder, name, data):
    with folder.draft("x") as draft:
        draft.write(data)
        folder.publish(draft, name)


def content(folder, name):
    with folder.open(name) as file:
        return file.read()
