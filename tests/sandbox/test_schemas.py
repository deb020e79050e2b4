from __future__ import annotations

import msgspec

from airflow_provider_leadconv.sandbox.schemas import ApiError, field_error


def test_item_has_the_documented_shape(start):
    sandbox, api = start()
    api.post(sandbox.leads[0], create_deal=False)
    item = api.get().json()["items"][0]
    assert item["data"] == sandbox.conversions[0]
    assert item["meta"]["type"] == "lead_conversion"
    assert item["meta"]["links"]["deal"] is None
    assert api.get().headers["Content-Type"] == "application/json; charset=utf-8"


def test_error_has_the_documented_envelope():
    error = ApiError(422, field_error("missing", "lead_id", "The attribute is required."))
    assert msgspec.to_builtins(error.envelope("id-1")) == {
        "errors": [
            {
                "error": {
                    "code": "missing",
                    "message": "The submitted value is not acceptable.",
                    "details": "The attribute is required.",
                    "resource": "lead_conversion",
                    "field": "/data/lead_id",
                },
                "meta": {
                    "type": "error",
                    "links": {"more_info": "https://developers.getbase.com/docs/rest/articles/errors"},
                },
            }
        ],
        "meta": {"http_status": "422 Unprocessable Entity", "logref": "id-1", "type": "errors"},
    }
