"""What only some versions of Airflow can do. A test that needs it says so, and is skipped on the others.

docs/compatibility.md has a row for each. ``test_capabilities.py`` compares both with the installed Airflow.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version
from operator import attrgetter
from typing import Any

import pytest

Version = tuple[int, int]

AIRFLOW: Version = tuple(int(part) for part in version("apache-airflow").split(".")[:2])
VERSIONS: tuple[Version, ...] = ((2, 11), (3, 0), (3, 1), (3, 2), (3, 3), (3, 4))


def as_text(version: Version) -> str:
    return ".".join(map(str, version))


class Capability:
    """A mark for tests.

    :param text: what it is, as the table says it.
    :param since: the first version of Airflow that has it.
    :param proof: what is there if it is there, ``module:attribute`` or ``module:class.attribute``.
    """

    def __init__(self, text: str, *, since: Version, proof: str) -> None:
        self.text = text
        self.since = since
        self.proof = proof

    @property
    def is_there(self) -> bool:
        """Whether the installed Airflow has it, found by importing it."""
        module, _, name = self.proof.partition(":")
        try:
            attrgetter(name)(import_module(module))
        except (ImportError, AttributeError):
            return False
        return True

    @property
    def mark(self) -> pytest.MarkDecorator:
        return pytest.mark.skipif(self.since > AIRFLOW, reason=self._reason)

    def __call__(self, test: Callable[..., Any]) -> Callable[..., Any]:
        return self.mark(test)

    def or_skip_module(self) -> None:
        """Skip the rest of a test module, for what it imports is not there."""
        if self.since > AIRFLOW:
            pytest.skip(self._reason, allow_module_level=True)

    @property
    def _reason(self) -> str:
        return f"{self.text}: Airflow {as_text(self.since)} or later"


needs_airflow_sdk = Capability(
    "Snippets of the documentation as they are (before: import from `airflow.providers.common.compat.sdk`)",
    since=(3, 0),
    proof="airflow.sdk:DAG",
)
needs_running_airflow = Capability(
    "All examples tested under a running scheduler and triggerer (before: the quickstart)",
    since=(3, 0),
    proof="airflow.api_fastapi.app:create_app",
)
needs_relative_paths = Capability(
    "Local paths that are relative, or begin with `~`", since=(3, 2), proof="upath.types:JoinablePathLike"
)
needs_asset_watchers = Capability(
    "New conversions start a DAG (`AssetWatcher`)", since=(3, 0), proof="airflow.sdk:AssetWatcher"
)
needs_approval = Capability(
    "Approval by a person before a bulk (`ApprovalOperator`)", since=(3, 1), proof="airflow.models.hitl:HITLDetail"
)
needs_retry_policy = Capability(
    "Retries as the error asks for (`LeadConversionRetryPolicy`)", since=(3, 3), proof="airflow.sdk:RetryPolicy"
)
needs_form_without_hook = Capability(
    "Connection form without importing the hook",
    since=(3, 3),
    proof="airflow.providers_manager:ConnectionTypeHookUIMetadata",
)
needs_durable_events = Capability(
    "These events survive a crash of the triggerer", since=(3, 3), proof="airflow.triggers.shared_stream:AdvanceItem"
)
needs_queue = Capability(
    "Polling for new conversions by the triggerers of one queue (`queue`)",
    since=(3, 4),
    proof="airflow.triggers.base:BaseEventTrigger.queue",
)
needs_batching = Capability(
    "A DAG chooses one run for each event or one for several (`batch_asset_events`)",
    since=(3, 4),
    proof="airflow.sdk:AssetTriggeredTimetable",
)
needs_reschedule = Capability(
    "An outage reschedules a task, without using its retries (`LeadConversionRetryPolicy`)",
    since=(3, 4),
    proof="airflow.sdk:RetryDecision.reschedule",
)
needs_state_store = Capability(
    "Progress of a running task in the UI (task state store)",
    since=(3, 3),
    proof="airflow.sdk.execution_time.comms:SetTaskStateStore",
)
needs_note = Capability(
    "Summary of a bulk as the note of its DAG run (`dag_run_note`)",
    since=(3, 4),
    proof="airflow.sdk.execution_time.comms:UpdateDagRunNote",
)

CAPABILITIES = (
    needs_airflow_sdk,
    needs_running_airflow,
    needs_relative_paths,
    needs_asset_watchers,
    needs_durable_events,
    needs_queue,
    needs_batching,
    needs_approval,
    needs_retry_policy,
    needs_reschedule,
    needs_state_store,
    needs_note,
    needs_form_without_hook,
)

NEEDED_BY_EXAMPLES = {"leadconv_bulk_approval": needs_approval, "leadconv_on_conversions": needs_asset_watchers}
"""Example DAG -> what it cannot do without."""
