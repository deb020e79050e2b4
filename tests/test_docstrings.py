"""Docstrings of what is public in the package, the scripts and the examples, read from the source."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

REPO = Path(__file__).parent.parent
PACKAGE = REPO / "airflow_provider_leadconv"

Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
FIELDS = ("param", "return", "raises")
FIELD = re.compile(r"^:(\w+)(?: [^:`]+)?:(?: |$)", re.MULTILINE)


def may_lack_docstring(node: Documented) -> bool:
    """Whether another docstring applies: that of the overridden method, or that of the property of a setter."""
    decorators = [] if isinstance(node, ast.Module) else node.decorator_list
    return any(ast.unparse(decorator).endswith(("override", ".setter")) for decorator in decorators)


def public_nodes(node: Documented, name: str) -> Iterator[tuple[str, Documented]]:
    """The node, and the public classes and functions in it. Those within functions are not public."""
    yield name, node
    if isinstance(node, ast.Module | ast.ClassDef):
        for child in node.body:
            is_definition = isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            if is_definition and not child.name.startswith("_"):
                yield from public_nodes(child, f"{name}.{child.name}")


def problems(node: Documented) -> list[str]:
    text = ast.get_docstring(node)
    if text is None:
        return [] if may_lack_docstring(node) else ["there is no docstring"]
    summary = text.partition("\n\n")[0]
    fields = FIELD.findall(text)
    wrong = []
    if text.startswith(":"):
        wrong.append("it begins with a field")
    elif FIELD.search(summary):
        wrong.append("there is no blank line after the summary")
    elif not re.search(r"[.?:]$", summary):
        wrong.append("the summary is not a sentence")
    if re.match(r"(See|Like|As in) ", text):
        wrong.append("it only refers to another one; use typing_extensions.override")
    if unknown := set(fields) - set(FIELDS):
        wrong.append(f"unknown fields: {unknown}")
    elif fields != sorted(fields, key=FIELDS.index):
        wrong.append("the order is :param:, :return:, :raises:")
    return wrong


def name_in_package(path: Path) -> str:
    return path.relative_to(REPO).as_posix()


def documented(path: Path) -> Iterator[tuple[str, Documented]]:
    name = ".".join(path.relative_to(REPO).with_suffix("").parts)
    return public_nodes(ast.parse(path.read_text()), name)


MODULES = sorted([*PACKAGE.rglob("*.py"), *(REPO / "scripts").glob("*.py"), *(REPO / "example_dags").glob("*.py")])


@pytest.mark.parametrize("path", MODULES, ids=name_in_package)
def test_docstrings_begin_with_a_summary_and_have_their_fields_in_order(path: Path):
    found = {name: wrong for name, node in documented(path) if (wrong := problems(node))}
    assert found == {}


@pytest.mark.parametrize(
    ("docstring", "problem"),
    [
        ("Return the id.", None),
        ("Read it.\n\n    :param name: its name.\n    :return: it.\n    :raises OSError: if not.", None),
        (":return: the id.", "it begins with a field"),
        ("Read it.\n    :return: it.", "there is no blank line after the summary"),
        ("the id", "the summary is not a sentence"),
        ("See :class:`Other`.", "it only refers to another one; use typing_extensions.override"),
        ("Read it.\n\n    :raises OSError: if not.\n    :return: it.", "the order is :param:, :return:, :raises:"),
        ("Read it.\n\n    :returns: it.", "unknown fields: {'returns'}"),
        (None, "there is no docstring"),
    ],
)
def test_rules(docstring: str | None, problem: str | None):
    body = "pass" if docstring is None else f'"""{docstring}"""'
    (function,) = ast.parse(f"def read():\n    {body}\n").body
    assert isinstance(function, ast.FunctionDef)
    assert problems(function) == ([] if problem is None else [problem])
