"""An Airflow connection -> the configuration of a client."""

from __future__ import annotations

import json
import traceback
from types import SimpleNamespace
from urllib.parse import urlencode

import pytest

from airflow_provider_leadconv.api.exceptions import ConnectionConfigError
from airflow_provider_leadconv.hooks.connection import config_from_connection
from airflow_provider_leadconv.hooks.connection_form import EXTRA_FIELDS
from airflow_provider_leadconv.hooks.leadconv import LeadConversionHook
from tests.support.responses import TOKEN


def parsed(extra=None, **fields):
    # No Connection of Airflow, as not every version lets one be made that is wrong.
    text = json.dumps(extra) if isinstance(extra, dict) else extra
    names = dict.fromkeys(("conn_type", "host", "schema", "port"))
    return config_from_connection(
        SimpleNamespace(**{**names, "conn_id": "sell", "password": TOKEN, "extra": text, **fields})
    )


@pytest.fixture
def read(monkeypatch):
    """Makes Airflow read a connection from its environment."""

    def read(text):
        monkeypatch.setenv("AIRFLOW_CONN_SELL", text)
        return LeadConversionHook.get_connection("sell")

    return read


def test_a_token_alone_will_do():
    config = parsed()
    assert (config.token, config.base_url, config.account) == (TOKEN, "https://api.getbase.com", "sell")
    assert (config.requests_per_second, config.timeout, config.retry_timeout, config.settle_time) == (10, 30, 300, 30)
    assert (config.verify, config.proxy, config.allow_http) == (True, None, False)
    assert config.web_base_url == "https://app.futuresimple.com"


def test_whitespace_around_the_token_is_stripped():
    assert parsed(password=f" {TOKEN}\n").token == TOKEN


@pytest.mark.parametrize("password", [None, "", "  "])
def test_without_a_token_the_error_says_where_it_goes(password):
    with pytest.raises(ConnectionConfigError) as caught:
        parsed(password=password)
    assert str(caught.value) == (
        "the password is empty (connection 'sell'). "
        "Put an access token of Sell into the password of the connection; an administrator creates it in Sell under "
        "Settings > Integrations > OAuth > Access Tokens. A token of Zendesk Support is not valid for Sell."
    )


def test_a_password_that_cannot_be_a_token_is_wrong():
    with pytest.raises(ConnectionConfigError, match=r"the password is not an access token.*connection 'sell'"):
        parsed(password="a b")


@pytest.mark.parametrize("text", [TOKEN, f"{TOKEN}@", f"leadconv://{TOKEN}@/", f"leadconv://{TOKEN}"])
def test_a_token_in_the_wrong_place_of_a_uri_is_not_quoted(text, read, caplog):
    with pytest.raises(ConnectionConfigError, match="the password is empty") as caught:
        config_from_connection(read(text))
    assert TOKEN[1:] not in str(caught.value) + caplog.text


