"""Lists that a template rendered to text."""

from __future__ import annotations

import ast
import json
import re
from typing import Any

from typing_extensions import override

from airflow_provider_leadconv.api.exceptions import InvalidRequestError

_SHOWN = 80
_LINE_END = re.compile(rb"\r\n|\r|\n")


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
        return ast.literal_eval(_FloatsAsText(stripped).visit(ast.parse(stripped, mode="eval")))
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError) as error:
        shown = f"{stripped[:_SHOWN]}..." if len(stripped) > _SHOWN else stripped
        raise InvalidRequestError(f"{name} is neither JSON nor ids separated by commas: {shown}") from error


class _FloatsAsText(ast.NodeTransformer):
    """Replaces floats of a Python literal by their text.

    :param source: the text of the literal.
    """

    def __init__(self, source: str) -> None:
        self._lines = _LINE_END.split(source.encode())

    @override
    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        return self._replaced(node, node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.expr:
        return self._replaced(node, node.operand)

    def _replaced(self, node: ast.expr, number: ast.expr) -> ast.expr:
        """Return the text of a node if ``number`` is a float; otherwise the node."""
        if not (isinstance(number, ast.Constant) and isinstance(number.value, float)):
            return node
        line = self._lines[node.lineno - 1]  # a number does not go over lines
        return ast.Constant(line[node.col_offset : node.end_col_offset].decode())
