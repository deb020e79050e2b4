"""Settings of the sandbox: how it behaves where the vendor's documentation is silent."""

from __future__ import annotations

import re
from collections import deque
from typing import Annotated, Any, Literal, Protocol, TypedDict, Unpack, get_type_hints

import msgspec
from msgspec import Meta
from typing_extensions import override

from airflow_provider_leadconv.sandbox.faults import ThrottleShape

RateWindow = Literal["token_bucket", "fixed", "sliding"]
SecondConversion = Literal["refuse", "not_found", "conflict", "same", "new"]
UnknownLead = Literal["not_found", "invalid"]
PostStatus = Literal[200, 201]
Url = Annotated[str, Meta(pattern=r"^https?://\S+$")]


class SettingsOptions(TypedDict, total=False):
    """The keyword arguments for settings. :class:`SandboxSettings` describes them."""

    rate: float
    rate_window: RateWindow
    throttle_shape: ThrottleShape
    retry_after: int | None
    latency: float
    arrivals: int
    second_conversion: SecondConversion
    unknown_lead: UnknownLead
    post_status: PostStatus
    link_base: str | None
    foreign_url: str


class SandboxSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings of a sandbox. All of them can change while it runs.

    :param rate: requests per second for each token; 0 for no limit.
    :param rate_window: how requests are counted against the rate.
    :param throttle_shape: response to requests above the rate, as of the fault with this name.
    :param retry_after: seconds in the Retry-After header of these responses; by default they have no such header.
    :param latency: seconds before each request is processed.
    :param arrivals: number of conversions that other users make at each listing request.
    :param second_conversion: response if the lead is converted already: 422, 404, 409, the same or a new conversion.
    :param unknown_lead: response if there is no such lead: 404 or 422.
    :param post_status: status of a successful conversion.
    :param link_base: start of links, such as https://api.getbase.com; by default the URL that the client used.
    :param foreign_url: URL of another host, to which the faults redirect and foreign_link lead.
    """

    rate: Annotated[float, Meta(ge=0, le=1_000_000)] = 0.0
    rate_window: RateWindow = "token_bucket"
    throttle_shape: ThrottleShape = "throttle_429"
    retry_after: Annotated[int, Meta(ge=0)] | None = None
    latency: Annotated[float, Meta(ge=0)] = 0.0
    arrivals: Annotated[int, Meta(ge=0)] = 0
    second_conversion: SecondConversion = "refuse"
    unknown_lead: UnknownLead = "not_found"
    post_status: PostStatus = 200
    link_base: Url | None = None
    foreign_url: Url = "https://foreign.invalid"

    @classmethod
    def descriptions(cls) -> dict[str, str]:
        """Return the descriptions above by name; ``python -OO`` removes them."""
        return dict(re.findall(r":param (\w+): (.+)\.", cls.__doc__ or ""))

    def changed(self, **changes: Unpack[SettingsOptions]) -> SandboxSettings:
        """Return the settings with some of them changed.

        :param changes: settings by name.
        :raises ValueError: an unknown name or an invalid value.
        """
        types = get_type_hints(SandboxSettings, include_extras=True)
        values: dict[str, Any] = {}
        for name, value in changes.items():
            if name not in types:
                msg = f"unknown setting {name!r} of the sandbox; there are: {', '.join(types)}"
                raise ValueError(msg)
            try:
                values[name] = msgspec.convert(value, types[name])
            except msgspec.ValidationError as error:
                msg = f"setting {name} of the sandbox is {value!r}: {error}"
                raise ValueError(msg) from error
        return msgspec.structs.replace(self, **values)

    def rate_limit(self) -> RateLimit | None:
        """Return a new rate limit for one token; None for no limit."""
        return RATE_WINDOWS[self.rate_window](self.rate) if self.rate else None


class RateLimit(Protocol):
    """Decides whether requests are admitted. A rejected request costs nothing."""

    def admit(self, now: float) -> bool:
        """Return whether a request is admitted.

        :param now: seconds of a monotonic clock.
        """
        ...


class TokenBucket(RateLimit):
    """A bucket of one second's tokens that is refilled evenly.

    :param rate: requests per second.
    """

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._burst = max(1.0, rate)
        self._tokens = self._burst
        self._updated: float | None = None

    @override
    def admit(self, now: float) -> bool:
        if self._updated is not None:
            self._tokens = min(self._burst, self._tokens + (now - self._updated) * self._rate)
        self._updated = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True


class FixedWindow(RateLimit):
    """A limit for each second of the clock.

    :param rate: requests per second.
    """

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._second: int | None = None
        self._served = 0

    @override
    def admit(self, now: float) -> bool:
        second = int(now)
        if second != self._second:
            self._second, self._served = second, 0
        if self._served + 1 > self._rate:
            return False
        self._served += 1
        return True


class SlidingWindow(RateLimit):
    """A limit for the last second.

    :param rate: requests per second.
    """

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._served: deque[float] = deque()

    @override
    def admit(self, now: float) -> bool:
        while self._served and self._served[0] <= now - 1.0:
            self._served.popleft()
        if len(self._served) + 1 > self._rate:
            return False
        self._served.append(now)
        return True


# Zendesk documents a rate, but not how requests are counted.
RATE_WINDOWS: dict[RateWindow, type[TokenBucket | FixedWindow | SlidingWindow]] = {
    "token_bucket": TokenBucket,
    "fixed": FixedWindow,
    "sliding": SlidingWindow,
}
