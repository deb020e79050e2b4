"""Hooks of SQL databases, which other providers bring."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowException, AirflowNotFoundException, BaseHook

from airflow_provider_leadconv.api.exceptions import InvalidRequestError
from airflow_provider_leadconv.hooks.sql_errors import database_errors

if TYPE_CHECKING:
    from airflow.providers.common.sql.hooks.sql import DbApiHook

_PACKAGES = {"gcpbigquery": "google", "mssql": "microsoft-mssql", "redshift": "amazon"}
"""Connection type -> the end of its provider's name, where they differ."""


def sql_hook(conn_id: str) -> DbApiHook:
    """Return the hook of a database.

    :param conn_id: id of its Airflow connection.
    :raises InvalidRequestError: if there is no such connection, or it is not one of a SQL database, or its Airflow
        provider is not installed.
    """
    try:
        from airflow.providers.common.sql.hooks.sql import DbApiHook
    except ImportError as error:
        raise InvalidRequestError(
            f"sql_conn_id {conn_id!r} needs the package apache-airflow-providers-common-sql: {error}", remedy=""
        ) from error
    try:
        connection = BaseHook.get_connection(conn_id)
    except AirflowNotFoundException as error:
        raise InvalidRequestError(f"sql_conn_id: the Airflow connection {conn_id!r} does not exist") from error
    kind = connection.conn_type or ""
    named = f"sql_conn_id {conn_id!r} is a connection of type {kind!r}"
    try:
        hook = connection.get_hook()  # type: ignore[no-untyped-call]
    except (AirflowException, ImportError) as error:
        package = _PACKAGES.get(kind, kind)
        raise InvalidRequestError(
            f"{named}, which needs the package apache-airflow-providers-{package}: {error}", remedy=""
        ) from error
    if not isinstance(hook, DbApiHook):
        raise InvalidRequestError(f"{named}, which is not a SQL database")
    return hook


@contextmanager
def database_connection(hook: DbApiHook, conn_id: str, *, failed: str) -> Iterator[Any]:
    """Connect to a database for the ``with`` block. What was not committed is rolled back.

    :param conn_id: id of the Airflow connection.
    :param failed: what has failed if the ``with`` block does, for the message.
    :return: the DB-API connection.
    :raises InvalidRequestError: if the driver of the database is not installed, or the database refuses a statement.
    :raises SqlError: if the database fails otherwise.
    """
    with database_errors(f"{failed} (sql_conn_id {conn_id!r})"):
        try:
            opened = hook.get_conn()
        except (ImportError, RuntimeError, AirflowException) as error:  # what providers raise without their driver
            raise InvalidRequestError(f"sql_conn_id {conn_id!r} cannot be used: {error}", remedy="") from error
        with closing(opened) as connection:
            if hook.supports_autocommit:
                hook.set_autocommit(connection, False)
            yield connection
