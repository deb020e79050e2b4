"""What the environment says of the proxy and of certificates."""

from __future__ import annotations

from pathlib import Path

import requests
from requests.utils import select_proxy

from airflow_provider_leadconv.api.config import ClientConfig
from airflow_provider_leadconv.api.errors import ConnectionConfigError


def network_settings(config: ClientConfig) -> tuple[str | None, bool | str]:
    """Read the environment as ``requests`` does, so that both transports go the same way.

    :return: URL of the proxy for ``base_url`` or ``None``, and what to check certificates with.
    :raises ConnectionConfigError: if the environment names a CA file that does not exist.
    """
    proxies = {"http": config.proxy, "https": config.proxy} if config.proxy else {}
    with requests.Session() as session:
        settings = session.merge_environment_settings(
            config.base_url, proxies, stream=True, verify=config.verify, cert=None
        )
    verify = config.verify if settings["verify"] is None else settings["verify"]
    if isinstance(verify, str) and not Path(verify).exists():
        raise ConnectionConfigError(f"the CA file of the environment does not exist: {verify}")
    return select_proxy(config.base_url, settings["proxies"]), verify
