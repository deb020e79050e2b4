"""Which columns of an input hold the lead ids and the settings, and which are ignored."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from difflib import SequenceMatcher

from airflow_provider_leadconv.bulk.inputs.errors import InvalidLeadsError
from airflow_provider_leadconv.bulk.inputs.text import likely_encoding, readable

SETTINGS = ("owner_id", "create_deal")
RESULT_COLUMNS = ("run", "status")
"""Columns that a file of results or of failures has, and no other file."""

REASON = "reason"
"""Column that a file of failures has, and no file of results."""

_INVISIBLE = re.compile(r"[\s_\-\ufeff\u200b]+")
_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|[0-9]+|[^\W\d_]+")
_SIMILAR = 0.85
"""One wrong, missing, added or swapped letter; ``created_at`` and ``create_deal`` are less similar."""
_SHOWN = 20
_REMEMBERED = 1_000
"""Sets of keys. Rows of a file have few; of JSON, each row could have its own."""


class Columns:
    """Finds the columns of leads, and collects the names of all others.

    The column of the ids is found in any case, and with spaces, hyphens or underscores. A setting must have its name,
    in any case. A column whose name resembles that of a setting is an error: to ignore it would convert with wrong
    settings. In results and failures, the ids are in ``lead_id``.

    :param lead_id_column: name of the column that holds the ids; default: ``lead_id``.
    :param ignore_columns: names of columns that are ignored without a question.
    """

    def __init__(self, lead_id_column: str | None = None, ignore_columns: Iterable[str] | str | None = None) -> None:
        names = [ignore_columns] if isinstance(ignore_columns, str) else ignore_columns or ()
        self.ignored: dict[str, None] = {}
        """The names of the columns that were ignored, in the order of their appearance."""
        self._lead_id_column = (lead_id_column or "lead_id").strip()
        self._ignore = {str(name).strip() for name in names}
        self._resolved: dict[tuple[object, ...], dict[str, object]] = {}

    def resolve(self, names: Collection[object], of: str) -> Mapping[str, object]:
        """Find the columns of leads among others.

        :param names: the names of all columns.
        :param of: what has these columns, such as ``header``, for messages.
        :return: field of a lead -> name of its column.
        :raises InvalidLeadsError: if there is no column of ids, a column is there twice, or a name resembles that of a
            setting.
        """
        key = tuple(names)
        if key not in self._resolved:
            if len(self._resolved) >= _REMEMBERED:
                self._resolved.clear()
            self._resolved[key] = self._find(key, of)
        return self._resolved[key]

    def _find(self, names: tuple[object, ...], of: str) -> dict[str, object]:
        found: dict[str, object] = {}
        lead_id_column = "lead_id" if is_result(names) else self._lead_id_column
        for name in names:
            text = _trimmed(str(name))
            if text in self._ignore:
                continue
            field = _field_of(text, lead_id_column)
            if field is None:
                self._ignore_column(text, names)
            elif field in found:
                raise InvalidLeadsError(f"both {_quoted(found[field])} and {_quoted(name)} are {field}: remove one")
            else:
                found[field] = name
        if "lead_id" not in found:
            raise InvalidLeadsError(self._no_ids(names, of))
        return found

    def is_lead_id(self, name: str) -> bool:
        """Whether a column of this name holds the ids, in a file that is not one of results."""
        return _trimmed(name) not in self._ignore and _field_of(name, self._lead_id_column) == "lead_id"

    def _ignore_column(self, name: str, names: Collection[object]) -> None:
        if setting := _resembled_setting(name):
            shown = _quoted(name)
            raise InvalidLeadsError(
                f"column {shown} resembles {setting}: rename it to {setting}, or add {shown} to ignore_columns"
            )
        if name and not is_result(names) and len(self.ignored) < _SHOWN:
            self.ignored[readable(name)] = None

    def _no_ids(self, names: tuple[object, ...], of: str) -> str:
        texts = [str(name) for name in names]
        shown = f"[{', '.join(map(_quoted, texts[:_SHOWN]))}{', ...' if len(texts) > _SHOWN else ''}]"
        message = f"no column {self._lead_id_column} in the {of} {shown}"
        if encoding := likely_encoding("".join(texts)):
            message += f"; the names are not UTF-8 but probably {encoding}: save the file as UTF-8"
        if of == "header" and texts and all(text.strip().isdecimal() for text in texts):
            return f"{message}; the first row looks like a lead: insert a header before it, such as lead_id"
        return f"{message}; name the column of the lead ids lead_id, or set lead_id_column"


def is_result(names: Collection[object]) -> bool:
    """Whether columns of these names are those of a file of results."""
    return all(name in names for name in RESULT_COLUMNS)


def _field_of(name: str, lead_id_column: str) -> str | None:
    if _squeezed(name) == _squeezed(lead_id_column):
        return "lead_id"
    return name.casefold() if name.casefold() in SETTINGS else None


def _resembled_setting(name: str) -> str | None:
    words = {word.casefold() for word in _WORDS.findall(name)}
    if words & {"owner", "owners"}:
        return "owner_id"
    if words & {"create", "creates"} and words & {"deal", "deals"}:
        return "create_deal"
    letters = "".join(filter(str.isalnum, name.casefold()))
    for setting in SETTINGS:
        if SequenceMatcher(None, letters, setting.replace("_", "")).ratio() >= _SIMILAR:
            return setting
    return None


def _trimmed(name: str) -> str:
    return name.strip().strip("\ufeff").strip()


def _squeezed(name: str) -> str:
    return _INVISIBLE.sub("", unicodedata.normalize("NFKC", name)).casefold()


def _quoted(name: object) -> str:
    return f"{readable(str(name))!r:.60}"
