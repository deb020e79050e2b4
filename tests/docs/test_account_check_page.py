"""The commands and the snippet of the page, against the sandbox."""

from __future__ import annotations

import re
import shlex

import pytest

from airflow_provider_leadconv.account_check.questions import QUESTIONS
from airflow_provider_leadconv.check import main
from tests.support.snippets import Page

pytestmark = pytest.mark.usefixtures("full_rate")

PAGE = Page("docs/account-check.md")
PREFIX = ["python", "-m", "airflow_provider_leadconv.check"]


def arguments(shown: str) -> list[str]:
    command = shlex.split(shown)
    assert command[:3] == PREFIX
    return command[3:]


def test_the_command(sandbox, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments(PAGE.block("bash", "--json"))) == 0
    assert (tmp_path / "report.json").exists()


def test_the_table_has_all_questions():
    assert re.findall(r"^\| ([a-z][^|]+) \| [A-Z`]", PAGE.text, re.MULTILINE) == ["scope", *QUESTIONS]


def test_the_snippet(sandbox, capsys):
    exec(PAGE.block("python", "check_account"), {})
    assert "The default settings fit this account." in capsys.readouterr().out


def test_the_command_with_a_conversion(sandbox, monkeypatch, capsys):
    monkeypatch.setattr("builtins.input", lambda _: "5012001")
    assert main(arguments(PAGE.block("bash", "--convert"))) == 2  # there is no such lead
    assert "404" in capsys.readouterr().err
    assert len(sandbox.conversions) == 30
