"""The simulated clock that all tests share."""

from __future__ import annotations


class Clock:
    """Seconds that only pass when code sleeps, or a test moves them.

    :param now: the time at the start.
    """

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        assert seconds >= 0
        self.now += seconds
