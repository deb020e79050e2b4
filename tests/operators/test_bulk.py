"""The operator in Airflow's own task runner, against the sandbox."""

from __future__ import annotations

import json
import logging
import os
import signal
import threading
import time
from datetime import timedelta
from uuid import UUID

import fsspec
import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException, ObjectStoragePath
from fsspec.implementations.memory import MemoryFileSystem

from airflow_provider_leadconv.api.exceptions import LeadsNotConvertedError
from airflow_provider_leadconv.hooks.leadconv import LeadConversionHook
from airflow_provider_leadconv.operators.bulk import LeadConversionBulkOperator
from airflow_provider_leadconv.sandbox import Fault
from tests.support.airflow_harness import run_dag, run_task
from tests.support.capabilities import AIRFLOW

try:
    from airflow.sdk.io import attach
except ImportError:  # Airflow 2
    from airflow.io.store import attach

STOPPED = "LeadsNotConvertedError" if AIRFLOW >= (3, 0) else "AirflowTaskTerminated"
"""What a killed task raises. Airflow 2 interrupts it after ``on_kill``, Airflow 3 lets it end."""
WORDS = ("converted", "existing", "failed", "unknown", "not_attempted")


@pytest.fixture(autouse=True)
def _quick(sandbox, monkeypatch, full_rate):
    extra = {"timeout": 1, "settle_time": 0.2, "requests_per_second": 500}
    monkeypatch.setenv("AIRFLOW_CONN_LEADCONV_DEFAULT", json.dumps({**sandbox.connection, "extra": extra}))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "out" / "results.jsonl"


def bulk(**options):
    return LeadConversionBulkOperator(task_id="convert", **options)


def counts(summary):
    return {word: summary[word] for word in WORDS if summary[word]}


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def posts(sandbox):
    return [json.loads(request.body)["data"] for request in sandbox.requests if request.method == "POST"]


def sent(sandbox):
    return sum(request.method == "POST" for request in sandbox.requests)


# Input


@pytest.mark.parametrize(
    "template", ["{{ params.leads }}", "{{ params.leads | tojson }}", "{{ params.leads | join(',') }}"]
)
def test_leads_from_a_template(sandbox, template):
    leads = sandbox.leads[:3]
    run = run_task(bulk(leads=template, params={"leads": leads}))
    assert (run.state, counts(run.value)) == ("success", {"converted": 3})
    assert [sandbox.conversion_counts[lead] for lead in leads] == [1, 1, 1]


def test_settings_and_templates_of_a_row_and_of_the_operator(sandbox):
    first, second, third = sandbox.leads[:3]
    owner, other = sandbox.owners[:2]
    leads = [first, {"lead_id": second, "owner_id": other}, {"lead_id": third, "create_deal": "true"}]
    run = run_task(bulk(leads=leads, owner_id="{{ params.owner }}", create_deal=False, params={"owner": owner}))
    assert run.state == "success"
    assert sorted(posts(sandbox), key=lambda data: data["lead_id"]) == [
        {"lead_id": first, "owner_id": owner, "create_deal": False},
        {"lead_id": second, "owner_id": other, "create_deal": False},
        {"lead_id": third, "owner_id": owner, "create_deal": True},
    ]


def test_rows_of_an_upstream_task(sandbox):
    from airflow.providers.common.compat.sdk import task

    leads = sandbox.leads[:2]

    @task
    def query():
        return [[str(lead)] for lead in leads]

    with DAG("upstream", schedule=None) as dag:
        bulk(leads=query())
    assert counts(run_dag(dag)["convert"].value) == {"converted": 2}
    nothing = run_task(dag.get_task("convert"))
    assert nothing.state == "failed"
    assert "if an upstream task was to give them, it gave None" in str(nothing.error)


