from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
import requests

from airflow_provider_leadconv.sandbox import Sandbox


def test_stops_soon_with_requests_in_flight(start):
    sandbox, api = start(faults=["stall,seconds=60"])
    ended = threading.Event()

    def stalled():
        with pytest.raises(requests.ConnectionError):
            api.get(timeout=30)
        ended.set()

    thread = threading.Thread(target=stalled)
    thread.start()
    while not sandbox.requests:
        time.sleep(0.01)
    begun = time.monotonic()
    sandbox.stop()
    assert time.monotonic() - begun < 2
    thread.join(2)
    assert ended.is_set()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", sandbox.port), timeout=1)


def test_connection_forms():
    with Sandbox(seed=1) as sandbox:
        assert sandbox.base_url == f"http://127.0.0.1:{sandbox.port}"
        assert sandbox.connection_uri == f"leadconv://:{sandbox.token}@127.0.0.1:{sandbox.port}/http"
        assert len(sandbox.token) == 64


def test_path_prefix(start):
    sandbox, api = start(path_prefix="/sell")
    assert api.get().status_code == 200
    assert "%2Fsell" in sandbox.connection_uri
    outside = requests.get(f"http://127.0.0.1:{sandbox.port}/v2/lead_conversions")
    assert outside.status_code == 404


def test_bad_settings():
    with pytest.raises(ValueError, match="rate"):
        Sandbox(rate=-1)
    with pytest.raises(ValueError):
        Sandbox(second_conversion="perhaps")


def test_conversions_by_other_users(start):
    sandbox, api = start()
    lead = sandbox.leads[0]
    made = sandbox.add_conversion(lead, visible_after=60)
    fresh = sandbox.add_conversion()
    assert sandbox.conversions == [fresh, made]
    assert api.get().json()["items"][0]["data"] == fresh
    assert api.get().json()["meta"]["count"] == 1
    assert api.post(lead).status_code == 422
    sandbox.remove_conversion(fresh["id"])
    assert api.get().json()["items"] == []


def run(*arguments):
    command = [sys.executable, "-m", "airflow_provider_leadconv.sandbox", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_program(number):
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
        assert program.wait(5) == 0
        assert program.stderr.read() == ""
    finally:
        program.kill()
        program.communicate()


def test_program_refuses_nonsense():
    program = run("--fault", "nonsense")
    _, errors = program.communicate(timeout=10)
    assert program.returncode == 2
    assert "drop_after" in errors


def test_light_modules_and_the_hint_without_a_web_framework():
    script = (
        "import sys; sys.modules['fastapi'] = None\n"
        "import airflow_provider_leadconv.sandbox.ratelimits\n"
        "from airflow_provider_leadconv.sandbox import Fault\n"
        "assert 'uvicorn' not in sys.modules and 'starlette' not in sys.modules\n"
        "from airflow_provider_leadconv.sandbox.__main__ import main\n"
        "sys.exit(main(['--port', '0']))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=20)
    assert done.returncode == 1
    assert "pip install 'airflow-provider-leadconv[sandbox]'" in done.stderr
