from __future__ import annotations

import json

from airflow_provider_leadconv.sandbox.control import LoggedRequest
from tests.support.cluster_rate import usage_while_posting


def request(time: float, lead_id: int | None = None, status: int | None = 200) -> LoggedRequest:
    body = "" if lead_id is None else json.dumps({"data": {"lead_id": lead_id}})
    method = "GET" if lead_id is None else "POST"
    return LoggedRequest(time, method, "/v2/lead_conversions", {}, "", {}, None, body=body, status=status)


def test_what_counts_is_the_time_in_which_a_chunk_sends_leads_for_the_first_time():
    requests = [
        request(0.0),  # of the pre-check
        request(1.0, 11),
        request(2.0, 12, status=429),
        request(3.0, 12),
        request(3.5, 21),
        request(4.0),
        request(5.0, 22),  # chunk 2 ends here: it has sent each lead
        request(9.0, 12),  # sent again
        request(20.0, 13),  # the next try of chunk 1, which was killed at 6.0
        request(22.0, 14, status=None),  # the response was lost
        request(25.0),
    ]
    usage = usage_while_posting(requests, {11: 1, 12: 1, 13: 1, 14: 1, 21: 2, 22: 2}, 6.0, {1})
    # Chunk 1 from 1.0 to 3.0, then from 9.0 to 22.0; chunk 2 from 3.5 to 5.0.
    assert usage == (2.0 + 1.5 + 13.0, 8, 7)
    assert usage.rate == 8 / 16.5