def test_mapped_over_batches(sandbox, tmp_path):
    leads = sandbox.leads
    with DAG("mapped", schedule=None):
        mapped = LeadConversionBulkOperator.partial(
            task_id="convert", concurrency=2, dry_run=False, results_path=str(tmp_path / "{{ ti.map_index }}.jsonl")
        ).expand(leads=[leads[:3], leads[3:5]])
    for batch in mapped.expand_input.value["leads"]:
        task = mapped.unmap({"leads": batch})
        assert counts(task.execute({})) == {"converted": len(batch)}
        (tmp_path / "{{ ti.map_index }}.jsonl").unlink()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"leads": [1, "x"]}, "row 2: lead_id must be an integer"),
        ({"leads": "nonsense"}, "row 1: lead_id must be an integer"),
        ({"leads": [1], "limit": "x"}, "limit must be an integer"),
        ({"leads": [1], "max_leads": "x"}, "max_leads must be an integer"),
        ({"leads": [1, 2, 3], "max_leads": "2"}, "there are more leads than max_leads=2; nothing was converted"),
        ({"leads": [1, 2, 3], "max_leads": 1, "limit": 2}, "there are more leads than max_leads=1"),
        ({"leads": [1], "dry_run": "maybe"}, "dry_run must be true or false, got 'maybe' (str)"),
        ({"leads": [1], "dry_run": 1}, "dry_run must be true or false, got 1 (int)"),
        ({"leads": [1], "dry_run": ""}, "dry_run must be true or false, got '' (str)"),
        ({"leads": [1], "results_path": "{tmp}"}, "results_path must name a file, not a folder"),
        ({"leads": [1], "results_path": "{tmp}/file/results.jsonl"}, "cannot use results_path"),
        ({"leads": [1], "results_path": "{tmp}/file.jsonl"}, "exists and is no results file"),
        ({"leads_path": "{tmp}/leads.txt"}, "the name of a file of leads must end in"),
    ],
)
def test_invalid_input_fails_before_any_request(sandbox, tmp_path, options, message):
    for name in ("file", "file.jsonl"):
        (tmp_path / name).write_text("x\n")
    (tmp_path / "leads.txt").write_text("1\n")
    options = {name: value.format(tmp=tmp_path) if "path" in name else value for name, value in options.items()}
    run = run_task(bulk(retries=3, **options))
    assert (run.state, type(run.error)) == ("failed", AirflowFailException)
    assert message in str(run.error)
    assert sandbox.requests == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_to(sandbox, tmp_path):
    tmp_path.chmod(0o500)
    run = run_task(bulk(leads=sandbox.leads, results_path=str(tmp_path / "results.jsonl")))
    assert "results_path cannot be written" in str(run.error)
    assert sandbox.requests == []


@pytest.mark.parametrize(
    "options",
    [
        {"concurrency": 0},
        {"concurrency": 65},
        {"concurrency": True},
        {"concurrency": "8"},
        {"max_failures": -1},
        {"max_failures": 1.0},
        {"max_failures": True},
        {"max_failures": "0"},
        {"max_failure_rate": -0.1},
        {"max_failure_rate": 1.1},
        {"max_failure_rate": True},
        {"max_failure_rate": "0.1"},
        {"max_failure_rate": float("nan")},
        {"max_failure_rate": 0.1, "max_failures": 1},
        {"max_failure_rate": 0.1, "max_failures": None},
        {"fail_fast": "yes"},
        {"fail_fast": "{{ params.fail_fast }}"},
        {"on_existing": "ignore"},
        {"leads_path": "x.csv"},
        {"sql": "SELECT 1"},
    ],
)
def test_bad_parameters_fail_when_the_dag_is_parsed(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        bulk(leads=[1], **options)


def test_no_source_of_leads_is_found_when_the_dag_is_parsed():
    with pytest.raises(ValueError, match="give one of leads, leads_path and sql"):
        bulk()


@pytest.mark.parametrize(("options", "read"), [({"max_leads": 3}, 3), ({"max_leads": "{{ '' }}"}, 3)])
def test_as_many_leads_as_max_leads_are_converted(sandbox, options, read):
    leads = sandbox.leads[:3]
    assert counts(run_task(bulk(leads=[*leads, leads[0]], **options)).value) == {"converted": read}


def test_limit_takes_fewer_than_max_leads(sandbox):
    assert counts(run_task(bulk(leads=sandbox.leads, limit=2, max_leads=2)).value) == {"converted": 2}


# Dry run


@pytest.mark.parametrize("dry_run", [True, "true", "{{ params.dry_run }}"])
def test_a_dry_run_says_so_in_its_first_and_last_line(sandbox, dry_run, caplog):
    caplog.set_level(logging.INFO, "airflow_provider_leadconv")
    run = run_task(bulk(leads=sandbox.leads[:3], dry_run=dry_run, params={"dry_run": "True"}))
    assert (run.state, run.value["would_convert"]) == ("success", 3)
    assert posts(sandbox) == []
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("airflow_provider")]
    assert ours[0] == "DRY RUN: no lead will be converted"
    assert ours[-1] == "DRY RUN: no lead was converted; 3 would be"


