"""How the sandbox behaves where the vendor's documentation leaves it open. All can change at run time."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from airflow_provider_leadconv.sandbox.ratelimits import FixedWindow, RateLimit, SlidingWindow, TokenBucket

RateWindow = Literal["token_bucket", "fixed", "sliding"]
ThrottleShape = Literal["throttle_429", "throttle_429_empty", "throttle_404", "throttle_409"]
SecondConversion = Literal["refuse", "not_found", "conflict", "same", "new"]
UnknownLead = Literal["not_found", "invalid"]

RATE_WINDOWS: dict[RateWindow, type[TokenBucket | FixedWindow | SlidingWindow]] = {
    "token_bucket": TokenBucket,
    "fixed": FixedWindow,
    "sliding": SlidingWindow,
}


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings of a sandbox.

    :param rate: requests a second per token; None for no limit.
    :param rate_window: how they are counted.
    :param throttle_shape: the answer to a request over the limit.
    :param retry_after: seconds in a ``Retry-After`` header of such answers; None for no header, as ever.
    :param latency: seconds before a request is worked on.
    :param arrivals: conversions that other users make at each listing request.
    :param second_conversion: what a converted lead gives: 422, 404, 409, the same record, or one more.
    :param unknown_lead: what an unknown lead gives: 404 or 422.
    :param post_status: status of a successful conversion.
    :param link_base: scheme and host of links; the real API's, since a client must not follow them elsewhere.
    :param foreign_url: scheme and host for the faults ``redirect`` and ``foreign_link``.
    """

    rate: Annotated[float, msgspec.Meta(gt=0)] | None = None
    rate_window: RateWindow = "token_bucket"
    throttle_shape: ThrottleShape = "throttle_429"
    retry_after: Annotated[int, msgspec.Meta(ge=0)] | None = None
    latency: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    arrivals: Annotated[int, msgspec.Meta(ge=0)] = 0
    second_conversion: SecondConversion = "refuse"
    unknown_lead: UnknownLead = "not_found"
    post_status: Literal[200, 201] = 200
    link_base: str = "https://api.getbase.com"
    foreign_url: str = "https://foreign.invalid"

    def changed(self, **changes: object) -> Settings:
        """:param changes: settings by name.
        :return: the settings with these changes.
        :raises ValueError: an unknown name or a bad value.
        """
        try:
            return msgspec.convert({**msgspec.structs.asdict(self), **changes}, Settings)
        except msgspec.ValidationError as error:
            msg = f"settings of the sandbox: {error}"
            raise ValueError(msg) from error

    def rate_limit(self) -> RateLimit | None:
        """:return: a fresh limit for one token."""
        return None if self.rate is None else RATE_WINDOWS[self.rate_window](self.rate)
