"""The fields of the connection form."""

from __future__ import annotations

import re

import jsonschema
import msgspec
import pytest

from airflow_provider_leadconv.api.config import ClientConfig
from airflow_provider_leadconv.hooks.connection_form import EXTRA_FIELDS, HOOK_CLASS, UI_FIELD_BEHAVIOUR
from airflow_provider_leadconv.hooks.leadconv import LeadConversionHook

DEFAULTS = ClientConfig(token="t")


def test_there_is_a_field_for_every_setting_but_those_that_connections_have_anyway():
    assert {*EXTRA_FIELDS, "token", "base_url", "connection"} == {
        field.name for field in msgspec.structs.fields(ClientConfig)
    }


@pytest.mark.parametrize("name", EXTRA_FIELDS)
def test_a_field_has_a_valid_schema_and_may_be_empty(name):
    schema = EXTRA_FIELDS[name]["schema"]
    jsonschema.Draft7Validator.check_schema(schema)
    jsonschema.validate(None, schema)


@pytest.mark.parametrize("name", ["requests_per_second", "timeout", "retry_timeout", "settle_time"])
def test_a_field_for_a_number_names_its_default(name):
    assert re.search(rf"Default {getattr(DEFAULTS, name):g}\.$", EXTRA_FIELDS[name]["description"])


def test_the_hook_class_is_ours():
    assert f"{LeadConversionHook.__module__}.{LeadConversionHook.__qualname__}" == HOOK_CLASS


def test_the_placeholder_of_the_host_is_the_default_url():
    assert UI_FIELD_BEHAVIOUR["placeholders"]["host"] == DEFAULTS.base_url
