from __future__ import annotations

import builtins
import json

import pytest

from airflow_provider_leadconv.check import main

pytestmark = pytest.mark.usefixtures("full_rate")


def test_the_report_in_words_and_as_json(sandbox, tmp_path, capsys):
    path = tmp_path / "report.json"
    assert main(["--json", str(path)]) == 0
    assert "The default settings fit this account." in capsys.readouterr().out
    assert json.loads(path.read_text())["findings"]["scope"]["verdict"] == "expected"


def test_a_difference_has_an_exit_status_of_its_own(sandbox, capsys):
    sandbox.faults = ["missing_rows"]
    assert main([]) == 1
    assert 'Set in the extra of the connection: {"check_count":false}' in capsys.readouterr().out


@pytest.mark.parametrize(("typed", "status", "conversions"), [("yes", 2, 0), ("{lead}", 0, 1)])
def test_a_conversion_wants_the_id_typed_again(sandbox, monkeypatch, capsys, typed, status, conversions):
    lead = sandbox.leads[0]
    monkeypatch.setattr(builtins, "input", lambda _: typed.format(lead=lead))
    assert main(["--convert", str(lead)]) == status
    assert len(sandbox.conversions) == 30 + conversions
    assert "cannot be undone" in capsys.readouterr().out


def test_what_prevents_a_check_is_one_sentence_and_names_the_connection(sandbox, monkeypatch, capsys):
    monkeypatch.setenv("AIRFLOW_CONN_LEADCONV_DEFAULT", json.dumps({**sandbox.connection, "password": "wrong"}))
    assert main([]) == 2
    error = capsys.readouterr().err
    assert error.startswith("the API answered 401: unauthorized: ")
    assert "(connection 'leadconv_default', GET /v2/lead_conversions, request id " in error
    assert error.count("\n") == 1


def test_a_connection_that_does_not_exist(capsys):
    assert main(["--conn-id", "missing"]) == 2
    assert "missing" in capsys.readouterr().err
