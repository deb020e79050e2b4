"""The way to the API: which proxy, and which certificates are trusted."""

from __future__ import annotations

import ssl
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import requests
from requests.utils import select_proxy

from airflow_provider_leadconv.api.config import ClientConfig, Secret, check_url, is_loopback
from airflow_provider_leadconv.api.exceptions import ConnectionConfigError

_CORRECT_VERIFY = 'Correct "verify" in the extra of the connection, or REQUESTS_CA_BUNDLE in the environment.'
# A URL in the connection was checked before.
_CORRECT_PROXY = "Correct HTTPS_PROXY or HTTP_PROXY in the environment."
_USE_HTTP_PROXY = (
    'Name an HTTP proxy as "proxy" in the extra of the connection, or add the host to NO_PROXY in the environment.'
)


class NetworkSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What both transports need to know to connect.

    :param proxy: URL of the proxy; ``None`` to connect directly.
    :param proxy_name: the same without user and password.
    :param verify: what to check certificates with, as ``requests`` has it.
    :param encrypted: whether there is TLS, to the API or to the proxy.
    """

    proxy: Secret | None
    proxy_name: str | None
    verify: bool | str
    encrypted: bool

    @property
    def tls(self) -> ssl.SSLContext | None:
        """What to check certificates with; ``None`` if nothing is encrypted.

        :raises ConnectionConfigError: if the file or folder does not exist or holds no certificates.
        """
        return tls_context(self.verify) if self.encrypted else None

    def proxies(self) -> dict[str, str]:
        """Return the proxy as ``requests`` wants it."""
        return dict.fromkeys(("http", "https"), self.proxy.reveal()) if self.proxy else {}


def network_settings(config: ClientConfig) -> NetworkSettings:
    """Read the connection and the environment as ``requests`` does, so that both transports go the same way.

    :raises ConnectionConfigError: if the proxy is wrong, in the connection or in the environment.
    """
    configured = Secret.wrap(config.proxy).reveal() if config.proxy else None
    proxies = dict.fromkeys(("http", "https"), configured) if configured else {}
    with requests.Session() as session:
        settings = session.merge_environment_settings(
            config.base_url, proxies, stream=True, verify=config.verify, cert=None
        )
    # A proxy of the environment is not meant for this machine, and would see the token of a request in plain http.
    direct = not configured and is_loopback(urlsplit(config.base_url).hostname or "")
    proxy = None if direct else _checked_proxy(select_proxy(config.base_url, settings["proxies"]))
    verify = config.verify if settings["verify"] is None else settings["verify"]
    encrypted = any(url and url.lower().startswith("https:") for url in (config.base_url, proxy))
    return NetworkSettings(
        proxy=Secret(proxy) if proxy else None,
        proxy_name=_without_user_info(proxy) if proxy else None,
        verify=verify,
        encrypted=encrypted,
    )


@lru_cache(maxsize=8)
def tls_context(verify: bool | str) -> ssl.SSLContext:
    """Make a TLS context. That takes some 30 to 200 ms, so all transports with the same ``verify`` share one.

    :param verify: ``True``: trust the authorities that requests trusts; ``False``: anybody; or a file or folder.
    :raises ConnectionConfigError: if the file or folder does not exist or holds no certificates.
    """
    if verify is False:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    import certifi

    authorities = Path(certifi.where() if verify is True else verify)
    try:
        if authorities.is_dir():
            return ssl.create_default_context(capath=str(authorities))
        return ssl.create_default_context(cafile=str(authorities))
    except FileNotFoundError as error:
        raise ConnectionConfigError(f"the CA file does not exist: {authorities}", remedy=_CORRECT_VERIFY) from error
    except ssl.SSLError as error:
        reason = (error.reason or "no certificates").lower().replace("_", " ")
        raise _unusable(authorities, reason) from error
    except OSError as error:
        raise _unusable(authorities, error.strerror) from error


def _unusable(authorities: Path, reason: str | None) -> ConnectionConfigError:
    return ConnectionConfigError(f"the CA file cannot be used: {authorities}: {reason}", remedy=_CORRECT_VERIFY)


def _checked_proxy(proxy: str | None) -> str | None:
    if not proxy:
        return None
    url = proxy if "://" in proxy else f"http://{proxy}"  # the environment may leave the scheme out
    if url.partition("://")[0].lower().startswith("socks"):
        raise ConnectionConfigError("SOCKS proxies are not supported", remedy=_USE_HTTP_PROXY)
    check_url("the proxy", url, remedy=_CORRECT_PROXY)
    return url


def _without_user_info(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.partition('/')[0].rpartition('@')[2]}"