@pytest.mark.parametrize("text", [f"leadconv://:{TOKEN}", f"{{'password': '{TOKEN}'}}"])
def test_an_environment_variable_that_airflow_cannot_read_is_named(text, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_SELL", text)
    with pytest.raises(ConnectionConfigError) as caught:
        LeadConversionHook("sell").get_conn()
    assert str(caught.value) == (
        "Airflow cannot read the connection 'sell' from the environment variable AIRFLOW_CONN_SELL. "
        "Write it as a URI like leadconv://:my-access-token@/ or as JSON, with its keys in double quotes."
    )


@pytest.mark.parametrize(("conn_type", "warns"), [("http", True), ("leadconv", False), ("", False), (None, False)])
def test_a_connection_of_another_type_is_read_with_a_warning(conn_type, warns, caplog):
    assert parsed(conn_type=conn_type).token == TOKEN
    text = "Connection 'sell' has the type 'http' instead of 'leadconv'. If it is the right one, correct its type"
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [text] * warns


@pytest.mark.parametrize(
    ("host", "schema", "port", "base_url"),
    [
        (None, None, None, "https://api.getbase.com"),
        ("", "", None, "https://api.getbase.com"),
        (None, "https", 8443, "https://api.getbase.com:8443"),
        ("sell.example", None, None, "https://sell.example"),
        (" sell.example/ ", None, None, "https://sell.example"),
        ("sell.example:8443", None, None, "https://sell.example:8443"),
        ("sell.example", None, 8443, "https://sell.example:8443"),
        ("sell.example/prefix", None, 8443, "https://sell.example:8443/prefix"),
        ("sell.example:8443/prefix", "https", None, "https://sell.example:8443/prefix"),
        ("https://sell.example/prefix/", None, None, "https://sell.example/prefix"),
        ("https://sell.example", "HTTPS", 443, "https://sell.example:443"),
        ("HTTPS://sell.example", "https", None, "HTTPS://sell.example"),
        ("127.0.0.1", "http", 8377, "http://127.0.0.1:8377"),
        ("localhost:8377", "http", None, "http://localhost:8377"),
        ("http://localhost:8377/sell", None, None, "http://localhost:8377/sell"),
        ("::1", "http", 8377, "http://[::1]:8377"),
        ("[::1]", "http", 8377, "http://[::1]:8377"),
        ("[::1]:8377", "http", None, "http://[::1]:8377"),
        ("https://[2001:db8::1]/p", None, 8443, "https://[2001:db8::1]:8443/p"),
    ],
)
def test_host_schema_and_port_make_the_base_url(host, schema, port, base_url):
    assert parsed(host=host, schema=schema, port=port).base_url == base_url


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"host": "https://sell.example", "schema": "http"}, "schema is 'http', but host has another one"),
        ({"host": "sell.example:1", "port": 2}, "port is 2, but host has a port, too"),
        ({"host": "https://[::1]:1", "port": 2}, "port is 2, but host has a port, too"),
        ({"host": "sell.example", "schema": "ftp"}, "schema must be http or https, got 'ftp'"),
        ({"host": "sell.example", "schema": TOKEN}, "schema must be http or https (connection"),
        ({"host": "ftp://sell.example"}, "host must be a URL"),
        ({"host": "https://[::1", "port": 2}, "host is not a valid URL"),
        ({"host": "sell.example", "port": 99999}, "host is not a valid URL: the port must be a number from 1 to 65535"),
        ({"host": f"https://{TOKEN}@sell.example"}, "host must have no user"),
        ({"host": f"https://{TOKEN}@sell.example", "schema": "http"}, "schema is 'http'"),
        ({"host": f"https://{TOKEN}@sell.example:1", "port": 2}, "port is 2, but"),
        ({"host": "sell.example", "schema": "http"}, "plain http to sell.example would send the token unencrypted"),
        ({"host": "sell.example?a=1"}, "host must have no user, password, query or fragment"),
    ],
)
def test_a_contradiction_is_told_without_the_token(fields, says):
    with pytest.raises(ConnectionConfigError, match=r"\(connection 'sell'\)") as caught:
        parsed(**fields)
    assert says in str(caught.value)
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize(
    "extra",
    [
        {"proxy": f"http://u:{TOKEN}/x@proxy.example"},
        {"proxy": f"http://u:{TOKEN}@proxy.example:99999"},
        {"proxy": {"https": f"http://u:{TOKEN}@proxy.example"}},
        {"proxy": [f"http://u:{TOKEN}@proxy.example"]},
        {"web_base_url": f"https://u:{TOKEN}@acme.example"},
        f'{{"proxy": "http://u:{TOKEN}@proxy.example"',
    ],
)
def test_no_error_quotes_a_password_of_the_extra(extra):
    with pytest.raises(ConnectionConfigError) as caught:
        parsed(extra)
    shown = "".join(traceback.format_exception(caught.value))
    assert TOKEN not in shown


