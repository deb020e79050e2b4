"""Measured figures as Markdown and as pictures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from benchmarks.results import Measured

COLOURS = {
    "ours": "#1b7f5c",
    "requests loop": "#9a9a9a",
    "HttpOperator": "#d9822b",
    "thread pool": "#5b7db1",
}


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; all columns but the first are aligned right."""
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def by_case(rows: Iterable[Measured]) -> dict[tuple[str, str], dict[str, list[float]]]:
    """(case, contestant) -> figures."""
    return {(row.case, row.contestant): row.figures for row in rows}


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Mean, and the lowest and the highest if there are several."""
    text = f"{mean(values):.{digits}f}"
    return text if len(values) == 1 else f"{text} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def machine_line(figures: dict[str, list[float]]) -> str:
    """Whether the machine was the limit."""
    return (
        f"Meanwhile {figures['idle_share_of_cpu'][0]:.0%} of the CPU was idle; the server used "
        f"{figures['server_cpu_s'][0]:.1f} s of it and was never more than {figures['server_late_ms'][0]:.0f} ms late."
    )


def save(figure: Figure, folder: Path, name: str) -> None:
    """As PNG, which is the same again for the same figures."""
    figure.savefig(folder / f"{name}.png", dpi=150, bbox_inches="tight")
