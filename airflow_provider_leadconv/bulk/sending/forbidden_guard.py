"""403 for the first leads of a bulk conversion: is the token to blame, or are the leads?"""

from __future__ import annotations

MAX_FORBIDDEN_AT_FIRST = 10
"""After so many responses with 403 and no other, the token is assumed to lack the permission."""


class ForbiddenGuard:
    """Distinguishes a token that may not convert from leads that may not be converted: both are refused with 403."""

    def __init__(self) -> None:
        self._refused = 0
        self._other_response_seen = False

    def responded(self) -> None:
        """Note a response other than 403: the token is good."""
        self._other_response_seen = True

    def forbidden(self) -> bool:
        """Note a 403.

        :return: whether the token is to blame.
        """
        self._refused += 1
        return not self._other_response_seen and self._refused >= MAX_FORBIDDEN_AT_FIRST
