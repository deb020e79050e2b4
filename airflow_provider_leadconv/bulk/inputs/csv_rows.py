"""Rows of CSV, as spreadsheets, databases and CRMs write it."""

from __future__ import annotations

import csv
import io
import logging
import re
from collections.abc import Iterator
from itertools import chain

from airflow_provider_leadconv.bulk.inputs.columns import Columns
from airflow_provider_leadconv.bulk.inputs.errors import InvalidLeadsError
from airflow_provider_leadconv.bulk.inputs.rows import InputRow
from airflow_provider_leadconv.bulk.inputs.text import lines_of, open_text

log = logging.getLogger(__name__)

_SEPARATORS = (",", ";", "\t", "|")
_DECLARATION = re.compile(r"""["']?sep=([^\w\s"']|\t)["']?\s*""", re.IGNORECASE)
"""A first line that tells the separator to Excel."""
_BLANK = "".join(_SEPARATORS) + '" \ufeff\r\n'
"""What a row without values consists of."""
_HEADER_LINES = 100
_EMPTY = "the file is empty: it has not even a header"


def csv_rows(stream: io.BufferedReader, name: str, columns: Columns) -> Iterator[InputRow]:
    """Read CSV with a header, separated by commas, semicolons, tabs or bars, or as a first line ``sep=`` says.

    Empty rows are skipped.

    :param name: name of the file, for the log.
    :raises InvalidLeadsError: if there is no header with the columns of leads, or the rest is not CSV.
    """
    lines = lines_of(open_text(stream, newline=""))
    first = next(lines, "")
    declared = _DECLARATION.fullmatch(first)
    # An empty line in its place, so that the numbers of lines are still right.
    head = _first_record(chain(["\n" if declared else first], lines))
    if not head:
        raise InvalidLeadsError(_EMPTY)
    separator = declared[1] if declared else _separator(head, columns)
    reader = csv.reader(chain(head, lines), delimiter=separator, strict=True)
    begin = 0
    count = 0
    try:
        header = next((row for row in reader if any(map(str.strip, row))), None)
        if header is None:
            raise InvalidLeadsError(_EMPTY)
        columns.resolve(header, "header")
        begin = reader.line_num
        for cells in reader:
            place, begin = f"line {begin + 1}", reader.line_num
            if any(map(str.strip, cells)):
                count += 1
                yield InputRow(place, _row(header, cells))
    except csv.Error as error:
        raise InvalidLeadsError(f"line {begin + 1} is not CSV: {error}") from error
    if not count:
        log.warning("%s has a header but no rows: there is nothing to convert", name)


def _row(header: list[str], cells: list[str]) -> dict[str, str] | InvalidLeadsError:
    if len(cells) != len(header):
        return InvalidLeadsError(f"the number of fields is {len(cells)}, but {len(header)} in the header")
    return dict(zip(header, cells, strict=True))


def _first_record(lines: Iterator[str]) -> list[str]:
    """Return the lines down to the end of the header, whose quoted names may hold line ends."""
    head: list[str] = []
    for line in lines:
        head.append(line)
        text = "".join(head)
        if len(head) == _HEADER_LINES or (text.strip(_BLANK) and text.count('"') % 2 == 0):
            break
    return head if "".join(head).strip(_BLANK) else []


def _separator(head: list[str], columns: Columns) -> str:
    """Find the separator that gives the header a column of ids, or else the most columns."""
    return max(_SEPARATORS, key=lambda separator: _fit(head, separator, columns))


def _fit(head: list[str], separator: str, columns: Columns) -> tuple[bool, int]:
    try:
        names = next(row for row in csv.reader(head, delimiter=separator) if any(map(str.strip, row)))
    except (csv.Error, StopIteration):
        return False, 0
    return any(map(columns.is_lead_id, names)), len(names)
