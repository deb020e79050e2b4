"""The sandbox as a program: ``__main__``."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys

import msgspec
import pytest
import requests

from airflow_provider_leadconv.operators.bulk import LeadConversionBulkOperator
from airflow_provider_leadconv.sandbox.__main__ import main
from airflow_provider_leadconv.sandbox.faults import FAULTS
from airflow_provider_leadconv.sandbox.settings import SandboxSettings

TIMEOUT = 60
"""Seconds, as a safety net: starting a program takes long on a busy machine."""


def usage_error(capsys, *arguments):
    """The last line of the error of a call that must fail."""
    with pytest.raises(SystemExit, match=r"^2$"):
        main(arguments)
    return capsys.readouterr().err.splitlines()[-1]


def run(*arguments):
    command = [sys.executable, "-m", "airflow_provider_leadconv.sandbox", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_program_serves_until_a_signal(number):
    program = run("--port", "0", "--leads", "5", "--conversions", "30", "--fault", "throttle_429:0")
    try:
        lines = dict(program.stdout.readline().strip().split(": ", 1) for _ in range(4))
        url, token = lines["Base URL"].strip(), lines["Access token"].strip()
        response = requests.get(f"{url}/v2/lead_conversions", headers={"Authorization": f"Bearer {token}"})
        assert len(response.json()["items"]) == 25
        connection = json.loads(lines["Connection JSON"])
        assert (connection["password"], connection["schema"]) == (token, "http")
        assert lines["Connection URI"].strip() == f"leadconv://:{token}@127.0.0.1:{connection['port']}/http"
        program.send_signal(number)
        assert program.wait(TIMEOUT) == 0
        assert program.stderr.read() == ""
    finally:
        program.kill()
        program.communicate()


def test_invalid_fault_is_a_usage_error(capsys):
    assert "unknown fault 'nonsense'; there are: " in usage_error(capsys, "--fault", "nonsense")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--port", "65536"), "argument --port: '65536' is not a whole number from 0 to 65535"),
        (("--leads", "-1"), "argument --leads: '-1' is not a whole number from 0 to 10000000"),
        (("--conversions", "x"), "argument --conversions: 'x' is not a whole number from 0 to 10000000"),
        (("--path-prefix", "sell"), "path_prefix is 'sell', must start with a slash and not end with one"),
        (("--link-base", "sell"), "setting link_base of the sandbox is 'sell': "),
        (("--rate", "-1"), "setting rate of the sandbox is -1.0: "),
        (("--rate-window", "x"), "argument --rate-window: invalid choice: 'x'"),
        (("--post-status", "202"), "argument --post-status: invalid choice: 202"),
    ],
)
def test_an_invalid_option_is_a_usage_error_that_names_it(capsys, arguments, message):
    assert usage_error(capsys, *arguments).startswith(f"python -m airflow_provider_leadconv.sandbox: error: {message}")


def test_a_busy_port_is_one_sentence():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        program = run("--port", str(port))
        output, errors = program.communicate(timeout=TIMEOUT)
    assert (program.returncode, output) == (1, "")
    assert errors == f"Port {port} is already in use; choose another with --port, or --port 0 for a free one.\n"


def test_leads_are_written_to_a_file_that_a_bulk_reads(tmp_path, monkeypatch):
    path = tmp_path / "leads.csv"
    program = run("--port", "0", "--leads", "7", "--conversions", "0", "--rate", "0", "--write-leads", str(path))
    try:
        lines = dict(program.stdout.readline().strip().split(": ", 1) for _ in range(4))
        url, connection = lines["Base URL"].strip(), json.loads(lines["Connection JSON"])
        leads = requests.get(f"{url}/_sandbox/leads").json()
        connection["extra"] = {"requests_per_second": 1000, "timeout": 5, "settle_time": 0.1}
        monkeypatch.setenv("AIRFLOW_CONN_LEADCONV_DEFAULT", json.dumps(connection))
        LeadConversionBulkOperator(task_id="convert", leads_path=str(path)).execute({})
        assert requests.get(f"{url}/_sandbox/conversions").json() == {str(lead): 1 for lead in leads}
        assert requests.get(f"{url}/_sandbox/leads").json() == []
    finally:
        program.kill()
        program.communicate()
    assert len(leads) == 7


def test_a_file_that_cannot_be_written_is_one_sentence(tmp_path):
    path = tmp_path / "missing" / "leads.csv"
    program = run("--port", "0", "--write-leads", str(path))
    output, errors = program.communicate(timeout=TIMEOUT)
    assert (program.returncode, output) == (1, "")
    assert errors == f"Cannot write the leads to {path}: No such file or directory.\n"


def test_missing_web_framework_gives_a_hint():
    script = (
        "import sys; sys.modules['fastapi'] = None\n"
        "import airflow_provider_leadconv.sandbox.settings\n"
        "from airflow_provider_leadconv.sandbox import Fault\n"
        "assert 'uvicorn' not in sys.modules and 'starlette' not in sys.modules\n"
        "from airflow_provider_leadconv.sandbox.__main__ import main\n"
        "sys.exit(main(['--port', '0']))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=TIMEOUT)
    assert done.returncode == 1
    assert "pip install 'airflow-provider-leadconv[sandbox]'" in done.stderr


def test_help_has_every_fault_and_every_flag(capsys):
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["--help"])
    text = capsys.readouterr().out
    for name, kind in FAULTS.items():
        assert re.search(rf"^  {name} +{re.escape(kind.summary)}$", text, re.MULTILINE)
    settings = {f"--{name.replace('_', '-')}" for name in SandboxSettings.__struct_fields__}
    others = {"--help", "--port", "--leads", "--conversions", "--seed", "--path-prefix", "--write-leads", "--fault"}
    assert set(re.findall(r"--[a-z-]+", text)) == others | settings


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), SandboxSettings(rate=10.0)),
        (("--rate", "0", "--post-status", "201"), SandboxSettings(post_status=201)),
        (
            ("--link-base", "https://api.getbase.com"),
            SandboxSettings(rate=10.0, link_base="https://api.getbase.com"),
        ),
        (
            ("--retry-after", "3", "--unknown-lead", "invalid"),
            SandboxSettings(rate=10.0, retry_after=3, unknown_lead="invalid"),
        ),
    ],
)
def test_flags_are_the_settings(arguments, expected):
    program = run("--port", "0", *arguments)
    try:
        url = program.stdout.readline().partition(": ")[2].strip()
        assert requests.get(f"{url}/_sandbox/settings").json() == msgspec.to_builtins(expected)
    finally:
        program.kill()
        program.communicate()
