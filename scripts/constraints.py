"""Choose newest versions that go together, for each Airflow we support, and write them to ``constraints/``."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

REPO = Path(__file__).parent.parent
UV = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}") or "uv"

TOOLS = (
    *("furo", "harfile", "hypothesis", "hypothesis-graphql", "jsonschema-rs", "myst-parser", "pyrate-limiter"),
    *("requests", "roman-numerals", "schemathesis", "selenium", "sphinx", "urllib3", "uv"),
)
"""What the tests and the docs rely on in its newest version, wherever it goes with the Airflow."""

HTTPX2 = ("httpcore2", "httpx2", "httpx2-jsfetch")
"""What the triggerer sends with, in the version that we need."""

AIRFLOWS: dict[str, tuple[str, tuple[str, ...]]] = {
    "2.11": ("", ()),
    # Released without upper bounds, and broken by what was released since. These must be newer all the same: the
    # provider needs that common-compat, and Python 3.14, for which uv resolves too, that asgiref.
    "3.0": ("2025-09-20", ("apache-airflow-providers-common-compat", "asgiref", "idna", *HTTPX2, *TOOLS)),
    "3.1": ("", ()),
    "3.2": ("2026-06-10", ("apache-airflow-providers-common-compat", *HTTPX2, *TOOLS)),  # as 3.0
    "3.3": ("", ()),
    "3.4": ("", ()),
}
"""Minor version of Airflow -> ignore releases after this day, except of these packages."""

PRERELEASES = ("3.4",)
"""Those of which there are only pre-releases. Of the others, and of all other packages, only releases are used."""

DEFAULT = "3.3"
"""The one that `make test` and `make test-cluster` run."""

GROUPS = ("test",)
"""Dependency groups of all versions: what `make test-matrix` installs."""

DEFAULT_GROUPS = ("dev", "cluster")
"""Those of the default."""

EXTRAS = ("parquet", "sandbox", "zstd")
"""The other extras are providers: those of group test are in there, and each of the rest brings a hundred packages."""

LATER = "2026-11-01"
"""The day up to which the exceptions may be released."""


def command(airflow: str) -> list[str]:
    """Return the command that compiles the constraints for a minor version of Airflow."""
    day, exceptions = AIRFLOWS[airflow]
    groups = DEFAULT_GROUPS if airflow == DEFAULT else GROUPS
    limits = ["--exclude-newer", day] if day else []
    for package in exceptions:
        limits += ["--exclude-newer-package", f"{package}={LATER}"]
    return [
        *(UV, "pip", "compile", "--quiet", "--universal", "--python-version", "3.11", "--upgrade", *limits),
        *("--no-emit-index-url", "--no-annotate", "--custom-compile-command", "make constraints"),
        *(argument for group in groups for argument in ("--group", group)),
        *(argument for extra in EXTRAS for argument in ("--extra", extra)),
        *("--output-file", f"constraints/airflow-{airflow}.txt", "pyproject.toml", "-"),
    ]


def main() -> None:
    """Write the constraints of the versions named, or of all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("airflow", nargs="*", choices=[[], *AIRFLOWS], help="minor versions; default: all")
    for airflow in parser.parse_args().airflow or AIRFLOWS:
        requirement = f"apache-airflow=={airflow}.*" + (f",>={airflow}.0a0" if airflow in PRERELEASES else "")
        subprocess.run(command(airflow), cwd=REPO, input=requirement, text=True, check=True)


if __name__ == "__main__":
    main()
