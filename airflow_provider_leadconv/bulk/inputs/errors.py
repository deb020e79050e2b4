"""The error of an input that cannot be used."""

from __future__ import annotations

from airflow_provider_leadconv.api.exceptions import InvalidRequestError


class InvalidLeadsError(InvalidRequestError):
    """The leads cannot be read as they are. The message says what to change."""

    remedy = "Nothing was converted."
