"""The numbers of a bulk run in words, and the text of its error."""

from __future__ import annotations

from itertools import count

import pytest

from airflow_provider_leadconv.bulk.summary import Summary
from tests.support.bulk_simulation import Server, World, convert
from tests.support.responses import envelope, response


@pytest.fixture
def server():
    return Server(World(), leads=16)


def test_the_error_names_counts_by_code_and_the_first_ten_leads(server):
    refused = server.store.add_leads(9, convertible=False)
    owned = [{"lead_id": lead, "owner_id": 5} for lead in server.store.add_leads(2)]
    run = convert(server, [*refused, *owned, 7, 8], concurrency=1).run
    lines = str(run.failure(0)).splitlines()
    assert lines[0] == (
        "13 of 13 leads were not converted: "
        "9 x 422 incorrect_value lead_id, 2 x 422 incorrect_value owner_id, 2 x 404 not_found"
    )
    cannot = "the API answered 422: /data/lead_id: incorrect_value: The lead cannot be converted"
    assert lines[1:10] == [f"  lead {lead} failed: {cannot}" for lead in refused]
    assert lines[10].startswith(f"  lead {owned[0]['lead_id']} failed: the API answered 422: /data/owner_id")
    assert lines[11] == "  and 3 more. Running it again converts only leads that are not converted yet."


def test_the_error_has_a_bounded_length():
    codes = count()

    def refuse(request):
        if request.method == "POST":
            return response(422, envelope("422 Unprocessable Entity", f"code_{next(codes)}", "x" * 5000))
        return None

    server = Server(World(), leads=100, on_request=refuse)
    run = convert(server, server.store.leads).run
    assert run.summary.failed == 100
    assert len(str(run.failure(0))) < 4000


def test_a_summary_says_what_there_is_to_say():
    assert str(Summary(leads=5, converted=3, not_attempted=2, api_calls=9, duration_s=1.26)) == (
        "5 leads: 3 converted, 2 not attempted; 9 requests in 1.3 s"
    )
    assert str(Summary(leads=0)) == "0 leads: nothing to do; 0 requests in 0.0 s"
    assert "2 CONVERTED TWICE" in str(Summary(leads=2, converted=2, duplicates=2))
