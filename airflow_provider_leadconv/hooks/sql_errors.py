"""Errors of databases, without the values of rows: those may be personal data, and a task's log is widely read."""

from __future__ import annotations

import re
from types import TracebackType
from typing import Self

from airflow.providers.common.compat.sdk import AirflowException

from airflow_provider_leadconv.api.exceptions import InvalidRequestError

_PERMANENT = {"ProgrammingError", "DataError", "NotSupportedError"}
"""Classes of PEP 249 whose errors a retry meets again."""

_SQLITE_PERMANENT = "SQLITE_ERROR"
"""SQLite's code of a wrong statement, which is an ``OperationalError`` there."""

_RAISED_BY_USER = {"P0001", "1644"}
"""RAISE of PostgreSQL and SIGNAL of MySQL, as in a trigger: the text can hold anything."""

_VALUES = (
    re.compile(r"""((?:entry|value:?|string:|:) )(['"]).*\2(?= for (?:key|column|function) )""", re.DOTALL),
    re.compile(r"""((?:entry|value:?|string:|:) )(?:(['"]).*\2|['"].*)""", re.DOTALL),
    re.compile(r"()\b0x[0-9a-f]{2}(?: 0x[0-9a-f]{2})*"),
)
"""Where PostgreSQL and MySQL put values. The names of columns, constraints and types are in quotation marks, too."""


class SqlError(AirflowException):
    """A database cannot carry out a statement at present; a retry may help."""


class database_errors:  # noqa: N801  # a context manager, as contextlib's
    """Replace the driver's error by one that says what failed, and holds no value of a row.

    The driver's own is not shown: its text may contain the row, such as ``Failing row contains (...)``.

    :param failed: what fails in the ``with`` block, such as "cannot write to table x".
    :raises InvalidRequestError: if the database refuses the statement, and a retry would not help.
    :raises SqlError: if it fails for another reason.
    """

    def __init__(self, failed: str) -> None:
        self._failed = failed

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # No driver shares a class with another, but all use the names of PEP 249.
        names = {base.__name__ for base in type(error).__mro__}
        if error is None or not names & {"DatabaseError", "InterfaceError"}:
            return
        permanent = names & _PERMANENT or getattr(error, "sqlite_errorname", None) == _SQLITE_PERMANENT
        message = f"{self._failed}: {message_of(error)}"
        raise (InvalidRequestError(message, remedy="") if permanent else SqlError(message)) from None


def message_of(error: BaseException) -> str:
    """Return the first line of a database's message, without values of rows, and the database's code of the error.

    :param error: as a driver raised it.
    """
    code = _code(error)
    if code in _RAISED_BY_USER:
        text = "raised by a trigger or a function, whose text is in the log of the database"
    else:
        text = _text(error)
        for values in _VALUES:
            text = values.sub(r"\1…", text)
    first_line = text.strip().partition("\n")[0]
    return f"{first_line} ({' '.join(filter(None, [type(error).__name__, code]))})"


def _text(error: BaseException) -> str:
    diagnostics = getattr(error, "diag", None)  # of psycopg
    primary = getattr(diagnostics, "message_primary", None) or getattr(error, "msg", None)  # of mysql.connector
    return str(primary or (error.args[-1] if error.args else ""))


def _code(error: BaseException) -> str:
    sqlstate = getattr(getattr(error, "diag", None), "sqlstate", None)
    number = getattr(error, "errno", None) or (error.args[0] if len(error.args) == 2 else None)  # 2: MySQLdb
    return str(sqlstate or getattr(error, "sqlite_errorname", None) or number or "")
