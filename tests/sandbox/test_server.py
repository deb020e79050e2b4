from __future__ import annotations

import socket
import threading
import time

import pytest
import requests

from airflow_provider_leadconv.sandbox import Sandbox


def test_stop_ends_requests_in_flight(start):
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


def test_connection_forms_name_the_port_and_the_token():
    with Sandbox(seed=1) as sandbox:
        assert sandbox.base_url == f"http://127.0.0.1:{sandbox.port}"
        assert sandbox.connection_uri == f"leadconv://:{sandbox.token}@127.0.0.1:{sandbox.port}/http"
        assert len(sandbox.token) == 64


def test_invalid_setting_is_an_error():
    with pytest.raises(ValueError, match="rate"):
        Sandbox(rate=-1)
    with pytest.raises(ValueError, match="second_conversion"):
        Sandbox(second_conversion="perhaps")
    with pytest.raises(ValueError, match="speed"):
        Sandbox(speed=1)
    for path_prefix in ("sell", "/sell/", "/"):
        with pytest.raises(ValueError, match=f"path_prefix is '{path_prefix}'"):
            Sandbox(path_prefix=path_prefix)


def test_a_busy_port_is_an_error():
    with Sandbox() as first, pytest.raises(OSError, match="in use"):
        Sandbox(port=first.port).start()


def test_conversions_by_other_users_are_listed(start):
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