@pytest.mark.parametrize("dry_run", [False, "false", "{{ params.dry_run }}"])
def test_the_word_false_is_no_dry_run(sandbox, dry_run):
    run = run_task(bulk(leads=sandbox.leads[:3], dry_run=dry_run, params={"dry_run": False}))
    assert counts(run.value) == {"converted": 3}


@pytest.mark.parametrize("options", [{"sql_conn_id": "x"}, {"results_path": "x.jsonl"}, {}])
def test_a_query_needs_a_place_for_its_leads(options):
    with pytest.raises(ValueError, match="sql needs sql_conn_id and results_path"):
        bulk(sql="SELECT 1", **options)


# Results


def test_failures_are_run_again_from_the_results(sandbox, tmp_path):
    good = sandbox.leads[:3]
    refused = sandbox.add_leads(2, convertible=False)
    first = run_task(bulk(leads=[*good, *refused], results_path=str(tmp_path / "first.jsonl"), max_failure_rate=0.4))
    assert (first.state, counts(first.value)) == ("success", {"converted": 3, "failed": 2})
    assert json.loads(json.dumps(first.value)) == first.value
    assert len(json.dumps(first.value)) < 4096
    again = run_task(bulk(leads_path=str(tmp_path / "first.jsonl"), results_path=str(tmp_path / "second.jsonl")))
    assert isinstance(again.error, AirflowFailException)
    assert [line["lead_id"] for line in lines_of(tmp_path / "second.jsonl")] == refused
    assert counts(again.ledger.xcom("convert", "summary")) == {"failed": 2}
    assert str(tmp_path / "second.jsonl") in str(again.error)


def test_results_whose_run_was_killed_are_waited_for(sandbox, tmp_path, caplog):
    caplog.set_level(logging.INFO, "airflow_provider_leadconv")
    line = {"lead_id": sandbox.leads[0], "status": "not_attempted", "run": "first", "start_watermark": 0}
    (tmp_path / "first.jsonl").write_text(json.dumps(line) + "\n")
    (tmp_path / "first.jsonl.journal").write_text('{"record":"sending","run":"first"}\n')
    run = run_task(bulk(leads_path=str(tmp_path / "first.jsonl")))
    assert counts(run.value) == {"converted": 1}
    assert "Waiting 1 s for in-flight requests of the previous attempt" in caplog.text


@pytest.mark.expected_violation("lead 1 is converted", reason="the file is of another account")
def test_another_runs_file_is_refused_before_any_request(sandbox, path):
    path.parent.mkdir()
    path.write_text('{"lead_id": 1, "status": "converted", "conversion_id": 5, "run": "other", "start_watermark": 0}\n')
    run = run_task(bulk(leads=sandbox.leads, results_path=str(path)))
    assert isinstance(run.error, AirflowFailException)
    assert "holds results of another run (other)" in str(run.error)
    assert sandbox.requests == []
    assert [file.name for file in path.parent.iterdir()] == ["results.jsonl"]


def test_on_an_object_store_with_a_killed_try(sandbox):
    attach("memory", fs=fsspec.filesystem("memory"))
    leads = sandbox.leads
    where = f"memory://bucket/{sandbox.port}/results.jsonl"
    sandbox.faults = [Fault(name="late_response", method="POST", seconds=0.9)]
    task = bulk(leads=leads, results_path=where, concurrency=4, retries=1)
    kill_when(task, lambda: sent(sandbox) > 6)
    run = run_task(task)
    assert (run.state, type(run.error).__name__) == ("up_for_retry", STOPPED)
    folder = ObjectStoragePath(f"memory://bucket/{sandbox.port}")
    journal = [json.loads(line) for part in sorted(folder.iterdir()) for line in part.read_bytes().splitlines()]
    reported = {
        record["line"]["lead_id"]: record["line"]["status"] for record in journal if record["record"] == "result"
    }
    assert set(reported) == set(leads)
    assert 1 <= list(reported.values()).count("unknown") <= 4  # at most one of each worker
    sandbox.faults = []
    run = run_task(bulk(leads=leads, results_path=where), try_number=2)
    assert (run.state, counts(run.value)) == ("success", {"converted": 20})
    assert [path.name for path in folder.iterdir()] == ["results.jsonl"]
    assert max(sandbox.conversion_counts.values()) == 1


