"""Who may do what, and how fast: user agent, tokens, scopes and the rate limit of each token."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Literal

import msgspec

from airflow_provider_leadconv.sandbox.errors import simple_error

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from airflow_provider_leadconv.sandbox.ratelimits import RateLimit
    from airflow_provider_leadconv.sandbox.settings import Settings

Scope = Literal["read", "write", "profile", "sync"]


class Grant(msgspec.Struct):
    """What a token allows, to whom, and how much of its rate is used."""

    scopes: frozenset[str]
    user_id: int
    rate_limit: RateLimit | None = None


class Access:
    """The valid tokens. Safe to use from several threads."""

    def __init__(self, settings: Settings) -> None:
        self._lock = Lock()
        self._grants: dict[str, Grant] = {}
        self._settings = settings

    def add(self, token: str, scopes: Iterable[Scope], user_id: int) -> None:
        """:param token: a new token, or one to replace.
        :param scopes: what it allows.
        :param user_id: who converts with it.
        """
        with self._lock:
            self._grants[token] = Grant(frozenset(scopes), user_id, self._settings.rate_limit())

    def revoke(self, token: str) -> None:
        """Make a token invalid.

        :raises KeyError: there is no such token.
        """
        with self._lock:
            del self._grants[token]

    def apply(self, settings: Settings) -> None:
        """:param settings: from now on; every token starts with its full rate."""
        with self._lock:
            self._settings = settings
            for grant in self._grants.values():
                grant.rate_limit = settings.rate_limit()

    def grant(self, headers: Mapping[str, str], scope: Scope) -> Grant:
        """Check a request as the API does.

        :param headers: of the request.
        :param scope: what it needs.
        :raises ApiError: no user agent, no valid token, or not its scope.
        """
        if not headers.get("user-agent"):
            raise simple_error(
                400,
                "invalid_user_agent",
                "Invalid user agent.",
                "The request header 'User-Agent' is missing.",
            )
        # The real API has refused "bearer" with a small b since 2023.
        scheme, _, token = headers.get("authorization", "").partition(" ")
        with self._lock:
            grant = self._grants.get(token) if scheme == "Bearer" else None
        if grant is None:
            raise simple_error(
                401,
                "unauthorized",
                "Unauthorized.",
                "Required access token is missing, malformed, expired, or invalid.",
            )
        if scope not in grant.scopes:
            raise simple_error(
                403,
                "insufficient_scope",
                "Insufficient scope.",
                f"The access token does not have the required scope '{scope}'.",
            )
        return grant

    def admits(self, grant: Grant, now: float) -> bool:
        """:param now: seconds on a clock that never runs backwards.
        :return: whether the rate of the token allows a request.
        """
        with self._lock:
            return grant.rate_limit is None or grant.rate_limit.admit(now)
