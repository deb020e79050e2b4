"""A durable marker: may requests of an earlier process still be on their way?

A killed process may have sent conversions just before its end, and the server may still commit them. So a run sets the
marker before its first POST and clears it once every outcome is known. A process that finds it set waits
``timeout + settle_time`` on its own clock before it sends anything. No timestamps are compared between hosts.
"""

from __future__ import annotations

from typing import Protocol

from typing_extensions import override


class SendingMarker(Protocol):
    """A record for a later process: conversions were sent, and not all of them are resolved."""

    def is_set(self) -> bool:
        """Return whether an earlier process may have left requests behind."""
        ...

    def set(self) -> None:
        """Record durably that conversions are about to be sent."""
        ...

    def clear(self) -> None:
        """Record that the outcome of every request is known."""
        ...


class ConstantMarker(SendingMarker):
    """A marker that remembers nothing, for a run that shares nothing with an earlier one.

    :param is_set: whether to wait nevertheless.
    """

    def __init__(self, *, is_set: bool) -> None:
        self._is_set = is_set

    @override
    def is_set(self) -> bool:
        return self._is_set

    @override
    def set(self) -> None:
        pass

    @override
    def clear(self) -> None:
        pass


class AnyMarker(SendingMarker):
    """Several markers as one: set if any of them is."""

    def __init__(self, *markers: SendingMarker) -> None:
        self._markers = markers

    @override
    def is_set(self) -> bool:
        return any(marker.is_set() for marker in self._markers)

    @override
    def set(self) -> None:
        for marker in self._markers:
            marker.set()

    @override
    def clear(self) -> None:
        for marker in self._markers:
            marker.clear()
