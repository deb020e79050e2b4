"""What differs between databases: column types, upserts, and how a table is described.

Names of tables are SQL as the DAG's author wrote it, such as ``crm.conversions`` or ``"Conversions"``; the columns are
no reserved words of any database here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from typing_extensions import override

from airflow_provider_leadconv.api.exceptions import InvalidRequestError
from airflow_provider_leadconv.api.models import COLUMNS, ID_COLUMNS

if TYPE_CHECKING:
    from airflow.providers.common.sql.hooks.sql import DbApiHook

    from airflow_provider_leadconv.export.table import Row

_NOT_64_BIT = r"^(tiny|small|medium)?int(eger)?\b|char|text|date|time|year|bool|json|real|float|double|uuid|byte|binary"
_NO_TIME = r"^(date|time|year)\b|int|numeric|decimal|real|float|double|bool|json|uuid"

# Not DEFAULT_GENERATED, which is a default such as uuid().
_MYSQL_GENERATED = re.compile(r"\b(VIRTUAL|STORED|PERSISTENT) GENERATED", re.IGNORECASE)
_MYSQL_NAME = re.compile(r"(?:(`[^`]*`|\w+)\.)?(.*)", re.DOTALL)


class Column(NamedTuple):
    """A column of an existing table.

    :param name: its name.
    :param type: its type, as the database names it; empty if unknown.
    :param required: whether an INSERT without the column fails.
    """

    name: str
    type: str = ""
    required: bool = False


class SqlDialect:
    """Any database: statements come from its Airflow hook.

    :param hook: the hook of the database.
    :param table: the table's name in SQL.
    """

    id_types_refused: ClassVar[str] = r"(?!)"
    """Pattern of types that do not hold every id, or sort ids wrongly."""
    time_types_refused: ClassVar[str] = r"(?!)"
    """Pattern of types that do not hold a moment."""
    time_type: ClassVar[str] = ""
    """Type of ``created_at`` in a new table; empty: tables are not created."""

    def __init__(self, hook: DbApiHook, table: str) -> None:
        self.hook = hook
        self.table = table

    def start_session(self, cursor: Any) -> None:
        """Set what the statements rely on. Called once for each connection."""

    def create_table(self, cursor: Any) -> None:
        """Create the table if it does not exist, where its types are known."""

    def columns(self, cursor: Any) -> list[Column]:
        """Describe the table."""
        cursor.execute(f"SELECT * FROM {self.table} WHERE 1 = 0")  # noqa: S608
        cursor.fetchall()
        return [Column(column[0]) for column in cursor.description]

    def check_upsert(self, cursor: Any) -> None:
        """Check that the table takes upserts by ``id``, as far as this is possible without a row.

        :raises InvalidRequestError: if it does not.
        """

    def upsert(self, cursor: Any, rows: Sequence[Row]) -> None:
        """Insert rows, or replace those with the same ``id``. Does not commit."""
        sql = self.hook.dialect.generate_replace_sql(self.table, rows[0], list(COLUMNS), replace_index="id")
        cursor.executemany(sql, rows)


class _OnConflict(SqlDialect):
    """A database with ``INSERT ... ON CONFLICT``, or an equivalent: one statement for many rows."""

    on_conflict = "ON CONFLICT (id) DO UPDATE SET"
    new_value = "excluded.{}"

    @property
    def _insert(self) -> str:
        return f"INSERT INTO {self.table} ({', '.join(COLUMNS)})"

    @property
    def _update(self) -> str:
        assignments = (f"{name} = {self.new_value.format(name)}" for name in COLUMNS if name != "id")
        return f"{self.on_conflict} {', '.join(assignments)}"

    @override
    def create_table(self, cursor: Any) -> None:
        # IF NOT EXISTS alone asks for the privilege to create a table even if it exists.
        if self.exists(cursor):
            return
        types = dict.fromkeys(ID_COLUMNS, "BIGINT") | {
            "id": "BIGINT PRIMARY KEY",
            "lead_id": "BIGINT NOT NULL",
            "created_at": self.time_type,
        }
        columns = ", ".join(f"{name} {type_}" for name, type_ in types.items())
        cursor.execute(f"CREATE TABLE IF NOT EXISTS {self.table} ({columns})")

    def exists(self, cursor: Any) -> bool:
        """Return whether the table exists."""
        return bool(self.columns(cursor))

    @override
    def check_upsert(self, cursor: Any) -> None:
        # An upsert of no rows: the database checks columns, privileges and the unique index all the same.
        no_rows = f"SELECT {', '.join(COLUMNS)} FROM {self.table} WHERE 1 = 0"  # noqa: S608
        cursor.execute(f"{self._insert} {no_rows} {self._update}")

    @override
    def upsert(self, cursor: Any, rows: Sequence[Row]) -> None:
        row = f"({', '.join([self.hook.placeholder] * len(COLUMNS))})"
        values = [value for row_ in rows for value in self.values(row_)]
        cursor.execute(f"{self._insert} VALUES {', '.join([row] * len(rows))} {self._update}", values)

    def values(self, row: Row) -> Iterable[int | str | None]:
        """Return the values of a row as the database takes them."""
        return row


class PostgresDialect(_OnConflict):
    """PostgreSQL."""

    time_type = "TIMESTAMPTZ"
    id_types_refused = _NOT_64_BIT
    time_types_refused = _NO_TIME

    @override
    def columns(self, cursor: Any) -> list[Column]:
        cursor.execute(
            "SELECT attname, format_type(COALESCE(NULLIF(typbasetype, 0), atttypid), NULL),"
            " attnotnull AND NOT atthasdef AND attidentity = ''"
            " FROM pg_attribute JOIN pg_type ON pg_type.oid = atttypid"
            " WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
            (self.table,),
        )
        return [Column(*row) for row in cursor.fetchall()]


class SqliteDialect(_OnConflict):
    """SQLite. Every integer has 64 bits; a type whose name has no INT in it may be text or a float."""

    time_type = "TIMESTAMP"
    id_types_refused = r"^(?!.*int).*(char|clob|text|real|floa|doub)"

    @override
    def columns(self, cursor: Any) -> list[Column]:
        schema, name = re.fullmatch(r"(\w+\.)?(.*)", self.table, re.DOTALL).groups("")  # type: ignore[union-attr]  # matches any
        cursor.execute(f"PRAGMA {schema}table_info({name})")
        return [
            Column(name, type_, bool(not_null) and default is None)
            for _, name, type_, not_null, default, _ in cursor.fetchall()
        ]


class MySqlDialect(_OnConflict):
    """MySQL and MariaDB. ``created_at`` is in UTC, since DATETIME has no time zone."""

    time_type = "DATETIME(6)"
    id_types_refused = _NOT_64_BIT
    time_types_refused = _NO_TIME
    on_conflict = "ON DUPLICATE KEY UPDATE"
    new_value = "VALUES({})"  # deprecated by MySQL 8, but MariaDB has nothing else

    @override
    def start_session(self, cursor: Any) -> None:
        # TIMESTAMP columns then hold UTC, too. Without strict mode, a value out of range is changed without an error.
        cursor.execute("SET SESSION time_zone = '+00:00', sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES')")

    @override
    def exists(self, cursor: Any) -> bool:
        schema, name = _MYSQL_NAME.fullmatch(self.table).groups()  # type: ignore[union-attr]  # matches any
        cursor.execute(
            "SELECT COUNT(*) FROM information_schema.tables"
            " WHERE table_schema = COALESCE(%s, DATABASE()) AND table_name = %s",
            (schema and schema.strip("`"), name.strip("`")),
        )
        return bool(cursor.fetchone()[0])

    @override
    def columns(self, cursor: Any) -> list[Column]:
        cursor.execute(f"SHOW COLUMNS FROM {self.table}")
        return [
            Column(name, _text(type_), null == "NO" and default is None and not extra)
            for name, type_, null, _, default, extra in cursor.fetchall()
        ]

    @override
    def check_upsert(self, cursor: Any) -> None:
        cursor.execute(f"SHOW INDEX FROM {self.table}")
        unique: dict[str, set[str]] = {}
        for _, non_unique, key, _, column, *_ in cursor.fetchall():
            if not int(non_unique):
                unique.setdefault(key, set()).add(str(column).lower())
        if {"id"} not in unique.values():
            raise InvalidRequestError(f"table {self.table} has no primary key or unique index on id", remedy="")
        distinct = self._distinct_columns(cursor)
        for key, columns in unique.items():
            if "id" not in columns and (columns & set(COLUMNS) or not columns & distinct):
                raise InvalidRequestError(
                    f"table {self.table} has the unique index {key} ({', '.join(sorted(columns))}): MySQL would "
                    "overwrite the row of another conversion; make this index a non-unique one",
                    remedy="",
                )
        super().check_upsert(cursor)

    def _distinct_columns(self, cursor: Any) -> set[str]:
        """Return the columns in which a new row equals no other: it has NULL there, or what an expression makes."""
        cursor.execute(f"SHOW COLUMNS FROM {self.table}")
        return {
            str(name).lower()
            for name, _, _, _, default, extra in cursor.fetchall()
            if (default is None or "(" in _text(default)) and not _MYSQL_GENERATED.search(_text(extra))
        }

    @override
    def values(self, row: Row) -> Iterable[int | str | None]:
        *ids, moment = row
        return (*ids, moment.replace("T", " ").removesuffix("+00:00") if isinstance(moment, str) else None)


def _text(value: Any) -> str:
    """Some drivers return a description as bytes."""
    return value.decode() if isinstance(value, bytes | bytearray) else str(value)


DIALECTS: dict[str, type[SqlDialect]] = {"postgres": PostgresDialect, "sqlite": SqliteDialect, "mysql": MySqlDialect}
"""Connection type -> dialect; :class:`SqlDialect` for all others."""
