"""What can go wrong on request: the faults by name, how they are written, and when they strike."""

from __future__ import annotations

from random import Random
from threading import Lock
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

Method = Literal["GET", "POST"]
# instead: in place of the work; after: the work is done, its answer is spoilt;
# page: the listing is spoilt; sight: the conversion is made but not seen for a while.
Stage = Literal["instead", "after", "page", "sight"]

DEFAULT_SECONDS = 2.0


class FaultKind(NamedTuple):
    """A fault by name: what it does, to which methods, whether it lasts, whether it needs an earlier page."""

    meaning: str
    stage: Stage
    methods: tuple[Method, ...] = ("GET", "POST")
    lasts: bool = False
    continues: bool = False


def _page(meaning: str, *, continues: bool = False) -> FaultKind:
    return FaultKind(meaning, "page", ("GET",), continues=continues)


FAULTS: dict[str, FaultKind] = {
    "throttle_429": FaultKind("429 with the documented error", "instead"),
    "throttle_429_empty": FaultKind("429 with an empty body", "instead"),
    "throttle_404": FaultKind("404 incorrect_path whose details name '/429.json'", "instead"),
    "throttle_409": FaultKind("409", "instead"),
    "error_500": FaultKind("500 with the documented error", "instead"),
    "error_500_bare": FaultKind('500 with {"status":500,...}', "instead"),
    "error_200_bare": FaultKind('200 with {"status":500,...}', "instead"),
    "error_500_empty": FaultKind("500 with an empty body", "instead"),
    "error_503": FaultKind("503 with the documented error", "instead"),
    "error_502_html": FaultKind("502 with a gateway's HTML page", "instead"),
    "error_504_html": FaultKind("504 with a gateway's HTML page", "instead"),
    "html_200": FaultKind("200 with an HTML page", "instead"),
    "no_meta_error": FaultKind("400 with JSON that has neither errors nor meta", "instead"),
    "redirect": FaultKind("307 to a foreign host", "instead"),
    "drop_before": FaultKind("connection closed without an answer, nothing done", "instead"),
    "stall": FaultKind("no answer for `seconds`, then closed, nothing done", "instead", lasts=True),
    "late_commit": FaultKind(
        "connection closed at once, lead converted `seconds` later unless it is by then",
        "instead",
        ("POST",),
        lasts=True,
    ),
    "error_500_after": FaultKind("lead converted, then as error_500", "after", ("POST",)),
    "error_504_html_after": FaultKind("lead converted, then as error_504_html", "after", ("POST",)),
    "drop_after": FaultKind("lead converted, then connection closed without an answer", "after", ("POST",)),
    "late_answer": FaultKind("work done at once, answered `seconds` later", "after", lasts=True),
    "truncated_body": FaultKind("half the body, then closed, against Content-Length", "after"),
    "cut_json": FaultKind("half the JSON, well framed", "after"),
    "trickle_body": FaultKind("the body a byte every 0.1 s for `seconds`, then the rest", "after", lasts=True),
    "trickle_headers": FaultKind("a header a byte every 0.1 s for `seconds`, then the rest", "after", lasts=True),
    "huge_body": FaultKind("64 MiB of blanks before the body", "after"),
    "null_items": _page('"items": null'),
    "missing_items": _page('no "items"'),
    "count_too_high_empty": _page("no items, but a count above 0"),
    "count_too_low": _page("a count below the number of items"),
    "repeat_cursor": _page("the link leads to the same page again"),
    "repeat_rows": _page("the last rows of the page before come again", continues=True),
    "rising_ids": _page("a later page starts with a brand-new conversion", continues=True),
    "ignored_filter": _page("filters have no effect"),
    "empty_page": _page("no items, and a link to the page that should have come"),
    "short_page": _page("half of `per_page` rows, and a link"),
    "foreign_link": _page("the link names another host"),
    "late_visible": FaultKind("converted and answered, but invisible for `seconds`", "sight", ("POST",), lasts=True),
    "lookup_lag": FaultKind("listed at once, but not found by look-ups for `seconds`", "sight", ("POST",), lasts=True),
}


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """A fault that may strike each request.

    :param name: one of ``FAULTS``.
    :param share: probability that it strikes, 0 to 1; default 1.
    :param method: strikes only ``GET`` or ``POST``; None for every method it makes sense for.
    :param times: strikes at most so often; None for no limit.
    :param seconds: how long it lasts, for those that last; None for 2 s.
    :raises ValueError: a value that makes no sense.
    """

    name: str
    share: float = 1.0
    method: Method | None = None
    times: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        kind = FAULTS.get(self.name)
        if kind is None:
            msg = f"unknown fault {self.name!r}; there are: {', '.join(FAULTS)}"
            raise ValueError(msg)
        if not 0 <= self.share <= 1:
            msg = f"share of fault {self.name} is {self.share}, must be 0 to 1"
            raise ValueError(msg)
        if self.method is not None and self.method not in kind.methods:
            msg = f"fault {self.name} strikes {' and '.join(kind.methods)}, not {self.method}"
            raise ValueError(msg)
        if self.times is not None and self.times < 0:
            msg = f"times of fault {self.name} is {self.times}, must not be negative"
            raise ValueError(msg)
        if self.seconds is not None and not kind.lasts:
            msg = f"fault {self.name} does not last: it takes no seconds"
            raise ValueError(msg)
        if self.seconds is not None and not 0 <= self.seconds < float("inf"):
            msg = f"seconds of fault {self.name} is {self.seconds}, must be finite and not negative"
            raise ValueError(msg)

    @property
    def kind(self) -> FaultKind:
        """What it does."""
        return FAULTS[self.name]

    @property
    def duration(self) -> float:
        """How long it lasts, in seconds."""
        return DEFAULT_SECONDS if self.seconds is None else self.seconds

    @classmethod
    def parse(cls, text: str) -> Fault:
        """Read ``name``, ``name:share`` or ``name,share=0.3,method=POST,times=5,seconds=2``.

        :raises ValueError: it is none of these.
        """
        head, *options = text.split(",")
        name, colon, share = head.partition(":")
        values = {"name": name} | ({"share": share} if colon else {})
        for option in options:
            key, equals, value = option.partition("=")
            if not equals:
                msg = f"{option!r} in fault {text!r} is not key=value"
                raise ValueError(msg)
            values[key] = value
        try:
            return msgspec.convert(values, cls, strict=False)
        except msgspec.ValidationError as error:
            msg = f"fault {text!r}: {error}"
            raise ValueError(msg) from error

    @classmethod
    def of(cls, fault: Fault | str) -> Fault:
        """:return: the fault itself, or what the text says.
        :raises ValueError: the text makes no sense.
        """
        return cls.parse(fault) if isinstance(fault, str) else fault


