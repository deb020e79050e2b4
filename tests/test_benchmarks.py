"""The benchmarks at toy size, so that they do not rot. Nothing here is timed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import chain, product
from pathlib import Path
from typing import Any

import pytest

from tests.support.capabilities import needs_running_airflow

needs_running_airflow.or_skip_module()

from airflow_provider_leadconv.api.at_most_once import look_up  # noqa: E402
from airflow_provider_leadconv.api.client import LeadConversionsClient  # noqa: E402
from airflow_provider_leadconv.api.config import ClientConfig  # noqa: E402
from airflow_provider_leadconv.api.exceptions import UnknownOutcomeError  # noqa: E402
from airflow_provider_leadconv.api.models import ConversionRequest  # noqa: E402
from airflow_provider_leadconv.api.queries import ListQuery  # noqa: E402
from benchmarks import bulk, export, first_conversion, latency, waiting, workers  # noqa: E402
from benchmarks.account_server import AccountServer  # noqa: E402
from benchmarks.accounts import LIMITS, AccountSettings  # noqa: E402
from benchmarks.first_conversion_model import optimum  # noqa: E402
from benchmarks.report import SECTIONS, plain_table, render, section  # noqa: E402
from benchmarks.results import Measured, Results, load, save  # noqa: E402
from benchmarks.run import RESULTS, ROUNDS  # noqa: E402

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"

# Airflow's HTTP provider is not among what the tests need; `make bench` installs it.
with_http = find_spec("airflow.providers.http") is not None


@pytest.fixture(scope="module")
def server() -> Iterator[AccountServer]:
    with AccountServer() as server:
        yield server


def client(server: AccountServer, token: str) -> LeadConversionsClient:
    return LeadConversionsClient(ClientConfig(token=token, base_url=server.base_url), user_agent="test")


def test_an_account_lists_newest_first_and_is_not_another(server: AccountServer) -> None:
    reader, other = (client(server, server.open(AccountSettings(conversions=count))) for count in (450, 0))
    assert [row.id for page in reader.list_pages(ListQuery()) for row in page] == list(range(450, 0, -1))
    assert other.get_page(ListQuery()).conversions == []


def test_an_account_records_what_it_did(server: AccountServer) -> None:
    token = server.open(AccountSettings(lost=1.0))
    sender = client(server, token)
    with pytest.raises(UnknownOutcomeError):
        sender.post(ConversionRequest(7))
    assert look_up(sender, 7) is not None
    traffic = server.traffic(token)
    assert dict(traffic.conversions_of) == {7: 1}
    assert [(post.client, post.accepted) for post in traffic.posts] == [("test", True)]
    assert len(traffic.reads) == 1


def test_an_account_rejects_what_is_above_its_rate(server: AccountServer) -> None:
    token = server.open(AccountSettings(limit="sliding window", rate=1))
    for number in range(3):  # on a busy machine, some may be more than a second apart
        client(server, token).post(ConversionRequest(1 + number))
    accepted = [post.accepted for post in server.traffic(token).posts]
    assert accepted[0]
    assert False in accepted
    assert accepted.count(True) == 3


def shown(section: object, rows: list[Measured], folder: Path) -> str:
    """What the report says; the plots are drawn where matplotlib is installed."""
    if find_spec("matplotlib"):
        section.plot(rows, folder)  # type: ignore[attr-defined]
        assert {path.suffix for path in folder.iterdir()} == {".png"}
    return section.table(rows)  # type: ignore[attr-defined,no-any-return]


@pytest.mark.slow
def test_bulk(tmp_path: Path) -> None:
    senders = [name for name in bulk.SENDERS if with_http or name != "HttpOperator"]
    rows = list(bulk.measure(seconds=2, leads=60, rounds=2, senders=senders))
    found = {(row.case, row.contestant): row.figures for row in rows}
    cases = [bulk.case_name(*case) for case in product(bulk.LIMITS, bulk.LATENCIES)]
    for case in (*cases, bulk.lost_case_name()):
        assert set(senders) <= {name for of, name in found if of == case}
        assert found[case, "ours"]["converted_leads"] == [20]
        assert found[case, "ours"]["converted_twice_leads"] == [0]
    assert found[bulk.lost_case_name(), "thread pool"]["converted_twice_leads"][0] > 0
    assert len(found[bulk.NO_LIMIT, "ours"]["cpu_ms_per_lead"]) == 2
    assert "token bucket, 50 ms" in shown(bulk, rows, tmp_path)
    assert "| thread pool |" in bulk.summary(rows)


def test_workers(tmp_path: Path) -> None:
    rows = list(workers.measure(seconds=4, warm_up=1, processes=(1, 2)))
    found = {row.case: row.figures for row in rows if row.contestant == workers.OURS}
    assert found.pop("a permit")["cpu_us"][0] > 0
    layouts = [(limit, *layout) for limit in LIMITS for layout in ((1, 1), (2, 1), (1, 2))]
    assert set(found) == {workers.case_name(*layout) for layout in [*layouts, ("token bucket", 4, 1)]}
    for figures in found.values():
        assert figures["accepted_per_s"][0] > 0
        assert 0.5 <= figures["jain_index"][0] <= 1
    assert "| 2 |" in shown(workers, rows, tmp_path)


@pytest.mark.slow
def test_waiting(tmp_path: Path) -> None:
    contestants = [name for name in waiting.CONTESTANTS if with_http or name == "ours"]
    rows = list(waiting.measure(seconds=3, interval=1, leads=(3, 30), contestants=contestants))
    ours = {row.case: row.figures for row in rows if row.contestant == "ours"}
    for leads in ("3", "30"):
        assert 0 < ours[leads]["requests_per_min"][0] <= 3 * 60, "two requests an interval, whatever the number"
        assert ours[leads]["memory_mb"][0] > 0
    assert "A lead more takes" in shown(waiting, rows, tmp_path)


def measured_exports(*contestants: str) -> list[Any]:
    rows = list(export.measure(sizes={450: 1}, contestants=contestants))
    found = {row.contestant: row.figures for row in rows if row.case == "450 rows"}
    assert list(found) == list(contestants)
    for figures in found.values():
        assert figures["requests"] == [3]
        assert figures["connections"] == [1]
        assert all(0 < value < 1000 for value in figures["peak_mb"])
    return rows


def test_one_export_is_measured() -> None:
    measured_exports("ours, JSONL")


@pytest.mark.slow
def test_exports_are_compared(tmp_path: Path) -> None:
    rows = measured_exports("ours, JSONL", "ours, Parquet", export.LOOP)  # `make bench` installs the others
    assert "| ours, JSONL against requests loop | 3 |" in shown(export, rows, tmp_path)
    assert "| ours, Parquet |" in export.summary(rows)


def test_an_export_that_lacks_rows_is_no_result(tmp_path: Path) -> None:
    (tmp_path / "out.jsonl").write_text("{}\n{}\n")
    (tmp_path / "stdout").write_text('{"type": "RECORD"}\n{"type": "STATE"}\n')
    assert [export.rows_in(tmp_path / name) for name in ("out.jsonl", "stdout")] == [2, 1]


@pytest.mark.slow
def test_latency() -> None:
    rows = list(latency.measure(seconds=2, head_start=0))
    for row in rows:
        assert row.figures["requests_per_s"][0] > 0
    shown_table = latency.table(rows)
    assert "| 200 ms |" in shown_table
    assert "| 10 requests/s, sliding window |" in shown_table


def test_the_report_replaces_what_is_between_its_comments(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    page = tmp_path / "docs" / "benchmarks.md"
    blocks = [f"<!-- {name}: begin -->old<!-- {name}: end -->" for name in ("environment", "summary", "latency")]
    page.write_text("before\n" + "\n".join(blocks) + "\nafter")
    figures = {"requests_per_s": [9.5], "steady_requests_per_s": [9.9], "requests": [300.0], "rejected": [2.0]}
    row = Measured("latency", "10 requests/s, a bucket", latency.OURS, figures)
    kept = tmp_path / "results.json"
    save(Results().with_section("latency", [row], {"measured on": "a day"}), kept)
    assert load(kept).with_section("latency", [row], {}).of("latency") == [row]
    render(load(kept), tmp_path)
    text = page.read_text()
    assert "measured on a day." in text
    assert "| 10 requests/s, a bucket | 95.0% | 99.0% | 300 | 2 | 1,900 |" in text
    assert "old" not in text
    assert text.startswith("before\n")
    assert text.endswith("\nafter")


def test_a_section_without_a_table_shows_all_its_figures() -> None:
    rows = [Measured("s", "import", "ours", {"cpu_ms": [1.0, 3.0]}), Measured("s", "import", "loop", {"mb": [7.0]})]
    assert "| import | ours | 2.00 (1.00 to 3.00) |  |" in plain_table(rows)
    assert "| import | loop |  | 7.00 |" in plain_table(rows)


@pytest.mark.parametrize("conversions", [0, 3000])
def test_a_bulk_on_a_simulated_clock_is_compared_with_the_optimum(conversions: int) -> None:
    rows = list(first_conversion.measure(leads=[10], conversions=[conversions], latencies=[0.05]))
    figures = {row.contestant: row.figures for row in rows}
    ours, best = figures[first_conversion.WARM], figures[first_conversion.OPTIMUM]
    assert best["first_s"][0] <= ours["first_s"][0] < ours["total_s"][0]
    assert best["total_s"][0] <= ours["total_s"][0] <= 2 * best["total_s"][0]
    assert ours["total_s"][0] < figures[first_conversion.COLD]["total_s"][0]


def test_the_optimum_of_one_lead() -> None:
    # A page, and at the next permit a look-up; its response, the conversion, the last page.
    assert optimum(1, pages=500, latency=0.2) == pytest.approx((0.5, 0.7))
    assert optimum(1, pages=1, latency=0.2) == pytest.approx((0.4, 0.6))


@pytest.mark.parametrize("name", SECTIONS)
def test_the_page_shows_the_kept_results(name: str) -> None:
    rows = load(RESULTS).of(name)
    shown_text = getattr(section(name), "table", plain_table)(rows)
    block = PAGE.read_text().partition(f"<!-- {name}: begin -->")[2].partition(f"<!-- {name}: end -->")[0]
    rows_of_tables = [line for line in shown_text.splitlines() if line.startswith("|")]
    assert rows_of_tables
    assert [line for line in block.splitlines() if line.startswith("|")] == rows_of_tables


def test_what_is_kept_is_a_line_for_each_contestant_with_few_digits(tmp_path: Path) -> None:
    rows = [Measured("s", "10 rows", name, {"rows_per_s": [12345678.9, 1 / 3]}) for name in ("ours", "loop")]
    kept = tmp_path / "results.json"
    save(Results({"measured on": "a day"}, tuple(rows)), kept)
    assert [json.loads(line.rstrip(","))["contestant"] for line in kept.read_text().splitlines()[4:6]] == [
        "ours",
        "loop",
    ]
    assert load(kept).of("s")[0].figures == {"rows_per_s": [12345680.0, 0.3333333]}
    assert load(kept).environment == {"measured on": "a day"}


def test_every_section_has_its_place_on_the_page() -> None:
    page = PAGE.read_text()
    for name in (*SECTIONS, "environment", "summary"):
        assert page.count(f"<!-- {name}: begin -->") == page.count(f"<!-- {name}: end -->") == 1


def test_every_section_is_measured_once() -> None:
    assert sorted(chain.from_iterable(ROUNDS)) == sorted(SECTIONS)
