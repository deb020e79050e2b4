"""Everything goes wrong at once, over real sockets, at a server that accepts second conversions: no lead is converted
twice, none is lost.
"""

from __future__ import annotations

import json
from collections import Counter

import pytest

from airflow_provider_leadconv.api.at_most_once import MAX_UNKNOWN_OUTCOMES
from airflow_provider_leadconv.api.exceptions import DuplicateConversionError
from airflow_provider_leadconv.sandbox import Fault, Sandbox
from tests.support.bulk_runs import bulk_conversion, bulk_run, client_of, lines_of, posts

THROTTLES = ("throttle_429", "throttle_429_empty", "throttle_404", "throttle_409")
LATE = 0.9  # seconds, within timeout and settle_time


FAULTS = (
    Fault(name="late_visible", share=0.05, seconds=0.4),
    Fault(name="lookup_lag", share=0.3, seconds=0.4),
    Fault(name="error_503", share=0.02, method="GET"),
    Fault(name="error_503", share=0.03, method="POST"),
    Fault(name="late_commit", share=0.03, seconds=LATE),
    Fault(name="drop_after", share=0.1),
    Fault(name="error_504_html_after", share=0.05),
    Fault(name="cut_json", share=0.05, method="POST"),
    Fault(name="drop_before", share=0.1, method="POST"),
)


def throttling_once_under_way(sandbox, leads, times):
    """Reject some requests for their rate when a tenth of the leads is done. At the very start, the limiter would fall
    to 1 a second, and spend minutes on finding out that there is no limit.
    """
    throttles = [Fault(name=name, times=times, method=method) for name in THROTTLES for method in ("GET", "POST")]
    results = []

    def on_result(result):
        results.append(result)
        if len(results) == leads // 10:
            sandbox.faults = [*throttles, *FAULTS]

    return on_result


