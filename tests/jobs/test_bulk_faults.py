"""Everything goes wrong at once, over real sockets, at a server that accepts second conversions: no lead is converted
twice, none is lost.
"""

from __future__ import annotations

from collections import Counter

import pytest

from airflow_provider_leadconv.api.errors import DuplicateConversionError
from airflow_provider_leadconv.sandbox import Fault, Sandbox

from .bulk_account import bulk_run, client_of, lines_of

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


def throttle_once_under_way(sandbox, job, times):
    """Refuse some requests for their rate when a tenth is done. At the very start, it would mean a limit of 1 a second,
    and the pacer would spend minutes on finding out that it is none.
    """
    keep = job._keep
    throttles = [Fault(name=name, times=times, method=method) for name in THROTTLES for method in ("GET", "POST")]

    def keep_and_throttle(outcomes):
        keep(outcomes)
        if throttles and job.summary.converted > job.summary.leads // 10:
            sandbox.faults = [*throttles, *FAULTS]
            throttles.clear()

    job._keep = keep_and_throttle


@pytest.mark.parametrize(
    "size",
    [pytest.param(200, id="200 leads"), pytest.param(2000, id="2000 leads", marks=pytest.mark.slow)],
)
def test_each_lead_once_and_every_outcome_true(size, tmp_path):
    with Sandbox(leads=size, conversions=300, second_conversion="new", seed=size) as sandbox:
        good = sandbox.leads
        existing = {sandbox.add_conversion(lead)["lead_id"] for lead in good[: size // 40]}
        unknown = [10_000 + number for number in range(size * 3 // 200)]
        owned = [{"lead_id": lead, "owner_id": 5} for lead in sandbox.add_leads(size // 100)]
        batch = good + unknown + owned
        sandbox.faults = FAULTS
        path = tmp_path / "results.jsonl"
        with bulk_run(sandbox, batch, path, concurrency=16) as job:
            throttle_once_under_way(sandbox, job, times=1 + size // 2000)
            job.run()

        counts = sandbox.conversion_counts
        assert {lead: counts[lead] for lead in good} == dict.fromkeys(good, 1)
        assert not set(counts) & {*unknown, *(row["lead_id"] for row in owned)}

        lines = lines_of(path)
        assert [line["lead_id"] for line in lines] == good + unknown + [row["lead_id"] for row in owned]
        conversions = {row["lead_id"]: row for row in sandbox.conversions}
        for line in lines:
            lead, outcome = line["lead_id"], line["outcome"]
            if lead in conversions:
                assert outcome == ("existing" if lead in existing else "converted")
                assert line["conversion_id"] == conversions[lead]["id"]
                assert line["deal_id"] == conversions[lead]["deal_id"]
            else:
                assert outcome == "failed"
                assert line["error"]["status"] == (404 if lead in unknown else 422)

        summary = job.summary
        told = Counter(line["outcome"] for line in lines)
        assert (summary.converted, summary.existing, summary.failed, summary.unknown, summary.not_attempted) == tuple(
            told[word] for word in ("converted", "existing", "failed", "unknown", "not_attempted")
        )
        assert summary.leads == sum(told.values()) == len(batch)
        assert summary.existing == len(existing)
        assert summary.unknown == summary.not_attempted == summary.duplicate == 0
        assert summary.api_calls == len(sandbox.requests)


@pytest.mark.parametrize("second", ["refuse", "not_found", "conflict", "same", "new"])
def test_a_lead_converted_by_others_after_the_look_is_existing(second):
    with Sandbox(leads=3, conversions=5, second_conversion=second) as sandbox:
        leads = sandbox.leads
        with bulk_run(sandbox, leads, concurrency=1) as job:
            list(job._job.look())
            theirs = sandbox.add_conversion(leads[1])
            outcomes = {outcome.lead_id: outcome for outcome in job._job.convert()}
        if second == "new":
            assert sandbox.conversion_counts[leads[1]] == 2
            assert job._job.ledger.duplicates[leads[1]] > {theirs["id"]}
        else:
            assert outcomes[leads[1]].conversion.id == theirs["id"]
            # The same record in a 2xx cannot be told from a fresh one. After a 409 nobody knows who converted it.
            assert outcomes[leads[1]].outcome == ("converted" if second in {"same", "conflict"} else "existing")


def test_a_double_is_told_with_its_conversions():
    with Sandbox(leads=3, conversions=5, second_conversion="new") as sandbox:
        leads = sandbox.leads
        with bulk_run(sandbox, leads) as job:
            list(job._job.look())
            theirs = sandbox.add_conversion(leads[1])
            list(job._job.convert())
            error = job.verdict(None)
        ours = next(row for row in sandbox.conversions if row["lead_id"] == leads[1])
        assert isinstance(error, DuplicateConversionError)
        assert str(error) == (
            "1 leads were converted twice while this ran: "
            f"lead {leads[1]}: conversions [{theirs['id']}, {ours['id']}]. "
            "Conversions cannot be undone by the API: in Sell, merge or delete the contacts and deals created twice."
        )


@pytest.mark.parametrize("second", ["refuse", "not_found", "new"])
def test_two_runs_of_one_batch_at_the_same_moment(second):
    from threading import Thread

    with Sandbox(leads=60, conversions=5, second_conversion=second, latency=0.005) as sandbox:
        leads = sandbox.leads
        ended = {}

        def run(name, batch):
            with bulk_run(sandbox, batch, config={"settle_time": 0.2}) as job:
                outcomes = []
                keep = job._keep
                job._keep = lambda some: keep([outcomes.append(outcome) or outcome for outcome in some])
                job.run()
                ended[name] = job, {outcome.lead_id: outcome for outcome in outcomes}

        threads = [Thread(target=run, args=(name, batch)) for name, batch in (("a", leads), ("b", leads[::-1]))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        (job_a, a), (job_b, b) = ended["a"], ended["b"]
        doubles = {lead for lead, count in sandbox.conversion_counts.items() if count > 1}
        assert set(leads) <= set(sandbox.conversion_counts)
        if second == "new":
            told = set(job_a._job.ledger.duplicates) | set(job_b._job.ledger.duplicates)
            assert told == doubles
        else:
            assert not doubles
            assert job_a.summary.duplicate == job_b.summary.duplicate == 0
            for lead in leads:
                assert a[lead].conversion.id == b[lead].conversion.id
                assert {a[lead].outcome, b[lead].outcome} == {"converted", "existing"}


def test_the_audit_that_cannot_be_made_is_told(caplog):
    with Sandbox(leads=2, conversions=2) as sandbox:
        with bulk_run(sandbox, sandbox.leads) as job:
            list(job._job.look())
            sandbox.faults = [Fault(name="html_200", method="GET")]
            list(job._job.convert())
        assert "Nobody looked for leads that were converted twice" in caplog.text
        assert job.verdict(0) is None


def test_the_client_of_these_tests_is_ours():
    with Sandbox(leads=1) as sandbox, client_of(sandbox) as client:
        assert client.config.timeout + client.config.settle_time > LATE
