"""What a forked process must not share with its parent: connections, and locks that another thread may have held.

Airflow forks for every task, and a client may have been used before. Two processes that read from one connection get
each other's responses, and a lock that was held during the fork is never released in the child.
"""

from __future__ import annotations

import os
from collections import deque
from queue import Empty, Full
from typing import Any, Protocol
from weakref import WeakSet


class ForkAware(Protocol):
    """Holds connections or locks."""

    def reset_after_fork(self) -> None:
        """Replace them, without touching the old ones. The process has only one thread then."""
        ...


_instances: WeakSet[ForkAware] = WeakSet()


def reset_in_children(instance: ForkAware) -> None:
    """Have an instance reset in every process that is forked from this one, for as long as the instance exists."""
    _instances.add(instance)


def _reset_all() -> None:
    for instance in list(_instances):
        instance.reset_after_fork()


os.register_at_fork(after_in_child=_reset_all)


class ConnectionStack:
    """The part of :class:`queue.LifoQueue` that urllib3 uses, without a lock.

    urllib3 empties the pools of the parent when the child drops them, and would wait for the queue's lock for ever if
    it was held during the fork.

    :param maxsize: connections to keep.
    """

    def __init__(self, maxsize: int) -> None:
        self._maxsize = maxsize
        self._items: deque[Any] = deque()

    def get(self, block: bool = False, timeout: float | None = None) -> Any:  # noqa: ARG002
        """Return what was put last; it never waits, as connections are not limited.

        :raises Empty: if there is nothing.
        """
        try:
            return self._items.pop()
        except IndexError:
            raise Empty from None

    def put(self, item: Any, block: bool = False, timeout: float | None = None) -> None:  # noqa: ARG002
        """Keep a connection.

        :raises Full: if there are enough.
        """
        if len(self._items) >= self._maxsize:
            raise Full
        self._items.append(item)

    def qsize(self) -> int:
        """Return connections kept."""
        return len(self._items)
