"""Reading the next item while the last one is worked on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from queue import Empty, Queue
from threading import Event, Thread
from typing import TypeVar

T = TypeVar("T")
_END = object()


class _Raised:
    def __init__(self, error: BaseException) -> None:
        self.error = error


def read_ahead(items: Iterator[T], *, while_waiting: Callable[[], None], interval: float) -> Iterator[T]:
    """Take items in a thread of their own, one ahead of the reader.

    The thread ends with its current item if the reader stops early. It is a daemon, so it holds up no exit.

    :param while_waiting: called in the reader's thread as long as no item comes.
    :param interval: seconds between these calls.
    :raises BaseException: what taking an item raised, after the items before it.
    """
    taken: Queue[object] = Queue(maxsize=1)
    stopped = Event()

    def take() -> None:
        try:
            for item in items:
                taken.put(item)
                if stopped.is_set():
                    return
            taken.put(_END)
        except BaseException as error:  # noqa: BLE001  # raised where it is waited for
            taken.put(_Raised(error))

    Thread(target=take, name="leadconv-read-ahead", daemon=True).start()
    try:
        while (item := _next(taken, while_waiting, interval)) is not _END:
            if isinstance(item, _Raised):
                raise item.error
            yield item  # type: ignore[misc]  # what is neither the end nor an error is one of the items
    finally:
        stopped.set()
        while not taken.empty():  # or the thread would wait for room for ever
            taken.get_nowait()


def _next(taken: Queue[object], while_waiting: Callable[[], None], interval: float) -> object:
    while True:
        try:
            return taken.get(timeout=interval)
        except Empty:
            while_waiting()
