"""Dynamic task mapping over what a bulk has created, expanded by Airflow itself."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from airflow_provider_leadconv.sandbox import Sandbox
from tests.support.capabilities import needs_airflow_sdk
from tests.support.snippets import Page, shell

pytestmark = [pytest.mark.airflow, pytest.mark.slow, needs_airflow_sdk.mark]

GUIDE = Page("docs/guides/act-on-the-result.md")


def test_mapping_over_the_created_contacts(tmp_path: Path):
    dags = tmp_path / "dags"
    dags.mkdir()
    code = GUIDE.block("python", "push_created_ids=True").replace("/data/", f"{tmp_path}/")
    (dags / "greet.py").write_text(code)
    with Sandbox(leads=5, conversions=3) as sandbox:
        leads = sandbox.leads[:3]
        (tmp_path / "leads.csv").write_text("\n".join(["lead_id", *map(str, leads)]))
        said = shell(
            "airflow db migrate\nairflow dags test greet_new_contacts 2>&1",
            tmp_path,
            AIRFLOW_HOME=str(tmp_path / "airflow"),
            AIRFLOW__CORE__DAGS_FOLDER=str(dags),
            AIRFLOW__CORE__LOAD_EXAMPLES="False",
            AIRFLOW_CONN_LEADCONV_DEFAULT=json.dumps(sandbox.connection),
        )
        contacts = [row["individual_id"] for row in sandbox.conversions if row["lead_id"] in leads]
    greeted = {int(contact) for contact in re.findall(r"Hello, contact (\d+)", said)}
    assert greeted == {contact for contact in contacts if contact}, said[-4000:]
