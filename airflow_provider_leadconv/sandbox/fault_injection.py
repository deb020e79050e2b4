"""Which faults apply to a request."""

from __future__ import annotations

from random import Random
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

from airflow_provider_leadconv.sandbox.fault_kinds import DelayedVisibility, Visibility
from airflow_provider_leadconv.sandbox.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Iterable


class FaultDecision(NamedTuple):
    """The faults of one request: at most one that changes the response, and when its conversion is visible.

    :param label: names of all of them, joined by ``+``; None for no fault.
    """

    fault: Fault | None
    visibility: Visibility
    label: str | None


class FaultInjector:
    """Decides which faults apply. Safe to use from several threads.

    :param faults: the faults or their texts. The first that applies wins; those that delay visibility are added to it.
    :param seed: decides when a fault with a share below 1 applies.
    """

    def __init__(self, faults: Iterable[Fault | str] = (), *, seed: int = 0) -> None:
        self._rng = Random(seed)  # noqa: S311 - reproducible faults, not secrets
        self._lock = Lock()
        self.faults = tuple(Fault.parse(fault) for fault in faults)

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The active faults. Setting them restarts the count of ``times``."""
        return self._faults

    @faults.setter
    def faults(self, faults: Iterable[Fault | str]) -> None:
        parsed = tuple(Fault.parse(fault) for fault in faults)
        with self._lock:
            self._faults = parsed
            self._left = [fault.times for fault in parsed]

    def decide(self, method: str, *, is_later_page: bool = False) -> FaultDecision:
        """Decide for one request.

        :param method: its HTTP method.
        :param is_later_page: whether it requests a later page of a listing.
        """
        main: Fault | None = None
        visibility = Visibility()
        names = []
        with self._lock:
            for number, fault in enumerate(self._faults):
                delays = isinstance(fault.kind, DelayedVisibility)
                if (main is not None and not delays) or not self._applies(number, method, is_later_page):
                    continue
                names.append(fault.name)
                if delays:
                    visibility = fault.kind.effect(visibility, fault.duration)
                else:
                    main = fault
        return FaultDecision(main, visibility, "+".join(names) or None)

    def _applies(self, number: int, method: str, is_later_page: bool) -> bool:
        fault, left = self._faults[number], self._left[number]
        if method not in ((fault.method,) if fault.method else fault.kind.methods):
            return False
        if left == 0 or (fault.kind.needs_earlier_page and not is_later_page) or self._rng.random() >= fault.share:
            return False
        if left is not None:
            self._left[number] = left - 1
        return True