def test_plain_http_can_be_allowed():
    assert parsed({"allow_http": True}, host="http://sell.example").base_url == "http://sell.example"


AS_JSON = {
    "requests_per_second": 2.5,
    "rate_limit_scope": "process",
    "timeout": 7,
    "retry_timeout": 70,
    "settle_time": 0,
    "verify": False,
    "proxy": "http://user:secret@proxy.example:3128",
    "allow_http": True,
    "check_count": False,
    "account": "emea",
    "web_base_url": "https://acme.zendesk.com/sales",
}


def test_every_field_of_the_form_is_taken():
    config = parsed(AS_JSON)
    assert {name: getattr(config, name) for name in AS_JSON} == AS_JSON
    assert set(AS_JSON) == set(EXTRA_FIELDS)


def test_values_may_be_text_as_in_a_uri():
    as_text = {key: str(value) for key, value in AS_JSON.items()}
    assert parsed(as_text) == parsed(AS_JSON)


def test_the_form_of_airflow_2_sends_each_field_by_two_names():
    both = {f"{prefix}{key}": str(value) for key, value in AS_JSON.items() for prefix in ("extra__leadconv__", "")}
    assert parsed(both) == parsed(AS_JSON)
    with pytest.raises(ConnectionConfigError, match="unknown key 'extra__leadconv__time_out' in extra"):
        parsed({"extra__leadconv__time_out": "3"})
    with pytest.raises(ConnectionConfigError, match="unknown key 'extra__http__timeout' in extra"):
        parsed({"extra__http__timeout": "3"})


@pytest.mark.parametrize("nothing", [None, ""])
@pytest.mark.parametrize("key", EXTRA_FIELDS)
def test_a_field_left_empty_has_its_default(key, nothing):
    assert parsed({key: nothing}) == parsed()


@pytest.mark.parametrize("extra", [None, "", "{}", "null"])
def test_no_extra_is_no_mistake(extra):
    assert parsed(extra) == parsed()


@pytest.mark.parametrize("extra", ["timeout=3", "[1]", '"x"', '{"timeout": 3', "{'timeout': 3}", "[" * 9999])
def test_an_extra_that_is_no_json_object_is_not_taken_for_an_empty_one(extra):
    with pytest.raises(ConnectionConfigError, match="extra is not a JSON object"):
        parsed(extra)


@pytest.mark.parametrize(
    ("verify", "meant"), [(True, True), (False, False), ("true", True), ("False", False), (" true ", True)]
)
def test_verify_is_a_boolean_in_any_form(verify, meant):
    assert parsed({"verify": verify}).verify is meant


def test_verify_may_be_a_ca_file(tmp_path):
    path = tmp_path / "ca.pem"
    path.touch()
    assert parsed({"verify": str(path)}).verify == str(path)