class Strike(NamedTuple):
    """What befalls one request: at most one main fault, and how long its conversion is not seen."""

    fault: Fault | None
    visible_after: float
    lookup_after: float
    label: str | None

    def named(self, stage: Stage) -> Fault | None:
        """:return: the main fault if it belongs to this stage."""
        return self.fault if self.fault is not None and self.fault.kind.stage == stage else None


class FaultInjector:
    """Decides which faults strike. Safe to use from several threads.

    :param faults: the faults, or their texts; the first that strikes wins, those of sight come on top.
    :param seed: decides when a fault with a share below 1 strikes.
    """

    def __init__(self, faults: Iterable[Fault | str] = (), *, seed: int = 0) -> None:
        self._rng = Random(seed)  # noqa: S311 - reproducible faults, not secrets
        self._lock = Lock()
        self.faults = tuple(Fault.of(fault) for fault in faults)

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The active faults. Setting them starts counting ``times`` afresh."""
        return self._faults

    @faults.setter
    def faults(self, faults: Iterable[Fault | str]) -> None:
        parsed = tuple(Fault.of(fault) for fault in faults)
        with self._lock:
            self._faults = parsed
            self._left = [fault.times for fault in parsed]

    def strike(self, method: str, *, continued: bool = False) -> Strike:
        """Decide for one request.

        :param method: its HTTP method.
        :param continued: whether it asks for a later page of a listing.
        """
        main: Fault | None = None
        hidden = {"late_visible": 0.0, "lookup_lag": 0.0}
        labels = []
        with self._lock:
            for number, fault in enumerate(self._faults):
                sight = fault.kind.stage == "sight"
                if (main is not None and not sight) or not self._strikes(number, method, continued):
                    continue
                labels.append(fault.name)
                if sight:
                    hidden[fault.name] = fault.duration
                else:
                    main = fault
        return Strike(main, hidden["late_visible"], hidden["lookup_lag"], "+".join(labels) or None)

    def _strikes(self, number: int, method: str, continued: bool) -> bool:
        fault, left = self._faults[number], self._left[number]
        if method not in ((fault.method,) if fault.method else fault.kind.methods):
            return False
        if left == 0 or (fault.kind.continues and not continued) or self._rng.random() >= fault.share:
            return False
        if left is not None:
            self._left[number] = left - 1
        return True
