"""Generated requests, valid and invalid, get the responses that the OpenAPI document describes."""

from __future__ import annotations

import schemathesis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from airflow_provider_leadconv.sandbox.app import SandboxApp
from airflow_provider_leadconv.sandbox.openapi import CURSOR_FORMAT
from airflow_provider_leadconv.sandbox.parsing import MAX_ID, encode_cursor
from airflow_provider_leadconv.sandbox.service import Service
from airflow_provider_leadconv.sandbox.settings import SandboxSettings
from airflow_provider_leadconv.sandbox.store import Store

schemathesis.openapi.format(CURSOR_FORMAT, st.integers(1, MAX_ID).map(encode_cursor))

service = Service(Store(leads=10, conversions=300), SandboxSettings())
service.access.add("token", ["read", "write"], 1)
schema = schemathesis.openapi.from_asgi("/openapi.json", SandboxApp(service))
# The API ignores unknown query parameters.
schema.config.generation.update(allow_extra_parameters=False)
# The API responds with 404 to unsupported methods, where HTTP would have 405.
schema.config.checks.update(excluded_check_names=["unsupported_method"])


@schema.parametrize()
@settings(max_examples=60, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
def test_responses_conform_to_the_document(case):
    case.call_and_validate(headers={"Authorization": "Bearer token", "User-Agent": "schemathesis"})


def test_document_covers_both_operations():
    assert {operation.ok().method for operation in schema.get_all_operations()} == {"get", "post"}
    assert "/_sandbox" not in str(schema.raw_schema)
