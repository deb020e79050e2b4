"""Lists that a template rendered to text."""

from __future__ import annotations

import ast
import json
from typing import Any

from airflow_provider_leadconv.api.exceptions import InvalidRequestError

_SHOWN = 80


def parse_rendered(text: str, name: str) -> Any:
    """Parse the text of a rendered template.

    :param text: JSON, a Python literal as Jinja writes lists, or values separated by commas. Numbers with a fraction or
        an exponent stay text, so that a rounded id does not pass for an exact one.
    :param name: name of the parameter, for the message.
    :return: the parsed value; a list of strings if the text has neither brackets nor braces.
    :raises InvalidRequestError: if it is none of these.
    """
    stripped = text.strip()
    if not stripped.startswith(("[", "{", "(")):
        return [part for part in map(str.strip, stripped.split(",")) if part]
    try:
        return json.loads(stripped, parse_float=str)
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval(stripped)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError) as error:
        shown = f"{stripped[:_SHOWN]}..." if len(stripped) > _SHOWN else stripped
        raise InvalidRequestError(f"{name} is neither JSON nor ids separated by commas: {shown}") from error
