from __future__ import annotations

import pytest
import requests

from .conftest import code


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v2/leads"), ("PUT", "/v2/lead_conversions"), ("HEAD", "/v2/lead_conversions")],
)
def test_unknown_path_or_method_is_incorrect_path(start, method, path):
    sandbox, api = start()
    response = api.session.request(method, sandbox.base_url + path)
    assert response.status_code == 404
    if method != "HEAD":
        assert code(response) == "incorrect_path"
        assert f"'{path}'" in response.json()["errors"][0]["error"]["details"]


def test_path_prefix_is_part_of_every_url(start):
    sandbox, api = start(path_prefix="/sell")
    assert api.get().status_code == 200
    assert "%2Fsell" in sandbox.connection_uri
    outside = requests.get(f"http://127.0.0.1:{sandbox.port}/v2/lead_conversions")
    assert outside.status_code == 404
