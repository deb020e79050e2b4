"""Rows of JSON, one a line."""

from __future__ import annotations

import io
import json
import logging
from collections import Counter
from collections.abc import Iterator

import msgspec

from airflow_provider_leadconv.bulk.inputs.columns import Columns
from airflow_provider_leadconv.bulk.inputs.errors import InvalidLeadsError
from airflow_provider_leadconv.bulk.inputs.rows import InputRow
from airflow_provider_leadconv.bulk.inputs.text import lines_of, open_text

log = logging.getLogger(__name__)

_check = msgspec.json.Decoder(float_hook=str).decode
"""Stricter than Python's decoder, which keeps only the last of repeated keys, but can be asked for all."""


def json_rows(stream: io.BufferedReader, name: str, _columns: Columns) -> Iterator[InputRow]:
    """Read JSON Lines. Empty lines are skipped, and a line that is not JSON is a row with an error.

    Numbers with a fraction or an exponent stay text, so that a rounded id does not pass for an exact one.

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
    text = line.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    try:
        _check(text)
        return json.loads(text, parse_float=str, object_pairs_hook=_object)
    except msgspec.DecodeError as error:
        return InvalidLeadsError(f"not JSON: {error}")
    except RecursionError:
        return InvalidLeadsError("JSON that is nested too deeply")


def _object(pairs: list[tuple[str, object]]) -> object:
    """Make an object; in place of one with a repeated key, the error, which counts unless the object is ignored."""
    row = dict(pairs)
    if len(row) == len(pairs):
        return row
    repeated = next(key for key, times in Counter(key for key, _ in pairs).items() if times > 1)
    return InvalidLeadsError(f"the key {repeated!r:.60} is repeated: remove one")
