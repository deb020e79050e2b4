"""Text in files: its encoding, and its lines."""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Iterator

from airflow_provider_leadconv.bulk.inputs.errors import InvalidLeadsError

MAX_LINE = 2**24
"""Characters; a longer line is an error, as it would have to be in memory at once."""

_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_UTF_32_WITHOUT_MARK = (([False, True, True, True], "utf-32-le"), ([True, True, True, False], "utf-32-be"))
"""Which of the first four bytes are zero, if the first character is one of ASCII."""

_SURROGATES = re.compile("[\udc80-\udcff]+")
_UNDECODABLE = re.compile("[\udc80-\udcff\ufffd]")
_UNDEFINED_IN_CP1252 = re.compile("[\udc81\udc8d\udc8f\udc90\udc9d]")


def open_text(stream: io.BufferedReader, *, newline: str) -> io.TextIOWrapper:
    """Read bytes as text. UTF-16 and UTF-32 are found by their byte order mark, or else by their zeros.

    What is not of its encoding is no error here, since it may be in a column that is ignored: bytes that are not
    UTF-8 become surrogates, as :func:`likely_encoding` finds them.

    :param newline: where lines end, as for :func:`open`.
    """
    encoding = _encoding(stream.peek(4)[:4])
    errors = "surrogateescape" if encoding.startswith("utf-8") else "replace"
    return io.TextIOWrapper(stream, encoding=encoding, errors=errors, newline=newline)


def _encoding(head: bytes) -> str:
    for mark, encoding in _BYTE_ORDER_MARKS:
        if head.startswith(mark):
            return encoding
    for zeros, encoding in _UTF_32_WITHOUT_MARK:
        if [byte == 0 for byte in head] == zeros:
            return encoding
    if len(head) >= 2 and (head[0] == 0) != (head[1] == 0):
        return "utf-16-le" if head[1] == 0 else "utf-16-be"
    return "utf-8"


def lines_of(text: io.TextIOWrapper) -> Iterator[str]:
    """Return the lines, with their ends.

    :raises InvalidLeadsError: if a line is longer than :data:`MAX_LINE`.
    """
    number = 0
    while line := text.readline(MAX_LINE):
        number += 1
        if len(line) == MAX_LINE:
            raise InvalidLeadsError(f"line {number} is longer than {MAX_LINE} characters")
        yield line


def likely_encoding(text: str) -> str | None:
    """Return the encoding that bytes probably are of which are not UTF-8; ``None`` if there are no such bytes."""
    if not _UNDECODABLE.search(text):
        return None
    return "another encoding" if _UNDEFINED_IN_CP1252.search(text) else "Windows-1252 (Excel's CSV)"


def readable(text: str) -> str:
    """Return a text for messages, in which bytes that are not UTF-8 are taken for Windows-1252."""
    return _SURROGATES.sub(lambda found: _in_cp1252(found[0]), text)


def _in_cp1252(surrogates: str) -> str:
    return surrogates.encode("utf-8", "surrogateescape").decode("cp1252", "replace")
