"""Failing a task without retries after a permanent error."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from airflow.providers.common.compat.sdk import AirflowFailException, AirflowNotFoundException

from airflow_provider_leadconv.api.exceptions import PERMANENT_ERRORS

log = logging.getLogger(__name__)

# A missing connection, such as that of an object store, and a library that is not installed are permanent as well.
_PERMANENT = (*PERMANENT_ERRORS, AirflowNotFoundException, ImportError)


@contextmanager
def fail_without_retry() -> Iterator[None]:
    """Fail the task without further retries if a permanent error is raised in the ``with`` block.

    Airflow logs the whole chain of an exception. The message of the first error says what to do, so only that one is
    shown; the chain is logged at level debug.

    :raises AirflowFailException: with the message of the permanent error.
    """
    try:
        yield
    except _PERMANENT as error:
        log.debug("The task fails without retries after this error", exc_info=True)
        raise AirflowFailException(str(error)) from None