@pytest.mark.parametrize(
    ("extra", "says", "remedy"),
    [
        ({"time_out": 3}, "unknown key 'time_out' in extra; did you mean 'timeout'?", "the extra"),
        ({"request_per_second": 3}, "did you mean 'requests_per_second'?", "the extra"),
        ({"zzz": 3}, "unknown key 'zzz' in extra; the keys are requests_per_second, rate_limit_scope", "the extra"),
        ({"timeout": "soon"}, "'timeout' in extra must be a number, got 'soon'", "the extra"),
        ({"timeout": True}, "'timeout' in extra must be a number", "the extra"),
        ({"timeout": [1]}, "'timeout' in extra must be a number", "the extra"),
        ({"timeout": 0}, "timeout must be a finite number above 0", '"timeout" in the extra'),
        ({"timeout": "nan"}, "timeout must be a finite number", '"timeout" in the extra'),
        (
            {"requests_per_second": "inf"},
            "requests_per_second must be a finite number",
            '"requests_per_second" in the extra',
        ),
        (
            {"rate_limit_scope": "user"},
            "rate_limit_scope must be host or process, got 'user'",
            '"rate_limit_scope" in the extra',
        ),
        ({"settle_time": -1}, "settle_time must be a finite number of at least 0", '"settle_time" in the extra'),
        ({"timeout": 301}, "retry_timeout (300) must not be below timeout (301)", '"retry_timeout" in the extra'),
        ({"allow_http": "maybe"}, "'allow_http' in extra must be true or false, got 'maybe'", "the extra"),
        ({"allow_http": 1}, "'allow_http' in extra must be true or false", "the extra"),
        ({"verify": "no"}, "verify is a CA file that does not exist on this machine: no", '"verify" in the extra'),
        ({"verify": 0}, "'verify' in extra must be true, false or the path of a CA file, not int", "the extra"),
        ({"proxy": "proxy.example:3128"}, "proxy must be a URL", '"proxy" in the extra'),
        ({"account": 5}, "'account' in extra must be a string", "the extra"),
        ({"web_base_url": "acme"}, "web_base_url must be a URL", '"web_base_url" in the extra'),
    ],
)
def test_a_wrong_option_is_named(extra, says, remedy):
    with pytest.raises(ConnectionConfigError, match=r"\(connection 'sell'\)") as caught:
        parsed(extra)
    assert says in str(caught.value)
    assert str(caught.value).endswith(f". Correct {remedy} of the connection.")


FIELDS = [
    {},
    {"host": "https://sell.example/prefix"},
    {"host": "https://sell.example/prefix", "port": 8443},
    {"host": "127.0.0.1", "schema": "http", "port": 8377},
    {"host": "sell.example", "schema": "https"},
    {"password": "a/b+c@d:e?f=g%h", "host": "sell.example"},
]


@pytest.mark.parametrize("fields", FIELDS)
@pytest.mark.parametrize(
    "extra", [None, AS_JSON, {"timeout": "3", "verify": "false"}], ids=["no extra", "JSON", "text"]
)
def test_a_connection_survives_airflows_uri_and_json(fields, extra, read):
    from airflow.models import Connection as Stored

    made = {"conn_id": "sell", "conn_type": "leadconv", "password": TOKEN, **fields}
    stored = Stored(**made, extra=json.dumps(extra) if extra else None)
    config = config_from_connection(stored)
    assert config_from_connection(Stored(conn_id="sell", uri=stored.get_uri())) == config
    assert config_from_connection(read(stored.get_uri())) == config
    assert config_from_connection(read(stored.as_json())) == config


@pytest.mark.parametrize(
    ("uri", "base_url", "timeout"),
    [
        (f"leadconv://:{TOKEN}@", "https://api.getbase.com", 30),
        (f"leadconv://:{TOKEN}@127.0.0.1:8377/http?timeout=3", "http://127.0.0.1:8377", 3),
        (f"leadconv://:{TOKEN}@https%3A%2F%2Fsell.example%2Fprefix", "https://sell.example/prefix", 30),
        (f"leadconv://:{TOKEN}@sell.example/?timeout=3&verify=false", "https://sell.example", 3),
    ],
)
def test_a_uri_written_by_hand_is_understood(uri, base_url, timeout, read):
    config = config_from_connection(read(uri))
    assert (config.base_url, config.timeout, config.token) == (base_url, timeout, TOKEN)


def test_every_key_in_a_uri_and_in_json_written_by_hand(read):
    query = urlencode({key: str(value) for key, value in AS_JSON.items()})
    by_uri = config_from_connection(read(f"leadconv://:{TOKEN}@sell.example/?{query}"))
    fields = {"conn_type": "leadconv", "password": TOKEN, "host": "sell.example", "extra": AS_JSON}
    by_json = config_from_connection(read(json.dumps(fields)))
    assert by_uri == by_json
    assert {name: getattr(by_uri, name) for name in AS_JSON} == AS_JSON
