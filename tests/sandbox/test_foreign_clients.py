"""Other clients page through the sandbox by following its links."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec

import pytest

from tests.support import foreign_clients
from tests.support.servers import Server, http_response, says

TIMEOUT = 300  # seconds, as a safety net: dlt takes seconds to import, and many on a busy machine
POST = """
curl -v --fail --max-time 60 -X POST $URL/v2/lead_conversions \\
-H "Accept: application/json" \\
-H "Content-Type: application/json" \\
-H "Authorization: Bearer $ACCESS_TOKEN" \\
-d '{ "data": { "lead_id": LEAD, "owner_id": OWNER, "create_deal": false } }'
"""

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")


def needs(module):
    reason = f"needs {module}, of the dependency group clients, which does not go with every Airflow"
    return pytest.mark.skipif(find_spec(module) is None, reason=reason)


every_client = pytest.mark.parametrize(
    "client",
    [
        pytest.param("curl", marks=needs_curl),
        pytest.param("dlt", marks=needs("dlt")),
        pytest.param("singer-sdk", marks=needs("singer_sdk")),
    ],
)


@pytest.fixture
def read(tmp_path):
    """Run a client, which has a home of its own and no proxy."""
    home = {"HOME": str(tmp_path), "DLT_DATA_DIR": str(tmp_path / "dlt"), "NO_PROXY": "127.0.0.1"}

    def _read(client, sandbox):
        command = [sys.executable, foreign_clients.__file__, client, sandbox.base_url, sandbox.token]
        return subprocess.run(
            command, cwd=tmp_path, env=os.environ | home, capture_output=True, text=True, timeout=TIMEOUT
        )

    return _read


@every_client
def test_each_conversion_is_read_once_over_several_pages(start, read, client):
    sandbox, _ = start(conversions=65)
    done = read(client, sandbox)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [row["id"] for row in sandbox.conversions]
    assert [(request.status, "cursor" in request.query) for request in sandbox.requests] == [
        (200, False),
        (200, True),
        (200, True),
        (200, True),
    ]


@every_client
def test_a_link_to_another_host_leads_the_client_there(start, read, client):
    """So the test above fails if links lead elsewhere."""
    with Server(says(http_response(status="404 Not Found"))) as elsewhere:
        sandbox, _ = start(conversions=65, link_base=elsewhere.url)
        done = read(client, sandbox)
        assert done.returncode != 0
        assert elsewhere.requests
        assert len(sandbox.requests) == 1


@needs_curl
def test_a_lead_is_converted_with_curl_as_on_the_vendors_page(start):
    sandbox, api = start()
    lead, owner = sandbox.leads[0], sandbox.owners[2]
    done = subprocess.run(
        ["bash", "-c", POST.replace("LEAD", str(lead)).replace("OWNER", str(owner))],
        env=os.environ | {"ACCESS_TOKEN": sandbox.token, "URL": sandbox.base_url, "NO_PROXY": "127.0.0.1"},
        stdout=subprocess.PIPE,
        timeout=TIMEOUT,
    )
    converted = json.loads(done.stdout)
    assert converted["data"] == sandbox.conversions[0]
    assert (converted["data"]["lead_id"], converted["data"]["deal_id"]) == (lead, None)
    assert sandbox.requests[0].headers["user-agent"].startswith("curl/")
    assert api.get(lead_id=lead).json()["items"] == [converted]
