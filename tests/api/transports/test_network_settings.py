"""Which proxy is used, and what is trusted."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_leadconv.api.config import Secret
from airflow_provider_leadconv.api.exceptions import ConnectionConfigError
from airflow_provider_leadconv.api.queries import ListQuery
from airflow_provider_leadconv.api.transports.httpx2_transport import Httpx2Transport
from airflow_provider_leadconv.api.transports.network_settings import network_settings, tls_context
from tests.support.responses import TOKEN
from tests.support.servers import Server, certificate, closed_port, config, http_response, says
from tests.support.transports import GET, TRANSPORTS

CURSOR = ListQuery(cursor="eyJsYXN0X2lkIjo2NTA3ODF9%0A").request()


@pytest.mark.parametrize("send", TRANSPORTS.values(), ids=TRANSPORTS)
@pytest.mark.parametrize("how", ["configured", "environment"])
def test_a_proxy_gets_the_whole_url_with_the_cursor_as_it_is(how, send, monkeypatch):
    with Server(says(http_response(b'{"by":"proxy"}'))) as proxy:
        if how == "environment":
            monkeypatch.setenv("http_proxy", proxy.url)
        configured = {"proxy": proxy.url} if how == "configured" else {}
        came = send(config("http://sell.invalid/sell/", allow_http=True, **configured), CURSOR)
    assert came.body == b'{"by":"proxy"}'
    assert proxy.requests[0].startswith(b"GET http://sell.invalid/sell/v2/lead_conversions?")
    assert b"cursor=eyJsYXN0X2lkIjo2NTA3ODF9%0A HTTP/1.1\r\n" in proxy.requests[0]


@pytest.mark.parametrize("send", TRANSPORTS.values(), ids=TRANSPORTS)
def test_the_configured_proxy_takes_precedence_over_the_environments(send, monkeypatch):
    with Server(says(http_response())) as proxy, closed_port() as port:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("all_proxy", f"http://127.0.0.1:{port}")
        assert send(config("http://sell.invalid", allow_http=True, proxy=proxy.url)).status_code == 200


@pytest.mark.parametrize("send", TRANSPORTS.values(), ids=TRANSPORTS)
def test_no_proxy_of_the_environment_is_honoured(send, monkeypatch):
    with closed_port() as port:
        monkeypatch.setenv("all_proxy", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("no_proxy", "sell.invalid")
        assert "proxy" not in send(config("https://sell.invalid")).reason


@pytest.mark.parametrize("variable", ["http_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1.2.3", "[::1]"])
def test_the_proxy_of_the_environment_never_sees_a_request_to_this_machine(host, variable, monkeypatch):
    monkeypatch.setenv(variable, "http://proxy.invalid:3128")
    for scheme in ("http", "https"):
        assert network_settings(config(f"{scheme}://{host}:1")).proxy is None


@pytest.mark.parametrize("send", TRANSPORTS.values(), ids=TRANSPORTS)
def test_a_request_to_this_machine_is_sent_directly(send, monkeypatch):
    with Server(says(http_response(b"direct"))) as server, Server(says(http_response(b"proxy"))) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("all_proxy", proxy.url)
        assert send(config(server.url)).body == b"direct"
    assert proxy.connections == 0


def test_plain_http_through_a_configured_proxy_must_be_allowed():
    with pytest.raises(ConnectionConfigError, match=r"plain http through a proxy.*allow_http"):
        config("http://127.0.0.1:1", proxy="http://proxy.invalid")
    allowed = config("http://127.0.0.1:1", proxy="http://proxy.invalid", allow_http=True)
    assert network_settings(allowed).proxy == "http://proxy.invalid"


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
@pytest.mark.parametrize("send", TRANSPORTS.values(), ids=TRANSPORTS)
@pytest.mark.parametrize("how", ["CA file", "no check", "environment"])
def test_a_certificate_can_be_trusted(how, send, tmp_path, monkeypatch):
    path, context = certificate(tmp_path, "127.0.0.1")
    if how == "environment":
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(path))
    verify = {"CA file": str(path), "no check": False, "environment": True}[how]
    with Server(says(http_response()), context) as server:
        assert send(config(server.url, verify=verify)).status_code == 200


def test_one_tls_context_is_made_and_not_on_the_event_loop(tmp_path, monkeypatch):
    path, context = certificate(tmp_path, "127.0.0.1")
    made_in = []
    make = ssl.create_default_context

    def recording(**arguments):
        made_in.append(threading.current_thread())
        return make(**arguments)

    async def ask(settings):
        for _ in range(3):
            transport = Httpx2Transport(settings, "test")
            assert (await transport(GET, Secret(TOKEN))).status_code == 200
            await transport.aclose()

    monkeypatch.setattr(ssl, "create_default_context", recording)
    tls_context.cache_clear()
    with Server(says(http_response()), context) as server:
        asyncio.run(ask(config(server.url, verify=str(path))))
    assert len(made_in) == 1
    assert made_in[0] is not threading.main_thread()


ODD_URLS = st.text(st.sampled_from("htps:/@[]1.%\\ \xffü-x"), max_size=20) | st.sampled_from(
    ["socks5://h:1", "SOCKS5H://u:p@h", "ftp://h", "direct://", "http://[::1", "http://h:99999", "http://u:p/w@h:1"]
)


@settings(deadline=None, suppress_health_check=list(HealthCheck))
@given(url=ODD_URLS, variable=st.sampled_from(["HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "proxy"]))
def test_an_odd_proxy_is_used_or_a_wrong_configuration(url, variable):
    with pytest.MonkeyPatch.context() as environment, contextlib.suppress(ConnectionConfigError):
        if variable == "proxy":
            network_settings(config("https://sell.invalid", proxy=url))
        else:
            environment.setenv("HTTPS_PROXY", "http://proxy.invalid")
            environment.setenv(variable, url)
            network_settings(config("https://sell.invalid"))
