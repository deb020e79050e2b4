"""What a user of Airflow's web UI sees of the provider, from the connection to the result."""

from __future__ import annotations

import re
from urllib.parse import quote

import pytest

from airflow_provider_leadconv.hooks.connection_form import EXTRA_FIELDS, HOOK_NAME, UI_FIELD_BEHAVIOUR
from tests.support.capabilities import AIRFLOW

pytestmark = [pytest.mark.airflow, pytest.mark.ui, pytest.mark.slow]

NOTHING = ("", "", False)
UPSTREAM_FAILED = "upstream failed" if AIRFLOW >= (3, 0) else "upstream_failed"
LABELS, PLACEHOLDERS = UI_FIELD_BEHAVIOUR["relabeling"], UI_FIELD_BEHAVIOUR["placeholders"]


def test_from_the_connection_to_the_result(ui, browser, sandbox, sell, picture, files, bucket):
    host, _, port = sandbox.base_url.rpartition(":")
    *leads, another = sandbox.leads[:4]

    ui.start_connection("leadconv_default", HOOK_NAME)
    form = ui.form()
    assert {form.pop(name, NOTHING) for name in ("Description", "Extra")} == {NOTHING}
    assert form == {
        **{LABELS[name]: ("", PLACEHOLDERS[name], name == "password") for name in LABELS},
        **{
            field["label"]: (field["description"], "", field["schema"].get("format") == "password")
            for field in EXTRA_FIELDS.values()
        },
    }
    ui.fill({LABELS["host"]: host, LABELS["port"]: port, LABELS["password"]: "wrong"})
    ui.fill({"Settle time (s)": "1", "Requests per second": "9.5", "Web app URL": sell})
    ui.show_section("Standard Fields")
    picture("connection-form", height=1000)
    ui.show_section("Extra Fields")
    picture("connection-form-extra", height=1700)

    worked, reported = ui.test_connection()
    picture("connection-test-failed")
    assert not worked
    assert "the API answered 401" in reported
    ui.correct_connection()
    ui.fill({LABELS["password"]: sandbox.token})
    sandbox.clear_requests()
    assert ui.test_connection() == (True, f"Connected to {sandbox.base_url}: the token may read lead conversions.")
    assert [(request.method, request.status) for request in sandbox.requests] == [("GET", 200)]
    picture("connection-test")
    ui.close_connection()

    ui.start_run("leadconv_quickstart")
    ui.fill_params({"leads": "\n".join(map(str, leads)), "folder": str(files)})
    picture("trigger")
    assert ui.run() == dict.fromkeys(("convert", "wait", "export"), "success")
    picture("run")
    assert [sandbox.conversion_counts[lead] for lead in leads] == [1, 1, 1]

    ui.open_task("wait")
    (conversion,) = [row for row in sandbox.conversions if row["lead_id"] == leads[-1]]
    links = ui.links()
    picture("link")
    path = f"/sales/deals/{conversion['deal_id']}"
    assert {name: link.get_attribute("href") for name, link in links.items()} == {"Open in Sell": f"{sell}{path}"}
    assert browser.follow(links["Open in Sell"]) == (f"{sell}{path}", f"Sell shows {path}")

    ui.open_task("convert")
    assert ui.links() == {}
    if AIRFLOW >= (3, 0):  # the table of Airflow 2 has the many XComs of a bulk below the edge of its page
        result = ui.xcom("return_value")
        picture("xcom")
        shown = dict(re.findall(r'"(\w+)"\W+(\d+)', result))
        assert shown.items() >= {"leads": "3", "converted": "3", "failed": "0"}.items()
    if AIRFLOW >= (3, 3):
        progress = ui.stored("leadconv_progress")
        picture("task-state-store")
        assert "3 leads: 3 converted" in progress

    ui.start_run("leadconv_quickstart")
    ui.fill_params({"leads": f"{another}\n404", "folder": "s3://aws_default@sell/july"})
    assert ui.run() == {"convert": "failed", **dict.fromkeys(("wait", "export"), UPSTREAM_FAILED)}
    assert sandbox.conversion_counts[another] == 1
    ui.open_task("convert")
    links = ui.links()
    picture("links-of-a-failed-bulk")
    assert set(links) == {"Open in Sell", "Open file"}
    assert browser.follow(links["Open in Sell"]) == (f"{sell}/leads/404", "Sell shows /leads/404")
    (results,) = bucket.find("sell/july/results")
    console = f"https://s3.console.aws.amazon.com/s3/object/sell?prefix={quote(results.removeprefix('sell/'))}"
    assert browser.follow(links["Open file"])[0] == console
