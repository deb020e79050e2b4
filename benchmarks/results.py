"""What was measured, and the file it is kept in, so that tables and plots can be made again without measuring again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

_DIGITS = 7


@dataclass(frozen=True)
class Measured:
    """One contestant in one case.

    :param section: the module of ``benchmarks`` that measured it, such as ``export``.
    :param case: what was to be done, such as ``10,000 rows``.
    :param contestant: who did it.
    :param figures: by name, which ends in the unit (``rows_per_cpu_s``): one value for each repetition, or for each
        point of a curve.
    """

    section: str
    case: str
    contestant: str
    figures: dict[str, list[float]]


@dataclass(frozen=True)
class Results:
    """A run of benchmarks.

    :param environment: date, versions and the machine's size, in the words of the report.
    """

    environment: dict[str, str] = field(default_factory=dict)
    measured: tuple[Measured, ...] = ()

    def of(self, section: str) -> Sequence[Measured]:
        return [row for row in self.measured if row.section == section]

    def with_section(self, section: str, rows: Iterable[Measured], environment: dict[str, str]) -> Results:
        """These results, where a section that was measured anew replaces its former rows."""
        kept = (row for row in self.measured if row.section != section)
        return Results(environment, (*kept, *rows))


def save(results: Results, path: Path) -> None:
    """Write results with a line for each contestant, and no more digits than the page shows."""
    rows = (
        asdict(row) | {"figures": {name: [_rounded(value) for value in values] for name, values in row.figures.items()}}
        for row in results.measured
    )
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    environment = json.dumps(results.environment, indent=1, ensure_ascii=False)
    path.write_text(f'{{"environment": {environment},\n"measured": [\n{lines}\n]}}\n')


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")


def load(path: Path) -> Results:
    """What `save` wrote; nothing measured, if there is no such file."""
    if not path.exists():
        return Results()
    kept = json.loads(path.read_text())
    return Results(kept["environment"], tuple(Measured(**row) for row in kept["measured"]))
