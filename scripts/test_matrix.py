"""Run the tests on every Airflow and Python we support, each pair in an environment of its own in ``.matrix/``."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from packaging.version import Version

REPO = Path(__file__).parent.parent
UV = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}") or "uv"

PAIRS = (
    ("2.11", "3.11"),
    ("3.0", "3.12"),  # neither 2.11 nor 3.0 runs on 3.13
    ("3.1", "3.12"),
    ("3.2", "3.13"),
    ("3.3", "3.11"),
    ("3.3", "3.12"),
    ("3.3", "3.13"),
    ("3.4", "3.13"),
)
"""Each Airflow once, the newest release with every Python."""

DEFAULT = ["-n", "6", "-m", "not slow"]
"""Arguments of pytest: as in `make test`."""

SHOWN_FAILURES = 5


@dataclass(frozen=True)
class Result:
    """What became of one pair.

    :param failures: tests that failed, at most the first few.
    """

    airflow: str
    python: str
    outcome: str
    seconds: float = 0.0
    failed: bool = False
    failures: tuple[str, ...] = ()

    @property
    def is_allowed(self) -> bool:
        """Whether it passed, or failed on a pre-release of Airflow."""
        return not self.failed or Version(version_of(self.airflow)).is_prerelease

    def __str__(self) -> str:
        outcome = self.outcome
        if self.failed:
            outcome = f"{'FAILED, allowed for a pre-release' if self.is_allowed else 'FAILED'}: {outcome}"
        named = "".join(f"<br>{name}" for name in self.failures)
        return f"| {version_of(self.airflow)} | {self.python} | {outcome}{named} | {self.seconds:.0f} |"


def version_of(airflow: str) -> str:
    """Return the version of Airflow that the constraints of a minor version name."""
    constraints = (REPO / "constraints" / f"airflow-{airflow}.txt").read_text()
    return next(line.partition("==")[2] for line in constraints.splitlines() if line.startswith("apache-airflow=="))


def find_python(python: str) -> str | None:
    """Return the path of an interpreter of this minor version, also one of pyenv that is not activated."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    for found in sorted(pyenv.glob(f"versions/{python}.*/bin/python")):
        return str(found)
    search = subprocess.run(
        [UV, "python", "find", "--no-python-downloads", "--no-project", "--system", python],
        capture_output=True,
        text=True,
        check=False,
    )
    return search.stdout.strip() or None


def make_environment(airflow: str, python: str) -> Path:
    """Make the environment anew if it is not there, or made from other files than these.

    :return: its Python.
    """
    folder = REPO / ".matrix" / f"airflow-{airflow}-python-{python}"
    constraints = REPO / "constraints" / f"airflow-{airflow}.txt"
    stamp, made_from = folder / ".made-from", constraints.read_text() + (REPO / "pyproject.toml").read_text()
    if not stamp.exists() or stamp.read_text() != made_from:
        interpreter = find_python(python)
        if interpreter is None:
            raise LookupError(f"no Python {python} on this machine")
        subprocess.run([UV, "venv", "--quiet", "--clear", "--python", interpreter, folder], cwd=REPO, check=True)
        subprocess.run(
            [
                *(UV, "pip", "install", "--quiet", "--compile-bytecode", "--python", folder / "bin" / "python"),
                *("--constraint", constraints, "--group", "test", "--editable", ".[sandbox]"),
            ],
            cwd=REPO,
            check=True,
        )
        stamp.write_text(made_from)
    return folder / "bin" / "python"


def run(airflow: str, python: str, pytest_arguments: list[str]) -> Result:
    """Run the tests on one pair, and show what they print."""
    print(f"== Airflow {airflow}, Python {python}", flush=True)
    started = time.monotonic()
    try:
        interpreter = make_environment(airflow, python)
    except LookupError as error:
        return Result(airflow, python, str(error))
    except subprocess.CalledProcessError as error:
        return Result(airflow, python, f"not installed: {error}", time.monotonic() - started, failed=True)
    summary, failures = "pytest told no result", []
    command = [str(interpreter), "-m", "pytest", "-q", *pytest_arguments]
    with subprocess.Popen(command, cwd=REPO, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            if re.match(r"=* ?\d+ (passed|failed|error|skipped)", line):
                summary = re.sub(r" in [\d.]+s.*", "", line.strip(" =\n"))
            if failure := re.match(r"(?:FAILED|ERROR) (\S+)", line):
                failures.append(failure[1])
    shown = (*failures[:SHOWN_FAILURES], *(["..."] if len(failures) > SHOWN_FAILURES else []))
    return Result(airflow, python, summary, time.monotonic() - started, process.returncode != 0, shown)


def main() -> int:
    """Run the pairs asked for and print a table of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--airflow", default="", help="only this minor version")
    parser.add_argument("--python", default="", help="only this minor version; any, if an Airflow is named too")
    parser.add_argument("pytest_arguments", nargs="*", help='after --; default: -n 6 -m "not slow"')
    asked = parser.parse_args()
    pairs = [pair for pair in PAIRS if asked.airflow in {"", pair[0]} and asked.python in {"", pair[1]}]
    if asked.airflow and asked.python:
        pairs = [(asked.airflow, asked.python)]
    results = [run(*pair, asked.pytest_arguments or DEFAULT) for pair in pairs]
    print("\n| Airflow | Python | result | seconds |\n|---|---|---|---|")
    for result in results:
        print(result)
    # A Python that is not there is told in the table. If it was asked for, or leaves nothing to run, that is a failure.
    ran = [result for result in results if result.seconds]
    return 1 if not all(result.is_allowed for result in results) or not ran else 0


if __name__ == "__main__":
    sys.exit(main())
