"""What a client has to be told, checked before anything is sent."""

from __future__ import annotations

import copy
import json
import pickle

import msgspec
import pytest
from msgspec.structs import replace

from airflow_provider_leadconv.api.config import ClientConfig, Secret
from airflow_provider_leadconv.api.exceptions import ConnectionConfigError
from tests.support.responses import TOKEN


@pytest.mark.parametrize(
    "url",
    [
        "https://api.getbase.com",
        "https://proxy.example:8443/sell",
        "https://[2001:db8::1]:8443",
        "https://sell_proxy:8443",
        "https://xn--bcher-kva.example./a%20b",
        "https://10.0.0.1",
        "http://localhost:8377",
        "http://127.0.0.1",
        "http://127.9.9.9:1",
        "http://[::1]:8377/sell",
    ],
)
def test_https_and_loopback_are_taken(url):
    assert ClientConfig(token=TOKEN, base_url=url).base_url == url


@pytest.mark.parametrize(
    "url",
    ["http://api.getbase.com", "http://10.0.0.1", "http://localhost.example.com", "http://127.0.0.1.example.com"],
)
def test_plain_http_elsewhere_must_be_asked_for(url):
    with pytest.raises(ConnectionConfigError, match=r"would send the token unencrypted\. Use https\. .*allow_http"):
        ClientConfig(token=TOKEN, base_url=url)
    assert ClientConfig(token=TOKEN, base_url=url, allow_http=True)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"token": ""}, "the password is empty"),
        ({"token": "a b"}, "password"),
        ({"token": "a\nb"}, "password"),
        ({"token": "tökén"}, "password"),
        ({"base_url": "api.getbase.com"}, "host must be a URL"),
        ({"base_url": "ftp://api.getbase.com"}, "host must be a URL"),
        ({"base_url": "https://"}, "host must be a URL"),
        ({"base_url": "https://h:99999"}, "host is not a valid URL: the port must be a number from 1 to 65535"),
        ({"base_url": "https://h:0"}, "host is not a valid URL: the port"),
        ({"base_url": f"https://u:{TOKEN}/x@h"}, "host is not a valid URL: the port"),
        ({"base_url": "https://.example.com"}, "host is not a valid URL: the host must be a name"),
        ({"base_url": "https://*.example.com"}, "host is not a valid URL: the host"),
        ({"base_url": "https://exa mple.com"}, "host is not a valid URL: the host"),
        ({"base_url": f"https://{'a' * 64}.example.com"}, "host is not a valid URL: the host"),
        ({"base_url": "https://ex\u00e4mple.com"}, "host is not a valid URL: the host"),
        ({"base_url": "https://1.2.3.999"}, "host is not a valid URL: the host"),
        ({"base_url": "https://[v1.x]"}, "host is not a valid URL"),
        ({"base_url": "https://h/p q"}, "host is not a valid URL: percent-encode spaces"),
        ({"base_url": "https://h/p\nq"}, "host is not a valid URL: percent-encode spaces"),
        ({"base_url": "https://h/\u00e4"}, "host is not a valid URL: percent-encode spaces"),
        ({"base_url": "https://[h"}, "host is not a valid URL"),
        ({"base_url": f"https://{TOKEN}@h"}, "host must have no user"),
        ({"base_url": f"https://u:{TOKEN}@h"}, "host must have no user"),
        ({"base_url": "https://h/?a=1"}, "host must have no user, password, query or fragment"),
        ({"base_url": "https://h/#a"}, "host must have no"),
        ({"proxy": "proxy.example:3128"}, "proxy must be a URL"),
        ({"proxy": "socks5://proxy.example"}, "proxy must be a URL"),
        ({"proxy": f"http://u:{TOKEN}/x@proxy.example"}, "proxy is not a valid URL: the port"),
        ({"proxy": f"http://u:{TOKEN}@[::1"}, "proxy is not a valid URL"),
        ({"web_base_url": f"https://u:{TOKEN}@app.example"}, "web_base_url must have no user and no password"),
        ({"web_base_url": f"https://u:{TOKEN}/x@app.example"}, "web_base_url is not a valid URL"),
        ({"web_base_url": "app"}, "web_base_url must be a URL"),
        ({"requests_per_second": 0}, "requests_per_second must be a finite number above 0"),
        ({"requests_per_second": float("inf")}, "requests_per_second"),
        ({"timeout": -1.0}, "timeout must be a finite number above 0"),
        ({"timeout": float("nan")}, "timeout"),
        ({"retry_timeout": 0.0}, "retry_timeout must be a finite number above 0"),
        ({"settle_time": -0.1}, "settle_time must be a finite number of at least 0"),
        ({"timeout": 60.0, "retry_timeout": 59.0}, r"retry_timeout \(59\) must not be below timeout \(60\)"),
        ({"verify": "/no/such/file.pem"}, "verify is a CA file that does not exist on this machine: /no/such/file.pem"),
    ],
)
def test_a_wrong_value_is_named_and_the_token_is_not(wrong, says):
    with pytest.raises(ConnectionConfigError, match=says) as caught:
        ClientConfig(**{"token": TOKEN} | wrong)
    assert TOKEN not in str(caught.value)


def test_no_secret_is_in_the_repr():
    config = ClientConfig(token=TOKEN, proxy=f"http://user:{TOKEN}@proxy.example")
    assert TOKEN not in repr(config) + str(config) + f"{config}"
    assert "token=***" in repr(config)
    assert "timeout=30.0" in repr(config)


@pytest.mark.parametrize("encode", [msgspec.json.encode, msgspec.msgpack.encode, msgspec.to_builtins, json.dumps])
def test_a_secret_is_not_serialized(encode):
    for thing in (Secret(TOKEN), ClientConfig(token=TOKEN)):
        with pytest.raises(TypeError) as caught:
            encode(thing)
        assert TOKEN not in str(caught.value)


def test_a_secret_can_be_used_copied_and_compared():
    secret = Secret(TOKEN)
    config = ClientConfig(token=TOKEN, proxy="http://user:pw@h")
    for twin in (copy.copy(config), copy.deepcopy(config), pickle.loads(pickle.dumps(config)), replace(config)):
        assert twin == config
        assert twin.token.reveal() == TOKEN
        assert twin.proxy.reveal() == "http://user:pw@h"
    assert ClientConfig(token=secret).token is secret
    assert secret == TOKEN == Secret(TOKEN) != Secret("other")
    assert {secret: 1}[TOKEN] == 1
    assert f"{secret:>5}" == "  ***"
    assert not Secret("")