@pytest.mark.parametrize(
    "size",
    [pytest.param(200, id="200 leads"), pytest.param(2000, id="2000 leads", marks=pytest.mark.slow)],
)
def test_each_lead_once_and_every_result_true(size, tmp_path):
    with Sandbox(leads=size, conversions=300, second_conversion="new", seed=size) as sandbox:
        good = sandbox.leads
        existing = {sandbox.add_conversion(lead)["lead_id"] for lead in good[: size // 40]}
        unknown = [10_000 + number for number in range(size * 3 // 200)]
        owned = [{"lead_id": lead, "owner_id": 5} for lead in sandbox.add_leads(size // 100)]
        batch = good + unknown + owned
        sandbox.faults = FAULTS
        path = tmp_path / "results.jsonl"
        throttle = throttling_once_under_way(sandbox, len(batch), times=1 + size // 2000)
        with bulk_run(sandbox, batch, path, concurrency=16, on_result=throttle) as job:
            job.run()

        lines = lines_of(path)
        given_up = {line["lead_id"] for line in lines if line["status"] == "unknown"}
        requests = Counter(json.loads(request.body)["data"]["lead_id"] for request in posts(sandbox))
        assert given_up <= {lead for lead, number in requests.items() if number >= MAX_UNKNOWN_OUTCOMES}
        assert len(given_up) <= size // 100  # four lost responses in a row

        counts = sandbox.conversion_counts
        assert {lead: counts[lead] for lead in good if lead not in given_up} == dict.fromkeys(set(good) - given_up, 1)
        assert not set(counts) & {*unknown, *(row["lead_id"] for row in owned)}

        assert [line["lead_id"] for line in lines] == good + unknown + [row["lead_id"] for row in owned]
        conversions = {row["lead_id"]: row for row in sandbox.conversions}
        for line in lines:
            lead, result = line["lead_id"], line["status"]
            if lead in conversions:
                assert result == ("existing" if lead in existing else "converted")
                assert line["conversion_id"] == conversions[lead]["id"]
                assert line["deal_id"] == conversions[lead]["deal_id"]
            elif lead not in given_up:
                assert result == "failed"
                assert line["error"]["http_status"] == (404 if lead in unknown else 422)

        summary = job.summary
        reported = Counter(line["status"] for line in lines)
        assert (summary.converted, summary.existing, summary.failed, summary.unknown, summary.not_attempted) == tuple(
            reported[word] for word in ("converted", "existing", "failed", "unknown", "not_attempted")
        )
        assert summary.leads == sum(reported.values()) == len(batch)
        assert summary.existing == len(existing)
        assert summary.not_attempted == summary.duplicates == 0
        assert summary.api_calls == len(sandbox.requests)


@pytest.mark.parametrize("second", ["refuse", "not_found", "conflict", "same", "new"])
def test_a_lead_converted_by_others_after_the_precheck_is_existing(second):
    with Sandbox(leads=3, conversions=5, second_conversion=second) as sandbox:
        leads = sandbox.leads
        with bulk_conversion(sandbox, leads, concurrency=1) as job:
            list(job.precheck())
            theirs = sandbox.add_conversion(leads[1])
            results = {result.lead_id: result for result in job.convert()}
        if second == "new":
            assert sandbox.conversion_counts[leads[1]] == 2
            assert job.ledger.duplicates[leads[1]] > {theirs["id"]}
        else:
            assert results[leads[1]].conversion.id == theirs["id"]
            # A 2xx with the same record looks like a fresh one. After a 409 it is not known who converted it.
            assert results[leads[1]].status == ("converted" if second in {"same", "conflict"} else "existing")


def test_a_duplicate_conversion_is_reported_with_its_ids():
    with Sandbox(leads=3, conversions=5, second_conversion="new") as sandbox:
        leads = sandbox.leads
        with bulk_conversion(sandbox, leads) as job:
            list(job.precheck())
            theirs = sandbox.add_conversion(leads[1])
            list(job.convert())
            with pytest.raises(DuplicateConversionError) as caught:
                job.raise_for_failure()
        ours = next(row for row in sandbox.conversions if row["lead_id"] == leads[1])
        assert str(caught.value) == (
            "1 leads were converted twice while this ran: "
            f"lead {leads[1]}: conversions [{theirs['id']}, {ours['id']}]. "
            "Conversions cannot be undone by the API: in Sell, merge or delete the contacts and deals created twice."
        )


SAME_MOMENT = pytest.mark.expected_violation("converted 2 times", reason="only the API can refuse the second")


@pytest.mark.parametrize("second", ["refuse", "not_found", pytest.param("new", marks=SAME_MOMENT)])
def test_two_runs_of_one_batch_at_the_same_moment(second):
    from threading import Thread

    with Sandbox(leads=60, conversions=5, second_conversion=second, latency=0.005) as sandbox:
        leads = sandbox.leads
        ended = {}

        def run(name, batch):
            with bulk_conversion(sandbox, batch, config={"settle_time": 0.2}) as job:
                results = [*job.precheck(), *job.convert()]
                ended[name] = job, {result.lead_id: result for result in results}

        threads = [Thread(target=run, args=(name, batch)) for name, batch in (("a", leads), ("b", leads[::-1]))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        (job_a, a), (job_b, b) = ended["a"], ended["b"]
        doubles = {lead for lead, count in sandbox.conversion_counts.items() if count > 1}
        assert set(leads) <= set(sandbox.conversion_counts)
        if second == "new":
            assert set(job_a.ledger.duplicates) | set(job_b.ledger.duplicates) == doubles
        else:
            assert not doubles
            assert job_a.ledger.duplicates == job_b.ledger.duplicates == {}
            for lead in leads:
                assert a[lead].conversion.id == b[lead].conversion.id
                assert {a[lead].status, b[lead].status} == {"converted", "existing"}


def test_a_duplicate_check_that_fails_is_logged(caplog):
    with Sandbox(leads=2, conversions=2) as sandbox:
        with bulk_conversion(sandbox, sandbox.leads) as job:
            list(job.precheck())
            sandbox.faults = [Fault(name="html_200", method="GET")]
            list(job.convert())
        assert "Skipped the duplicate check: could not read conversions" in caplog.text
        job.raise_for_failure()


def test_the_client_of_these_tests_is_ours():
    with Sandbox(leads=1) as sandbox, client_of(sandbox) as client:
        assert client.config.timeout + client.config.settle_time > LATE
