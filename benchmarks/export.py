"""Exports of all conversions from a server without latency or limit: rows per second and per CPU second, memory."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean

from benchmarks.processes import contestant
from benchmarks.results import Measured
from benchmarks.server import Listing, Server
from benchmarks.showing import by_case, markdown, save, spread

SECTION = "export"
SIZES = {10_000: 2, 100_000: 2, 1_000_000: 1}
"""Rows -> repetitions."""

LOOP = "requests loop"
CONTESTANTS = {
    "bare socket, nothing parsed": "socket_only",
    "bare floor": "floor",
    "ours, JSONL": "ours_jsonl",
    "ours, JSONL, gzip": "ours_gzip",
    "ours, Parquet": "ours_parquet",
    LOOP: "requests_loop",
    "HttpOperator": "http_operator",
    "dlt RESTClient": "dlt_client",
    "dlt rest_api source": "dlt_source",
    "Singer RESTStream": "singer",
}
"""Name -> function of ``benchmarks.exporters``."""

UP_TO = {"dlt rest_api source": 100_000, "Singer RESTStream": 100_000}
"""A million rows take these two minutes, and the whole run is to take no more than fifteen."""

_CURVES = "memory"
_HEADER = (
    *("contestant", "rows per CPU s", f"times the {LOOP}", "µs CPU a row", "rows/s", "peak MB", "of it grown"),
    *("requests", "connections", "import CPU s"),
)


class IncompleteExportError(Exception):
    """A contestant did not write all rows, so that its figures say nothing."""


def measure(*, sizes: Mapping[int, int] = SIZES, contestants: Sequence[str] = tuple(CONTESTANTS)) -> Iterator[Measured]:
    """The contestants take turns, so that what else the machine does meets all of them.

    :param sizes: rows -> repetitions.
    :param contestants: who takes part.
    """
    for rows, repetitions in sizes.items():
        found: dict[str, dict[str, list[float]]] = {name: {} for name in contestants if rows <= UP_TO.get(name, rows)}
        with Server(Listing(rows)) as server:
            for _ in range(repetitions):
                for name in found:
                    figures, curve = _export(server, rows, name)
                    for figure, value in figures.items():
                        found[name].setdefault(figure, []).append(value)
                    if rows == max(sizes):
                        yield Measured(SECTION, _CURVES, name, curve)
        for name, figures_of_all in found.items():
            yield Measured(SECTION, f"{rows:,} rows", name, figures_of_all)


def _export(server: Server, rows: int, name: str) -> tuple[dict[str, float], dict[str, list[float]]]:
    before = server.counts
    with contestant("benchmarks.exporters", CONTESTANTS[name], server.base_url) as run:
        if CONTESTANTS[name] != "socket_only" and (written := rows_in(run.written)) != rows:
            raise IncompleteExportError(f"{name} wrote {written} of {rows} rows")
    counts = server.counts
    figures = {name: run.figures[name] for name in ("peak_mb", "grown_mb", "import_cpu_s")} | {
        "rows_per_cpu_s": rows / run.figures["cpu_s"],
        "rows_per_s": rows / run.figures["wall_s"],
        "requests": counts.requests - before.requests,
        "connections": counts.connections - before.connections,
    }
    return figures, run.curve


def rows_in(path: Path) -> int:
    """Rows in what a contestant wrote: a file, a folder of JSONL, or messages of Singer."""
    if path.is_dir():
        return sum(rows_in(file) for file in path.rglob("*.jsonl"))
    if path.suffix == ".parquet":
        from pyarrow import parquet

        return int(parquet.read_metadata(path).num_rows)
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as lines:
        return sum(b'"RECORD"' in line if path.name == "stdout" else 1 for line in lines)


def table(rows: Sequence[Measured]) -> str:
    """For each size the contestants, and each as a multiple of the loop, repetition by repetition."""
    found = by_case(row for row in rows if row.case != _CURVES)
    parts = []
    for case in dict.fromkeys(case for case, _ in found):
        loop = found[case, LOOP]["rows_per_cpu_s"]
        of_case = [(name, figures) for (of, name), figures in found.items() if of == case]
        parts.append(f"**{case}**\n\n{markdown(_HEADER, (_cells(name, figures, loop) for name, figures in of_case))}")
    return "\n\n".join([*parts, _targets(found)])


def summary(rows: Sequence[Measured]) -> str:
    """The largest size in few columns, for the summary."""
    found = by_case(row for row in rows if row.case != _CURVES)
    case = list(found)[-1][0]
    header = (f"export of {case}", "rows per CPU s", f"times the {LOOP}", "peak MB", "of it grown")
    loop = found[case, LOOP]["rows_per_cpu_s"]
    cells = (_cells(name, figures, loop) for (of, name), figures in found.items() if of == case)
    return markdown(header, ((row[0], row[1], row[2], row[5], row[6]) for row in cells if row[0] in _IN_SUMMARY))


_IN_SUMMARY = tuple(CONTESTANTS)[1:]


def _cells(name: str, figures: dict[str, list[float]], loop: Sequence[float]) -> Sequence[str]:
    per_cpu_s = figures["rows_per_cpu_s"]
    return (
        name,
        f"{mean(per_cpu_s):,.0f}",
        spread([ours / theirs for ours, theirs in zip(per_cpu_s, loop, strict=True)]),
        f"{mean(1e6 / value for value in per_cpu_s):.2f}",
        f"{mean(figures['rows_per_s']):,.0f}",
        f"{max(figures['peak_mb']):,.0f}",
        f"{max(figures['grown_mb']):,.0f}",
        f"{mean(figures['requests']):,.0f}",
        f"{mean(figures['connections']):,.0f}",
        f"{mean(figures['import_cpu_s']):.2f}",
    )


_TARGETS = (
    ("ours, JSONL", LOOP, 3.0),
    ("ours, JSONL", "dlt RESTClient", 6.0),
    ("ours, JSONL", "bare floor", 0.5),
    ("ours, Parquet", LOOP, 2.0),
)


def _targets(found: Mapping[tuple[str, str], dict[str, list[float]]]) -> str:
    cases = list(dict.fromkeys(case for case, _ in found))

    def ratios(case: str, name: str, other: str) -> str:
        mine, theirs = (found[case, who]["rows_per_cpu_s"] for who in (name, other))
        return spread([one / two for one, two in zip(mine, theirs, strict=True)])

    lines = (
        (f"{name} against {other}", f"{least:g}", *(ratios(case, name, other) for case in cases))
        for name, other, least in _TARGETS
        if {(case, who) for case in cases for who in (name, other)} <= set(found)
    )
    return "In rows per CPU second:\n\n" + markdown(("ratio", "at least", *cases), lines)


def plot(rows: Sequence[Measured], folder: Path) -> None:
    """Rows per CPU second by size; memory over time at the largest size."""
    from matplotlib import pyplot as plt

    found = by_case(row for row in rows if row.case != _CURVES)
    cases = list(dict.fromkeys(case for case, _ in found))
    names = [name for name in CONTESTANTS if CONTESTANTS[name] != "socket_only" and (cases[0], name) in found]
    figure, axis = plt.subplots(figsize=(8, 4))
    for place, case in enumerate(cases):
        for number, name in enumerate(names):
            if (case, name) not in found:
                continue
            values = [value / 1000 for value in found[case, name]["rows_per_cpu_s"]]
            at = number + 0.28 * (place - (len(cases) - 1) / 2)
            error = [[mean(values) - min(values)], [max(values) - mean(values)]]
            axis.bar(at, mean(values), 0.26, yerr=error, color=f"C{place}", label=case if not number else None)
    axis.set_xticks(range(len(names)), names, rotation=30, ha="right", fontsize="small")
    axis.set_ylabel("thousand rows per CPU second")
    axis.legend(fontsize="small")
    save(figure, folder, "bench-export")
    plt.close(figure)
    _plot_memory({row.contestant: row.figures for row in rows if row.case == _CURVES}, folder, cases[-1])


def _plot_memory(curves: Mapping[str, dict[str, list[float]]], folder: Path, case: str) -> None:
    from matplotlib import pyplot as plt

    figure, axis = plt.subplots(figsize=(8, 4))
    for number, (name, curve) in enumerate(curves.items()):
        if CONTESTANTS[name] != "socket_only":
            axis.plot(curve["at_s"], curve["rss_mb"], label=name, color=f"C{number}", lw=2.5 if "ours" in name else 1)
    axis.set_xscale("symlog", linthresh=10)
    axis.set_xlabel(f"seconds since the start of the process, {case}")
    axis.set_ylabel("MB")
    axis.set_ylim(0)
    axis.legend(fontsize="x-small")
    save(figure, folder, "bench-export-memory")
    plt.close(figure)
