"""Simulate bulk conversions: ``make simulate SEEDS=1000``, or ``make simulate SEED=n`` to replay one seed."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable
from dataclasses import fields
from multiprocessing import get_context

from tests.support.simulation.plan import Plan
from tests.support.simulation.run import Simulation, simulate, try_seed

PROCESSES = 2
PROGRESS = 1000
"""Seeds between two lines of progress."""


def main(arguments: list[str]) -> int:
    """Run the command.

    :return: 1 if a seed failed.
    """
    parser = argparse.ArgumentParser(prog="simulate", description=__doc__)
    parser.add_argument("--seed", type=int, help="replay one seed, with its timeline")
    parser.add_argument("--seeds", type=int, default=1000, help="how many to run")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    options = parser.parse_args(arguments)
    if options.seed is not None:
        return _replay(options.seed)
    return _run_many(range(options.first, options.first + options.seeds))


def _replay(seed: int) -> int:
    simulation = simulate(seed, with_log=True)
    print(_shown(simulation.plan))
    print(simulation.history.timeline())
    print(_verdict(simulation))
    return 1 if simulation.violations else 0


def _run_many(seeds: Iterable[int]) -> int:
    started, done = time.monotonic(), 0
    with get_context("spawn").Pool(PROCESSES) as pool:
        for seed, violations in pool.imap(try_seed, seeds, chunksize=10):
            if violations:
                print(f"seed {seed}: " + "; ".join(violations))
                print(f"Replay it with: make simulate SEED={seed}")
                return 1
            done += 1
            if done % PROGRESS == 0:
                print(f"{done} seeds in {time.monotonic() - started:.0f} s", flush=True)
    print(f"{done} seeds in {time.monotonic() - started:.0f} s: nothing wrong")
    return 0


def _shown(plan: Plan) -> str:
    lines = [f"{field.name}: {getattr(plan, field.name)}" for field in fields(plan) if field.name != "attempts"]
    for number, attempt in enumerate(plan.attempts):
        events = [*map(str, attempt.faults), *map(str, attempt.interruptions)] or ["undisturbed"]
        lines.append(f"process {number} ({attempt.rerun if number else 'first try'}): " + "; ".join(events))
    return "\n".join(lines)


def _verdict(simulation: Simulation) -> str:
    if not simulation.violations:
        return f"seed {simulation.plan.seed}: nothing wrong"
    return "\n".join(f"seed {simulation.plan.seed}: {violation}" for violation in simulation.violations)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
