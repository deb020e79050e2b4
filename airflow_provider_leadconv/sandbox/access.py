"""Access control: user agent, tokens, scopes, and the rate limit of each token."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Literal

import msgspec

from airflow_provider_leadconv.sandbox.history import token_hash
from airflow_provider_leadconv.sandbox.schemas import simple_error

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from airflow_provider_leadconv.sandbox.settings import RateLimit, SandboxSettings

Scope = Literal["read", "write", "profile", "sync"]


class Grant(msgspec.Struct):
    """The scopes, the user and the rate limit of a token."""

    scopes: frozenset[str]
    user_id: int
    rate_limit: RateLimit | None = None


class Access:
    """The valid tokens. Safe to use from several threads."""

    def __init__(self, settings: SandboxSettings) -> None:
        self._lock = Lock()
        self._grants: dict[str, Grant] = {}
        self._settings = settings
        #: Hashes of the tokens that are or were valid.
        self.token_hashes: set[str] = set()

    def add(self, token: str, scopes: Iterable[Scope], user_id: int) -> None:
        """Add or replace a token.

        :param scopes: what it allows.
        :param user_id: the user that it belongs to.
        """
        with self._lock:
            self.token_hashes.add(token_hash(token))
            self._grants[token] = Grant(frozenset(scopes), user_id, self._settings.rate_limit())

    def revoke(self, token: str) -> None:
        """Make a token invalid.

        :raises KeyError: there is no such token.
        """
        with self._lock:
            del self._grants[token]

    def apply(self, settings: SandboxSettings) -> None:
        """Change the settings, and restart the rate limit of each token."""
        with self._lock:
            self._settings = settings
            for grant in self._grants.values():
                grant.rate_limit = settings.rate_limit()

    def grant(self, headers: Mapping[str, str], scope: Scope) -> Grant:
        """Authenticate and authorise a request, as the API does.

        :param headers: of the request.
        :param scope: the scope that it requires.
        :raises ApiError: no user agent, no valid token, or no such scope.
        """
        if not headers.get("user-agent"):
            raise simple_error(
                400,
                "invalid_user_agent",
                "Invalid user agent.",
                "The request header 'User-Agent' is missing.",
            )
        # The real API has rejected "bearer" in lower case since 2023.
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
        """Return whether the rate limit of the token admits a request.

        :param now: seconds of a monotonic clock.
        """
        with self._lock:
            return grant.rate_limit is None or grant.rate_limit.admit(now)
