"""What was measured -> the tables in docs/benchmarks.md and the pictures in docs/images/."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType

from benchmarks.results import Measured, Results
from benchmarks.showing import markdown, spread

SECTIONS = ("export", "latency", "bulk", "first_conversion", "workers", "waiting", "parsing")
"""Modules of ``benchmarks``, in the order in which they are shown. Each has ``measure()``; ``table(rows)`` and
``plot(rows, folder)`` if it shows itself, and ``summary(rows)`` if it has a table in the summary."""


def section(name: str) -> ModuleType:
    """:return: the module of a section."""
    return import_module(f"benchmarks.{name}")


def render(results: Results, repo: Path) -> None:
    """Write all that is shown of the results."""
    images = repo / "docs" / "images"
    images.mkdir(parents=True, exist_ok=True)
    page = repo / "docs" / "benchmarks.md"
    summaries = []
    for name in SECTIONS:
        module, rows = section(name), results.of(name)
        if not rows:
            continue
        _replace(page, name, getattr(module, "table", plain_table)(rows))
        if hasattr(module, "plot"):
            module.plot(rows, images)
        if hasattr(module, "summary"):
            summaries.append(module.summary(rows))
    _replace(page, "environment", environment_line(results))
    _replace(page, "summary", "\n\n".join(summaries))


def plain_table(rows: Sequence[Measured]) -> str:
    """All figures, for a section that has no table of its own."""
    names = list(dict.fromkeys(name for row in rows for name in row.figures))
    lines = ((row.case, row.contestant, *_values(row, names)) for row in rows)
    return markdown(("case", "contestant", *names), lines)


def environment_line(results: Results) -> str:
    """:return: when, on what and with what."""
    return "; ".join(f"{name} {value}" for name, value in results.environment.items()) + "."


def _values(row: Measured, names: Iterable[str]) -> list[str]:
    return [spread(row.figures[name]) if name in row.figures else "" for name in names]


def _replace(path: Path, name: str, text: str) -> None:
    """Put a text between the two comments of its name."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    page = path.read_text()
    found = re.compile(f"{begin}.*?{end}", re.DOTALL)
    if len(found.findall(page)) != 1:
        raise ValueError(f"{path.name} must have '{begin}' and '{end}' once")
    path.write_text(found.sub(lambda _: f"{begin}\n\n{text}\n\n{end}", page))
