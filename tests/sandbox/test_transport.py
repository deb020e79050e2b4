from __future__ import annotations

import time

import pytest
import requests

from .conftest import NO_RESPONSE, ids


def test_late_response_and_stall_take_their_duration(start):
    sandbox, api = start(faults=["late_response,seconds=0.3,times=2", "stall,seconds=30"])
    first, second, third = sandbox.leads[:3]
    begun = time.monotonic()
    assert api.post(first).status_code == 200
    assert time.monotonic() - begun >= 0.3
    with pytest.raises(requests.ReadTimeout):
        api.post(second, timeout=0.1)
    with pytest.raises(requests.ReadTimeout):
        api.post(third, timeout=0.1)
    assert sandbox.conversion_counts == {first: 1, second: 1}


def test_truncated_and_cut_bodies_are_broken(start):
    _, api = start(conversions=30, faults=["truncated_body,times=1", "cut_json,times=1"])
    with pytest.raises(NO_RESPONSE):
        api.get()
    cut = api.get()
    assert int(cut.headers["Content-Length"]) == len(cut.content)
    with pytest.raises(ValueError):
        cut.json()
    assert api.get().status_code == 200


@pytest.mark.parametrize("name", ["trickle_body", "trickle_headers"])
def test_trickling_response_outlasts_the_read_timeout(start, name):
    _, api = start(conversions=3, faults=[f"{name},seconds=0.5"])
    begun = time.monotonic()
    # Each byte comes within the read timeout, the whole does not.
    assert len(ids(api.get(timeout=0.4))) == 3
    assert time.monotonic() - begun >= 0.5


def test_huge_body_announces_its_length(start):
    _, api = start(conversions=3, faults=["huge_body,times=1"])
    with api.session.get(api.url, stream=True, timeout=5) as response:
        assert int(response.headers["Content-Length"]) > 64 * 2**20
        assert response.raw.read(100) == b" " * 100
    assert len(ids(api.get())) == 3
