"""What was measured, and the file it is kept in, so that tables and plots can be made again without measuring again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path


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
    path.write_text(json.dumps(asdict(results), indent=1) + "\n")


def load(path: Path) -> Results:
    """What `save` wrote; nothing measured, if there is no such file."""
    if not path.exists():
        return Results()
    kept = json.loads(path.read_text())
    return Results(kept["environment"], tuple(Measured(**row) for row in kept["measured"]))
