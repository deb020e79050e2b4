from __future__ import annotations

from airflow_provider_leadconv.sandbox.responses import html_response


def test_json_response_has_the_headers_of_the_api(start):
    _, api = start()
    first, second = api.get(), api.get()
    assert first.headers["Content-Type"] == "application/json; charset=utf-8"
    assert (first.headers["Content-Language"], first.headers["Vary"]) == ("en", "Accept-Encoding")
    assert first.headers["Content-Length"] == str(len(first.content))
    assert first.headers["X-Request-Id"] != second.headers["X-Request-Id"]


def test_html_response_is_a_page_of_the_proxy():
    response = html_response(502, "502 Bad Gateway")
    assert (response.status_code, response.headers) == (502, {"Content-Type": "text/html"})
    assert response.body.count(b"502 Bad Gateway") == 2
