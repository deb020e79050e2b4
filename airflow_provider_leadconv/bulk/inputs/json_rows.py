"""Rows of JSON, one a line."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import msgspec

from airflow_provider_leadconv.bulk.inputs.columns import Columns
from airflow_provider_leadconv.bulk.inputs.errors import InvalidLeadsError
from airflow_provider_leadconv.bulk.inputs.rows import InputRow
from airflow_provider_leadconv.bulk.inputs.text import lines_of, open_text

log = logging.getLogger(__name__)

# Numbers with a fraction or an exponent stay text, so that a rounded id does not pass for an exact one.
_decode = msgspec.json.Decoder(float_hook=str).decode


def json_rows(stream: io.BufferedReader, name: str, _columns: Columns) -> Iterator[InputRow]:
    """Read JSON Lines. Empty lines are skipped, and a line that is not JSON is a row with an error.

    :param name: name of the file, for the log.
    """
    count = 0
    for number, line in enumerate(lines_of(open_text(stream, newline="\n")), 1):
        if stripped := line.strip():
            count += 1
            yield InputRow(f"line {number}", _value(stripped))
    if not count:
        log.warning("%s has no rows: there is nothing to convert", name)


def _value(line: str) -> object:
    try:
        return _decode(line.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))
    except msgspec.DecodeError as error:
        return InvalidLeadsError(f"not JSON: {error}")
    except RecursionError:
        return InvalidLeadsError("JSON that is nested too deeply")