def test_an_object_store_that_cannot_be_written_to(sandbox, monkeypatch):
    def put_file(*args, **kwargs):
        raise PermissionError("403 AccessDenied")

    attach("memory", fs=fsspec.filesystem("memory"))
    monkeypatch.setattr(MemoryFileSystem, "put_file", put_file)
    run = run_task(bulk(leads=sandbox.leads, results_path="memory://read-only/results.jsonl"))
    assert isinstance(run.error, AirflowFailException)
    assert "403 AccessDenied" in str(run.error)
    assert posts(sandbox) == []


# Tries


def test_a_precondition_is_one_of_the_first_try(sandbox, path):
    leads = sandbox.leads[:4]
    sandbox.add_conversion(leads[0])
    options = {"leads": leads, "on_existing": "fail", "results_path": str(path)}
    run = run_task(bulk(**options))
    assert isinstance(run.error, AirflowFailException)
    assert "1 of 4 leads are already converted" in str(run.error)
    assert posts(sandbox) == []
    run = run_task(bulk(**options), try_number=2)
    assert (run.state, counts(run.value)) == ("success", {"converted": 3, "existing": 1})


@pytest.mark.parametrize("reason", ["wait_for_earlier_runs", "unknown leads"])
def test_a_precondition_also_holds_for_a_first_try_that_waits(sandbox, tmp_path, reason):
    leads = sandbox.leads[:4]
    sandbox.add_conversion(leads[0])
    earlier = tmp_path / "earlier.jsonl"
    status = "unknown" if reason == "unknown leads" else "failed"
    earlier.write_text("".join(json.dumps({"lead_id": lead, "status": status, "run": "x"}) + "\n" for lead in leads))
    options = {"leads_path": str(earlier), "wait_for_earlier_runs": reason == "wait_for_earlier_runs"}
    started = time.monotonic()
    run = run_task(bulk(on_existing="fail", **options))
    assert time.monotonic() - started >= 1.2
    assert "1 of 4 leads are already converted" in str(run.error)
    assert posts(sandbox) == []


def test_only_refused_leads_are_not_worth_a_retry(sandbox):
    run = run_task(bulk(leads=sandbox.add_leads(1, convertible=False), retries=3))
    assert (run.state, type(run.error)) == ("failed", AirflowFailException)


def test_a_token_that_may_only_read_stops_the_run(sandbox, monkeypatch):
    sandbox.add_token("reader", ["read"])
    monkeypatch.setenv("AIRFLOW_CONN_LEADCONV_DEFAULT", json.dumps({**sandbox.connection, "password": "reader"}))
    run = run_task(bulk(leads=sandbox.leads, retries=1))
    assert (run.state, type(run.error)) == ("up_for_retry", LeadsNotConvertedError)
    assert "20 of 20 leads were not attempted: the API answered 403" in str(run.error)
    assert run.error.__cause__.code == "insufficient_scope"


def test_a_token_revoked_meanwhile_is_read_again(sandbox, monkeypatch):
    sandbox.change_settings(latency=0.05)
    other = "another-token"

    def revoke():
        connection = json.loads(os.environ["AIRFLOW_CONN_LEADCONV_DEFAULT"])
        sandbox.add_token(other)
        monkeypatch.setenv("AIRFLOW_CONN_LEADCONV_DEFAULT", json.dumps({**connection, "password": other}))
        sandbox.revoke_token(sandbox.token)

    when(lambda: sent(sandbox) > 4, revoke)
    run = run_task(bulk(leads=sandbox.leads, concurrency=2))
    assert (run.state, counts(run.value)) == ("success", {"converted": 20})


# Killed


def when(condition, act):
    def watch():
        deadline = time.monotonic() + 20
        while not condition() and time.monotonic() < deadline:
            time.sleep(0.005)
        act()

    threading.Thread(target=watch, daemon=True).start()


