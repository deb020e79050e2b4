"""An Airflow connection of type ``leadconv`` -> the configuration of a client."""

from __future__ import annotations

import difflib
import logging
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from airflow_provider_leadconv.api.config import DEFAULT_BASE_URL, ClientConfig, check_token, check_url
from airflow_provider_leadconv.api.exceptions import ConnectionConfigError, InvalidRequestError
from airflow_provider_leadconv.api.models import as_bool
from airflow_provider_leadconv.hooks.connection_form import CONN_TYPE, EXTRA_FIELDS

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Connection

log = logging.getLogger(__name__)

FORM_PREFIX = f"extra__{CONN_TYPE}__"
_MAX_SHOWN_SCHEMA = 16
"""Characters. What is longer may be a token in the wrong field."""


def config_from_connection(connection: Connection) -> ClientConfig:
    """Check a connection and take its fields.

    A connection of another type is read as well, with a warning.

    :param connection: the Airflow connection. Values in its extra may be strings, as the URI form makes them.
    :raises ConnectionConfigError: naming the connection and the field or key that is wrong.
    """
    if connection.conn_type not in (None, "", CONN_TYPE):
        log.warning(
            "Connection %r has the type %r instead of %r. If it is the right one, correct its type",
            connection.conn_id,
            connection.conn_type,
            CONN_TYPE,
        )
    try:
        token = (connection.password or "").strip()
        check_token(token)  # first: without one, another field may hold it, and must not be quoted
        return ClientConfig(
            token=token,
            base_url=_base_url(connection),
            connection=connection.conn_id,
            **{"account": connection.conn_id or "default", **_options(_decoded(connection.extra))},
        )
    except ConnectionConfigError as error:
        error.connection = connection.conn_id
        raise


def no_connection(conn_id: str) -> ConnectionConfigError:
    """Return the error for a connection that Airflow does not find, or cannot read from the environment."""
    variable = f"AIRFLOW_CONN_{conn_id.upper()}"
    if variable in os.environ:  # Airflow skips what it cannot read, and then reports that there is no connection
        return ConnectionConfigError(
            f"Airflow cannot read the connection {conn_id!r} from the environment variable {variable}",
            remedy="Write it as a URI like leadconv://:my-access-token@/ or as JSON, with its keys in double quotes.",
        )
    return ConnectionConfigError(
        f"the Airflow connection {conn_id!r} does not exist", remedy="Create it, or correct leadconv_conn_id."
    )


def _base_url(connection: Connection) -> str:
    host = (connection.host or "").strip().rstrip("/") or DEFAULT_BASE_URL
    schema = (connection.schema or "").strip().lower()
    if schema not in {"", "http", "https"}:
        shown = f", got {schema!r}" if len(schema) <= _MAX_SHOWN_SCHEMA else ""
        raise _wrong(f"schema must be http or https{shown}", "schema")
    if "://" not in host:
        host = f"[{host}]" if host.count(":") > 1 and not host.startswith("[") else host
        host = f"{schema or 'https'}://{host}"
    elif schema and schema != host.partition("://")[0].lower():
        raise _wrong(f"schema is {schema!r}, but host has another one", "schema or the host")
    if not connection.port:
        return host
    parts = check_url("host", host)
    if ":" in parts.netloc.rpartition("]")[2]:
        raise _wrong(f"port is {connection.port}, but host has a port, too", "port or the host")
    return parts._replace(netloc=f"{parts.netloc}:{connection.port}").geturl()


def _decoded(extra: str | None) -> dict[str, Any]:
    # Not Connection.extra_dejson, which takes an extra it cannot read for an empty one.
    try:
        return msgspec.json.decode(extra, type=dict[str, Any] | None) or {} if extra else {}
    except (msgspec.MsgspecError, RecursionError) as error:
        raise _wrong(f"extra is not a JSON object: {error}", "extra") from error


def _options(extra: Mapping[str, Any]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for name, value in extra.items():
        key = name.removeprefix(FORM_PREFIX)  # Test in the UI of Airflow 2 sends each field of the form by both names
        if key not in EXTRA_FIELDS:
            near = difflib.get_close_matches(key, EXTRA_FIELDS, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"the keys are {', '.join(EXTRA_FIELDS)}"
            raise _wrong(f"unknown key {name!r} in extra; {hint}", "extra")
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
    raise _wrong(f"{key!r} in extra must be a number, got {value!r:.80}", "extra")


def _boolean(key: str, value: object) -> bool:
    try:
        return as_bool(value, f"{key!r} in extra")
    except InvalidRequestError as error:
        raise _wrong(error.message, "extra") from error


def _string(key: str, value: object) -> str:
    if isinstance(value, str | bool):  # verify may be a JSON boolean
        return str(value).strip()
    wanted = "true, false or the path of a CA file" if key == "verify" else "a string"
    # Not the value: a proxy in a list or an object may hold a password.
    raise _wrong(f"{key!r} in extra must be {wanted}, not {type(value).__name__}", "extra")


def _wrong(message: str, field: str) -> ConnectionConfigError:
    return ConnectionConfigError(message, remedy=f"Correct the {field} of the connection.")


_READERS: dict[str, Callable[[str, object], Any]] = {"number": _number, "boolean": _boolean, "string": _string}
