"""What GitHub runs has no more rights than it needs, runs only actions that are pinned, and tests all versions."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.test_matrix import PAIRS

GITHUB = Path(__file__).parents[2] / ".github"
WORKFLOWS = sorted(GITHUB.glob("workflows/*.yml"))
CHECKOUT = "actions/checkout@"


def read(path: Path) -> dict[str, Any]:
    return yaml.load(path.read_text(), yaml.BaseLoader)  # in which `on` is a key, and 3.10 a text


JOBS = [pytest.param(job, id=f"{path.stem}-{name}") for path in WORKFLOWS for name, job in read(path)["jobs"].items()]


def test_there_are_workflows():
    assert {path.stem for path in WORKFLOWS} == {"ci", "release"}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_has_no_permissions_but_those_of_its_jobs(path: Path):
    workflow = read(path)
    assert workflow["permissions"] == {}
    assert "group" in workflow["concurrency"]
    assert "pull_request_target" not in workflow["on"]


@pytest.mark.parametrize("job", JOBS)
def test_a_job_ends_in_time_and_names_its_permissions(job: dict[str, Any]):
    assert 0 < int(job["timeout-minutes"]) <= 60
    assert job["permissions"] in ({"contents": "read"}, {"id-token": "write"})


@pytest.mark.parametrize("job", JOBS)
def test_no_step_can_read_the_credentials_of_a_checkout(job: dict[str, Any]):
    for step in job["steps"]:
        if step.get("uses", "").startswith(CHECKOUT):
            assert step["with"] == {"persist-credentials": "false"}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_every_action_is_pinned_to_a_commit_and_names_its_version(path: Path):
    lines = re.findall(r"^.*\buses:.*$", path.read_text(), re.MULTILINE)
    assert lines
    assert [line for line in lines if not re.search(r"uses: [\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line)] == []


def test_an_action_has_the_same_commit_everywhere():
    used = re.findall(r"uses: (\S+)@(\S+) # (\S+)", "".join(path.read_text() for path in WORKFLOWS))
    assert len(set(used)) == len({action for action, *_ in used})


def test_the_tests_run_on_every_pair_of_the_matrix():
    matrix = read(GITHUB / "workflows" / "ci.yml")["jobs"]["test"]["strategy"]["matrix"]["include"]
    assert [(pair["airflow"], pair["python"]) for pair in matrix] == list(PAIRS)


def test_only_the_job_that_publishes_gets_a_token_of_the_index():
    release = read(GITHUB / "workflows" / "release.yml")["jobs"]
    with_token = [name for name, job in release.items() if "id-token" in job["permissions"]]
    assert with_token == ["publish"]
    publish = release["publish"]
    assert publish["environment"]["name"] == "pypi"
    assert publish["needs"] == "build"
    assert [step.get("run") for step in publish["steps"]] == [None, None], "it runs no code of the repository"


def test_updates_wait_until_a_version_has_been_out_for_a_week():
    updates = read(GITHUB / "dependabot.yml")["updates"]
    assert {update["package-ecosystem"] for update in updates} == {"github-actions", "pip"}
    assert all(int(update["cooldown"]["default-days"]) >= 7 for update in updates)


@pytest.mark.parametrize("path", sorted(GITHUB.glob("ISSUE_TEMPLATE/[!c]*.yml")), ids=lambda path: path.stem)
def test_an_issue_form_has_what_github_requires(path: Path):
    form = read(path)
    assert form["name"]
    assert form["description"]
    ids = [field["id"] for field in form["body"] if field["type"] != "markdown"]
    assert len(set(ids)) == len(ids) > 0
    assert all(field["attributes"].get("label") for field in form["body"] if field["type"] != "markdown")


def test_a_bug_report_asks_for_versions_the_connection_and_the_account_check():
    fields = {field["id"]: field["attributes"] for field in read(GITHUB / "ISSUE_TEMPLATE" / "bug.yml")["body"][1:]}
    assert "airflow version" in fields["versions"]["description"]
    assert "without its token" in fields["connection"]["description"]
    assert "python -m airflow_provider_leadconv.check" in fields["check"]["description"]