def kill_when(task, condition):
    """As Airflow 3 does: on_kill in the signal handler, in the thread that runs the task."""
    when(condition, lambda: os.kill(os.getpid(), signal.SIGTERM))


@pytest.fixture
def sigterm():
    earlier = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, earlier)


@pytest.mark.usefixtures("sigterm")
@pytest.mark.parametrize("posts_before", [0, 3, 12])
def test_on_kill_leaves_a_readable_journal_in_time(sandbox, path, posts_before, monkeypatch, caplog):
    caplog.set_level(logging.INFO, "airflow_provider_leadconv")
    leads = sandbox.leads
    sandbox.faults = [Fault(name="late_response", seconds=0.8)]
    task = bulk(leads=leads, results_path=str(path), concurrency=3, retries=2)
    killed = []
    on_kill = LeadConversionBulkOperator.on_kill
    monkeypatch.setattr(
        LeadConversionBulkOperator, "on_kill", lambda task: (killed.append(time.monotonic()), on_kill(task))
    )
    kill_when(task, lambda: len(sandbox.requests) > 0 and sent(sandbox) >= posts_before)
    run = run_task(task)
    assert time.monotonic() - killed[0] < 4
    assert (run.state, type(run.error).__name__) == ("up_for_retry", STOPPED)
    if posts_before:  # before the pre-check is complete, there is nothing to keep
        journal = lines_of(path.with_name("results.jsonl.journal"))
        results = [record["line"] for record in journal if record["record"] == "result"]
        told = {line["lead_id"]: line["status"] for line in results}
        assert set(told) == set(leads)
        assert 1 <= list(told.values()).count("unknown") <= 3  # at most one of each worker
    summary = run.ledger.xcom("convert", "summary")
    assert sum(summary[word] for word in WORDS) == len(leads)
    assert not path.exists()
    assert f"Per-lead results: {path}" not in caplog.text
    note = f"Per-lead results until now, for the next try: {path}.journal"
    assert (note in caplog.text) == path.with_name("results.jsonl.journal").exists() == (posts_before > 0)
    sandbox.faults = []
    run = run_task(bulk(leads=leads, results_path=str(path)), try_number=2)
    assert (run.state, counts(run.value)) == ("success", {"converted": 20})
    assert max(sandbox.conversion_counts.values()) == 1


def test_killed_before_it_began(sandbox, path):
    task = bulk(leads=sandbox.leads, results_path=str(path))
    task.on_kill()
    with pytest.raises(LeadsNotConvertedError, match="20 of 20 leads were not attempted"):
        task.execute({})
    assert sandbox.requests == []


def test_execution_timeout_takes_the_same_path(sandbox, path):
    leads = sandbox.leads
    sandbox.faults = [Fault(name="late_response", method="POST", seconds=0.8)]
    options = {"leads": leads, "results_path": str(path), "concurrency": 3, "retries": 1}
    run = run_task(bulk(execution_timeout=timedelta(seconds=2), **options))
    assert (run.state, type(run.error).__name__) == ("up_for_retry", "AirflowTaskTimeout")
    records = lines_of(path.with_name("results.jsonl.journal"))
    reported = [record["line"]["status"] for record in records if record["record"] == "result"]
    assert 1 <= reported.count("unknown") <= 3
    assert [record["record"] for record in records if record["record"] != "result"] == ["precheck", "sending"]
    assert len(reported) == len(leads)
    assert not path.exists()
    assert run.ledger.xcom("convert", "summary")["unknown"] == 3
    sandbox.faults = []
    run = run_task(bulk(**options), try_number=2)
    assert (run.state, counts(run.value)) == ("success", {"converted": 20})
    assert max(sandbox.conversion_counts.values()) == 1


# The log


