"""Check the licences of what users install with this package: its dependencies, its extras, and what these need."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PACKAGE = "airflow-provider-leadconv"

ALLOWED = {
    "0BSD",
    "Apache-2.0",
    "Artistic-1.0-Perl",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CC0-1.0",
    "CNRI-Python",
    "HPND",
    "ISC",
    "MIT",
    "MIT-0",
    "MIT-CMU",
    "MPL-2.0",
    "PSF-2.0",
    "Python-2.0",
    "Unlicense",
    "Zlib",
    "ZPL-2.1",
}
"""SPDX identifiers of licences that go together with Apache-2.0."""

NAMES = {
    r"apache.*": "Apache-2.0",
    r"artistic license": "Artistic-1.0-Perl",
    r"(the )?mit( license)?( \(mit\))?": "MIT",
    r"mit no attribution( license)?( \(mit-0\))?": "MIT-0",
    r"(3-clause bsd|bsd[- ]3-clause|new bsd|modified bsd|bsd|3-clause)( license)?": "BSD-3-Clause",
    r"(2-clause bsd|bsd[- ]2-clause)( license)?": "BSD-2-Clause",
    r"isc( license)?( \(iscl\))?": "ISC",
    r"(mozilla public license 2\.0|mpl ?2\.0)( \(mpl 2\.0\))?": "MPL-2.0",
    r"(python software foundation|psf)( license)?( version 2)?": "PSF-2.0",
    r"(the )?unlicense( \(unlicense\))?": "Unlicense",
    r"zope public license": "ZPL-2.1",
}
"""What metadata without an SPDX expression says, as a pattern -> the SPDX identifier."""

DRIVERS = {
    "mysql-connector-python": "GPL-2.0 with the Universal FOSS Exception, which covers Apache-2.0",
    "psycopg": "LGPL-3.0, used as a library",
    "psycopg-binary": "LGPL-3.0, used as a library",
    "psycopg2-binary": "LGPL with exceptions, used as a library",
}
"""What the extras of databases install in addition, through Airflow's providers: drivers, and why they are accepted."""


def licence_of(package: Distribution) -> str:
    """Return the SPDX expression of a package, or what its metadata says instead."""
    expressions, classifiers, texts = (
        package.metadata.get_all(field) or [] for field in ("License-Expression", "Classifier", "License")
    )
    if expressions:
        return str(expressions[0])
    licences = [line.rpartition(" :: ")[2] for line in classifiers if line.startswith("License :: ")]
    named = [name for name in licences if name != "OSI Approved"] or [text.partition("\n")[0] for text in texts]
    return " OR ".join(map(_identifier, named)) or _identifier("")


def _identifier(name: str) -> str:
    for pattern, identifier in NAMES.items():
        if re.fullmatch(pattern, name.strip(), re.IGNORECASE):
            return identifier
    return name or "none named"


def is_allowed(expression: str) -> bool:
    """Return whether each part that is joined by AND has an alternative that is allowed."""
    alternatives = (re.split(r"\s+OR\s+", part) for part in re.split(r"\s+AND\s+", expression))
    return all(any(name.strip(" ()").split(" WITH ")[0] in ALLOWED for name in names) for names in alternatives)


def runtime_dependencies(*extras: str) -> dict[str, Distribution]:
    """The packages that this package needs, directly or not, as far as they are installed.

    :param extras: of this package; what they need is included.
    :return: name of each package, and what is installed of it.
    """
    found: dict[str, Distribution] = {}
    todo = [(PACKAGE, extra) for extra in ("", *extras)]
    seen = set(todo)
    while todo:
        package, extra = todo.pop()
        try:
            found[package] = distribution(package)
        except PackageNotFoundError:  # of an extra that is not installed
            continue
        new = set(_requirements(found[package], extra)) - seen
        seen |= new
        todo += new
    return found


def _requirements(package: Distribution, extra: str) -> Iterator[tuple[str, str]]:
    for line in package.requires or ():
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            for wanted in ("", *requirement.extras):
                yield canonicalize_name(requirement.name), wanted


def missing_of_extras(extras: Iterable[str]) -> list[str]:
    """Return what the extras of this package need and is not installed."""
    wanted = {name for extra in extras for name, _ in _requirements(distribution(PACKAGE), extra)}
    return sorted(wanted - runtime_dependencies(*extras).keys())


def main() -> int:
    """Print each package with its licence.

    :return: 1 if one is not allowed.
    """
    extras = distribution(PACKAGE).metadata.get_all("Provides-Extra") or []
    needed, refused = runtime_dependencies(), 0
    for name, package in sorted(runtime_dependencies(*extras).items()):
        licence, note = licence_of(package), ""
        if not is_allowed(licence):
            accepted = name not in needed and name in DRIVERS
            note = f"  accepted: {DRIVERS[name]}" if accepted else "  NOT ALLOWED"
            refused += not accepted
        print(f"{name}: {licence}{note}")
    if missing := missing_of_extras(extras):
        print(f"not installed, so not checked: {', '.join(missing)}")
    print(f"{refused} with a licence that is not allowed")
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
