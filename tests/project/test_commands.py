"""The commands of the Makefile, and the hooks of Git."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

REPO = Path(__file__).parents[2]
MAKEFILE = (REPO / "Makefile").read_text()
HOOKS = yaml.safe_load((REPO / ".pre-commit-config.yaml").read_text())


def phony() -> list[str]:
    return re.findall(r"^\.PHONY: (.+)$", MAKEFILE, re.MULTILINE)[0].split()


@pytest.mark.parametrize("arguments", [[], ["help"]], ids=["no target", "help"])
def test_help_lists_every_command(arguments: list[str]):
    shown = subprocess.run(["make", *arguments], cwd=REPO, capture_output=True, text=True, check=True).stdout
    assert re.findall(r"^make (\S+) +\S", shown, re.MULTILINE) == phony()


def test_contributing_explains_every_command():
    explained = re.findall(r"^\| `make ([\w-]+)` \|", (REPO / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    assert sorted(explained) == sorted(set(phony()) - {"help"})


def test_every_command_but_that_of_the_cluster_runs_in_the_environment_of_dev():
    groups = tomllib.loads((REPO / "pyproject.toml").read_text())["dependency-groups"]

    def included(name: str) -> set[str]:
        inner = [entry["include-group"] for entry in groups[name] if isinstance(entry, dict)]
        return {name}.union(*map(included, inner))

    assert included("dev") == set(groups) - {"cluster"}


@pytest.mark.parametrize("status", [0, 3])
def test_lint_runs_actionlint_where_it_is_installed(tmp_path: Path, status: int):
    for tool in ("ruff", "mypy", "zizmor", "actionlint"):
        (tmp_path / tool).write_text(f"#!/bin/sh\nexit {status if tool == 'actionlint' else 0}\n")
        (tmp_path / tool).chmod(0o700)
    command = ["make", "--old-file=.venv/.installed", "lint", f"BIN={tmp_path}"]
    environment = os.environ | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    linted = subprocess.run(command, cwd=REPO, env=environment, capture_output=True, check=False)
    assert (linted.returncode == 0) is (status == 0), linted.stderr


def test_every_hook_runs_offline():
    assert [repo["repo"] for repo in HOOKS["repos"]] == ["local"]
    hooks = HOOKS["repos"][0]["hooks"]
    assert {hook["language"] for hook in hooks} == {"system"}
    assert all(hook["entry"].startswith(".venv/bin/") for hook in hooks)
    assert next(hook["entry"] for hook in hooks if hook["id"] == "zizmor") in MAKEFILE.replace("$(BIN)", ".venv/bin")


def test_the_hooks_of_a_commit_pass_in_a_clone(tmp_path: Path):
    pytest.importorskip("pre_commit", reason="needs pre-commit, of the dependency group lint")
    clone = tmp_path / "clone"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment |= {"PRE_COMMIT_HOME": str(tmp_path / "cache"), "https_proxy": "http://127.0.0.1:9"}

    def run(*command: str, folder: Path = clone) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)

    for name in run("git", "ls-files", "--cached", "--others", "--exclude-standard", folder=REPO).stdout.splitlines():
        if (REPO / name).exists():  # as it is now, committed or not
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPO / name, clone / name)
    run("git", "init", "--quiet")
    run("git", "add", ".")
    (clone / ".venv").symlink_to(sys.prefix)
    passed = run(sys.executable, "-m", "pre_commit", "run", "--all-files")
    assert passed.returncode == 0, passed.stdout + passed.stderr
    assert re.findall(r"^(.+?)\.+Passed$", passed.stdout, re.MULTILINE) == ["ruff check", "ruff format", "zizmor"]

    (clone / "scripts" / "wrong.py").write_text("import os\n")
    run("git", "add", "scripts/wrong.py")
    failed = run(sys.executable, "-m", "pre_commit", "run")
    assert failed.returncode == 1
    assert re.findall(r"^(.+?)\.+Failed$", failed.stdout, re.MULTILINE) == ["ruff check"]
