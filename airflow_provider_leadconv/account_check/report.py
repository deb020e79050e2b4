"""The report of a check, in words and as JSON. It holds counts, statuses and names of fields: no id, name or token."""

from __future__ import annotations

import textwrap
from typing import Any, Literal

import msgspec

from airflow_provider_leadconv import __version__

INDENT = "    "
Verdict = Literal["expected", "different", "not settled"]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to one question.

    :param verdict: whether the account behaves as this package expects.
    :param text: the answer in words.
    :param observed: the figures behind it.
    :param settings: keys of the connection's extra that follow from it, with their values.
    """

    verdict: Verdict
    text: str
    observed: dict[str, Any] = {}
    settings: dict[str, Any] = {}


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a check of an account found.

    :param findings: the answers by the name of the question, in the order in which they were asked.
    :param requests: requests that were sent.
    :param seconds: duration of the check.
    :param version: version of this package.
    """

    findings: dict[str, Finding]
    requests: int
    seconds: float
    version: str = __version__

    @property
    def is_expected(self) -> bool:
        """Whether nothing differs from what this package expects."""
        return all(finding.verdict != "different" for finding in self.findings.values())

    @property
    def settings(self) -> dict[str, Any]:
        """Keys of the connection's extra that follow from the findings, with their values."""
        return {name: value for finding in self.findings.values() for name, value in finding.settings.items()}

    def to_json(self) -> str:
        """Return the report as JSON, to be attached to an issue."""
        document = {**msgspec.structs.asdict(self), "settings": self.settings}
        return msgspec.json.format(msgspec.json.encode(document)).decode()

    def to_text(self) -> str:
        """Return the report in words."""
        lines = [
            f"{name}: {finding.verdict}\n{textwrap.indent(textwrap.fill(finding.text, 96), INDENT)}"
            for name, finding in self.findings.items()
        ]
        if self.settings:
            extra = msgspec.json.encode(self.settings).decode()
            lines += ["", f"Set in the extra of the connection: {extra}"]
        elif self.is_expected:
            lines += ["", "The default settings fit this account."]
        else:
            lines += ["", "No setting adapts to these differences. Open an issue and attach the JSON report."]
        return "\n".join([*lines, f"{self.requests} requests in {self.seconds:.1f} s."])
