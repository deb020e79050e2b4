from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

from .conftest import ids, next_link


def test_cursors_lead_through_the_whole_listing(start):
    sandbox, api = start(conversions=1_050)
    expected = [row["id"] for row in sandbox.conversions]
    found, params = [], {"per_page": 200}
    while True:
        page = api.get(**params).json()
        found += [item["data"]["id"] for item in page["items"]]
        assert page["meta"]["count"] == len(page["items"])
        link = page["meta"]["links"].get("next_page")
        if link is None:
            break
        query = parse_qs(urlsplit(link).query)
        assert set(query) == {"cursor", "per_page"}
        params["cursor"] = query["cursor"][0]
    assert found == expected
    assert len(sandbox.requests) == 6
    assert len({entry.client for entry in sandbox.requests}) == 1


def links(document):
    """All links of a page or a conversion."""
    items = document.get("items", [document])
    created = [link for item in items for link in item["meta"]["links"].values() if link]
    return [*created, *document["meta"]["links"].values()] if "items" in document else created


@pytest.mark.parametrize("path_prefix", ["", "/sell"])
def test_links_lead_to_the_sandbox_as_the_client_reached_it(start, path_prefix):
    sandbox, api = start(conversions=30, path_prefix=path_prefix)
    port = sandbox.port
    for sent, base in [
        ({}, f"http://127.0.0.1:{port}"),
        ({"Host": f"localhost:{port}"}, f"http://localhost:{port}"),
        ({"Host": "sell.example", "X-Forwarded-Proto": "https"}, "https://sell.example"),
    ]:
        api.session.headers.update(sent)
        answers = [api.get().json(), api.post(sandbox.leads[0]).json()]
        assert all(link.startswith(f"{base}{path_prefix}/v2/") for answer in answers for link in links(answer))
        assert all(links(answer) for answer in answers)


def test_a_link_is_followed_verbatim(start):
    sandbox, api = start(conversions=60)
    found, link = [], f"{api.url}?per_page=25"
    while link:
        page = api.session.get(link)
        found += ids(page)
        link = page.json()["meta"]["links"].get("next_page")
    assert found == [row["id"] for row in sandbox.conversions]


@pytest.mark.parametrize("link_base", ["https://api.getbase.com", "https://api.getbase.com/"])
def test_links_lead_to_a_configured_url(start, link_base):
    sandbox, api = start(conversions=30, link_base=link_base)
    answers = [api.get().json(), api.post(sandbox.leads[0]).json()]
    assert all(link.startswith("https://api.getbase.com/v2/") for answer in answers for link in links(answer))
    sandbox.change_settings(link_base=None)
    assert next_link(api.get()).startswith(sandbox.base_url)


def test_last_page_has_no_link(start):
    _, api = start(conversions=25)
    assert api.get().json()["meta"]["links"] == {}
    assert "next_page" in api.get(per_page=24).json()["meta"]["links"]


def test_pages_by_number(start):
    sandbox, api = start(conversions=60)
    expected = [row["id"] for row in sandbox.conversions]
    assert ids(api.get()) == expected[:25]
    assert ids(api.get(page=3)) == expected[50:]
    assert ids(api.get(page=50, per_page=200)) == []


@pytest.mark.parametrize("field", ["lead_id", "individual_id", "organization_id", "deal_id", "creator_id"])
def test_filter_lists_only_matching_conversions(start, field):
    sandbox, api = start(conversions=300)
    value = next(row[field] for row in sandbox.conversions if row[field])
    expected = [row["id"] for row in sandbox.conversions if row[field] == value]
    assert ids(api.get(per_page=200, **{field: value})) == expected
    assert ids(api.get(**{field: 5})) == []


def test_arrivals_appear_at_each_request(start):
    sandbox, api = start(conversions=10, arrivals=2)
    first, second = ids(api.get()), ids(api.get())
    assert second[2:] == first
    assert len(sandbox.conversions) == 14
