"""An Airflow connection of type ``leadconv`` -> the configuration of a client."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Any, Protocol
from urllib.parse import urlsplit

import msgspec

from airflow_provider_leadconv.api.config import DEFAULT_BASE_URL, ClientConfig
from airflow_provider_leadconv.api.errors import ConnectionConfigError, InvalidRequestError
from airflow_provider_leadconv.api.records import as_bool
from airflow_provider_leadconv.connection_form import CONN_TYPE, EXTRA_FIELDS

FORM_PREFIX = f"extra__{CONN_TYPE}__"


class ConnectionFields(Protocol):
    """What is read of Airflow's ``Connection``, whose class differs between Airflow's versions."""

    @property
    def conn_id(self) -> str | None:
        """Id of the connection."""
        ...

    @property
    def host(self) -> str | None:
        """Host, or base URL."""
        ...

    @property
    def schema(self) -> str | None:
        """Scheme of the URL."""
        ...

    @property
    def port(self) -> int | None:
        """Port."""
        ...

    @property
    def password(self) -> str | None:
        """Access token."""
        ...

    @property
    def extra(self) -> str | None:
        """JSON object of options."""
        ...


def config_from_connection(connection: ConnectionFields) -> ClientConfig:
    """Check a connection and take its fields.

    :param connection: the Airflow connection. Values in its extra may be strings, as the URI form makes them.
    :raises ConnectionConfigError: naming the connection and the field or key that is wrong.
    """
    try:
        return ClientConfig(
            token=(connection.password or "").strip(),
            base_url=_base_url(connection),
            **{"account": connection.conn_id or "default", **_options(_decoded(connection.extra))},
        )
    except ConnectionConfigError as error:
        raise ConnectionConfigError(f"connection {connection.conn_id!r}: {error.message}") from error


def _base_url(connection: ConnectionFields) -> str:
    host = (connection.host or "").strip().rstrip("/") or DEFAULT_BASE_URL
    schema = (connection.schema or "").strip().lower()
    if schema not in {"", "http", "https"}:
        raise ConnectionConfigError(f"schema must be http or https, got {schema!r:.80}")
    if "://" not in host:
        host = f"[{host}]" if host.count(":") > 1 and not host.startswith("[") else host
        host = f"{schema or 'https'}://{host}"
    elif schema and schema != host.partition("://")[0].lower():
        raise ConnectionConfigError(f"schema is {schema!r}, and host names another one; leave one out")
    if not connection.port:
        return host
    try:
        parts = urlsplit(host)
    except ValueError as error:
        raise ConnectionConfigError(f"host is no URL: {error}") from error
    if ":" in parts.netloc.rpartition("]")[2]:
        raise ConnectionConfigError(f"port {connection.port} is set, and host has one too; leave one out")
    return parts._replace(netloc=f"{parts.netloc}:{connection.port}").geturl()


def _decoded(extra: str | None) -> dict[str, Any]:
    # Not Connection.extra_dejson, which takes an extra it cannot read for an empty one.
    try:
        return msgspec.json.decode(extra, type=dict[str, Any] | None) or {} if extra else {}
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ConnectionConfigError(f"extra is no JSON object: {error}") from error


def _options(extra: Mapping[str, Any]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for name, value in extra.items():
        key = name.removeprefix(FORM_PREFIX)  # Test in the UI of Airflow 2 sends each field of the form by both names
        if key not in EXTRA_FIELDS:
            near = difflib.get_close_matches(key, EXTRA_FIELDS, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ConnectionConfigError(f"unknown key {name!r} in extra{hint} (known: {', '.join(EXTRA_FIELDS)})")
        if value is not None and value != "":  # the form sends fields that were left empty
            options[key] = _READERS[EXTRA_FIELDS[key]["schema"]["type"][0]](key, value)
    if "verify" in options and options["verify"].lower() in {"true", "false"}:
        options["verify"] = options["verify"].lower() == "true"
    return options


def _number(key: str, value: object) -> float:
    try:
        if not isinstance(value, bool):
            return float(value)  # type: ignore[arg-type]  # what float() cannot take is what we report
    except (TypeError, ValueError):
        pass
    raise ConnectionConfigError(f"{key!r} in extra must be a number, got {value!r:.80}")


def _boolean(key: str, value: object) -> bool:
    try:
        return as_bool(value, f"{key!r} in extra")
    except InvalidRequestError as error:
        raise ConnectionConfigError(error.message) from error


def _string(key: str, value: object) -> str:
    if isinstance(value, str | bool):  # verify may be a JSON boolean
        return str(value).strip()
    raise ConnectionConfigError(f"{key!r} in extra must be a string, got {value!r:.80}")


_READERS: dict[str, Callable[[str, object], Any]] = {"number": _number, "boolean": _boolean, "string": _string}
