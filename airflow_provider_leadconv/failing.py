"""What fails a task for good."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_leadconv.api.errors import (
    AuthenticationError,
    ConnectionConfigError,
    InvalidRequestError,
    PermissionDeniedError,
)

PERMANENT_ERRORS = (AuthenticationError, PermissionDeniedError, ConnectionConfigError, InvalidRequestError)
"""Errors that come again until somebody changes the connection, the token, the rights or the input."""


@contextmanager
def permanent_errors_fail() -> Iterator[None]:
    """Fail the task without the retries it has left, if an error is permanent.

    :raises AirflowFailException: from the permanent error.
    """
    try:
        yield
    except PERMANENT_ERRORS as error:
        raise AirflowFailException(str(error)) from error