def test_a_demo_reads_well(sandbox, path, caplog):
    caplog.set_level(logging.INFO, "airflow_provider_leadconv")
    good = [*sandbox.leads, *sandbox.add_leads(75)]
    for lead in good[:3]:
        sandbox.add_conversion(lead)
    refused = sandbox.add_leads(2, convertible=False)
    owned = [{"lead_id": lead, "owner_id": 5} for lead in sandbox.add_leads(2)]
    sandbox.clear_requests()
    run = run_task(bulk(leads=[*good, *refused, *owned, 1001], results_path=str(path)))
    summary = run.ledger.xcom("convert", "summary")
    seconds = {name: value for name, value in summary.items() if name.endswith("duration_s")}
    assert summary == {
        "leads": 100,
        "converted": 92,
        "existing": 3,
        "failed": 5,
        "unknown": 0,
        "not_attempted": 0,
        "would_convert": 0,
        "duplicates": 0,
        # 97 conversions, 5 look-ups of refused leads, the audit
        "api_calls": summary["precheck_api_calls"] + 103,
        "precheck_api_calls": summary["precheck_api_calls"],
        "results_path": str(path),
        "failures_path": None,
        "failures": summary["failures"],
        **seconds,
    }
    assert sorted(failure["lead_id"] for failure in summary["failures"]) == sorted(
        [*refused, *(row["lead_id"] for row in owned), 1001]
    )
    checks, precheck = summary["precheck_api_calls"], summary["precheck_duration_s"]
    assert [record.getMessage() for record in caplog.records if record.name.startswith("airflow_provider")] == [
        "Checking which of 100 leads are already converted",
        f"Checked 100 leads with {checks} requests in {precheck:.1f} s: 3 were already converted",
        f"100 leads: 92 converted, 3 existing, 5 failed; {checks + 103} requests in {summary['duration_s']:.1f} s",
        f"Per-lead results: {path}",
    ]
    cannot = "failed: the API answered 422: /data/lead_id: incorrect_value: The lead cannot be converted"
    no_user = "failed: the API answered 422: /data/owner_id: incorrect_value: There is no such user"
    first, *reasons, last = str(run.error).splitlines()
    assert first.startswith("5 of 100 leads were not converted: 2 x 422 incorrect_value ")
    assert sorted(first.partition(": ")[2].split(", ")) == [
        "1 x 404 not_found",
        "2 x 422 incorrect_value lead_id",
        "2 x 422 incorrect_value owner_id",
    ]
    assert sorted(reasons) == sorted(
        [
            *(f"  lead {lead} {cannot}" for lead in refused),
            *(f"  lead {row['lead_id']} {no_user}" for row in owned),
            "  lead 1001 failed: the API answered 404: not_found: The requested resource could not be found",
        ]
    )
    assert last == (f"Per-lead results: {path}. Running it again converts only leads that are not converted yet.")


# The hook


def test_the_hook_converts_lazily(sandbox):
    leads = sandbox.leads
    sandbox.add_conversion(leads[2])
    hook = LeadConversionHook()
    results = hook.convert_leads([leads[0], str(leads[1]), {"lead_id": leads[2], "create_deal": False}], concurrency=2)
    assert sandbox.requests == []
    reported = {result.lead_id: str(result.status) for result in results}
    assert reported == {leads[0]: "converted", leads[1]: "converted", leads[2]: "existing"}
    with pytest.raises(ValueError, match="row 2"):
        next(hook.convert_leads([1, "x"]))


def test_the_hook_sends_nothing_more_once_its_results_are_closed(sandbox):
    before = threading.active_count()
    results = LeadConversionHook().convert_leads(sandbox.leads, concurrency=2)
    next(results)
    results.close()
    deadline = time.monotonic() + 10
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= before
    assert len(posts(sandbox)) <= 4


def test_the_hook_raises_what_ended_the_run_after_the_results(sandbox, monkeypatch):
    sandbox.add_token("reader", ["read"])
    monkeypatch.setenv("AIRFLOW_CONN_LEADCONV_DEFAULT", json.dumps({**sandbox.connection, "password": "reader"}))
    reported = []
    with pytest.raises(Exception, match="insufficient_scope"):
        reported.extend(str(result.status) for result in LeadConversionHook().convert_leads(sandbox.leads))
    # extend keeps nothing of an iterable that fails; so ask one by one
    results = LeadConversionHook().convert_leads(sandbox.leads)
    assert [str(next(results).status) for _ in range(20)] == ["not_attempted"] * 20


def test_a_run_without_a_context_has_an_identity_of_its_own(sandbox, path):
    bulk(leads=sandbox.leads[:1], results_path=str(path)).execute({})
    assert UUID(lines_of(path)[0]["run"])
