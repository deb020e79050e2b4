"""What it means when a request got no complete response: one classification for both HTTP libraries.

Whether a failure is permanent, and whether a conversion may have arrived, must not depend on the library. So the
decision is made from the root causes, which are exceptions of the standard library for both, and the wording is ours.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import ssl
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from urllib3.exceptions import ReadTimeoutError

from airflow_provider_leadconv.api.http import TransportFailure

_NOT_SENT = "the request was not sent"
_NO_ADDRESS = "the name server does not respond"
_CLOSED = ConnectionResetError | ConnectionAbortedError | BrokenPipeError
_TIMEOUTS = (TimeoutError, ReadTimeoutError)
# OpenSSL's reasons for a server that does not speak TLS. Other failures of a handshake may be temporary.
_NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "UNKNOWN_PROTOCOL", "RECORD_LAYER_FAILURE", "HTTP_REQUEST"})
_TLS_VERSION = frozenset(
    {
        "NO_PROTOCOLS_AVAILABLE",
        "TLSV1_ALERT_PROTOCOL_VERSION",
        "UNKNOWN_SSL_VERSION",
        "UNSUPPORTED_PROTOCOL",
        "WRONG_SSL_VERSION",
    }
)
# X509_V_ERR_... of OpenSSL
_NOT_YET_VALID, _EXPIRED, _OTHER_HOST_NAME, _OTHER_ADDRESS = 9, 10, 62, 64
# "Tunnel connection failed: 407 ..." of http.client, "407 ..." of httpcore
_PROXY_STATUS = re.compile(r"^(?:Tunnel connection failed: )?([1-5]\d\d)\b")


def note_not_sent(error: BaseException) -> None:
    """Mark an error that occurred before the first byte of the request was sent to the API.

    Looking up names, connecting, proxies and the TLS handshake are before that.
    """
    error.add_note(_NOT_SENT)


def note_no_address(error: BaseException) -> None:
    """Mark an error that ended the look-up of the host's addresses for lack of time."""
    error.add_note(_NO_ADDRESS)


def transport_failure(error: BaseException, *, host: str, timeout: float, proxy: str | None = None) -> TransportFailure:
    """Classify an error of an HTTP library.

    :param error: what was raised, see also :func:`note_not_sent`.
    :param host: where the request was sent, for the message.
    :param timeout: seconds the attempt was allowed to take.
    :param proxy: the proxy in use, without its credentials.
    :return: whether the request may have reached the API, whether only the user can help, what happened, and what to
        do about it.
    """
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            owner = f"{host} or of the proxy {proxy}" if proxy and proxy.startswith("https:") else host
            reason = f"the certificate of {owner} is not trusted: {cause.verify_message}"
            return TransportFailure(sent=False, reason=reason, misconfigured=True, remedy=_certificate_remedy(cause))
    if _has_note(causes, _NOT_SENT):
        problem = _connection_problem(causes, proxy)
        via = f" through the proxy {proxy}" if proxy else ""
        return TransportFailure(
            sent=False,
            reason=f"no connection to {host}{via}: {problem.detail}",
            misconfigured=problem.misconfigured,
            remedy=problem.remedy,
        )
    if _timed_out(causes):
        reason = f"no complete response from {host} within {timeout:g} s"
        return TransportFailure(sent=True, reason=reason, remedy=f"{_LATER}, or raise {_TIMEOUT_KEY}.")
    reason = f"the connection to {host} was closed or corrupted before the response was complete"
    return TransportFailure(sent=True, reason=f"{reason}{_tls_reason(causes)}")


class _Problem(NamedTuple):
    """Why there is no connection; :param misconfigured: whether only the user can help."""

    detail: str
    remedy: str
    misconfigured: bool = False


_LATER = "Run the task again later"
_TIMEOUT_KEY = '"timeout" in the extra of the connection'
_PROXY_KEY = '"proxy" in the extra of the connection, or HTTPS_PROXY in the environment'
_FIREWALL = "Check the network and the firewalls between this machine and the host."
_NO_TUNNEL = "Check that the proxy permits connections to this host."


def _connection_problem(causes: list[BaseException], proxy: str | None) -> _Problem:
    """Return why there is no connection, and what to do about it."""
    address = _PROXY_KEY if proxy else "the host of the connection"
    if status := _proxy_status(causes):
        return _proxy_refusal(status)
    if _has_note(causes, _NO_ADDRESS):
        return _Problem(f"cannot resolve the host name: {_NO_ADDRESS}", "Check the DNS settings of this machine.")
    for cause in causes:
        if isinstance(cause, socket.gaierror):
            remedy = f"Check {address}, and the DNS settings of this machine."
            return _Problem(f"cannot resolve the host name: {cause.strerror}", remedy)
        if getattr(cause, "reason", None) in _NO_TLS:
            return _no_tls(proxy)
    if tls := _tls_reason(causes):
        return _Problem(f"the TLS handshake failed{tls}", _handshake_remedy(causes))
    if _timed_out(causes):
        return _Problem("timed out", f"{_FIREWALL} If it is only slow, raise {_TIMEOUT_KEY}.")
    if number := _error_number(causes):
        refused = f"Check {address}: nothing listens on this port."
        return _Problem(os.strerror(number), refused if number == errno.ECONNREFUSED else _FIREWALL)
    return _Problem("the connection was closed", _NO_TUNNEL if proxy else _FIREWALL)


def _proxy_refusal(status: str) -> _Problem:
    if status == "407":
        return _Problem(
            "the proxy answered 407: it requires a user and a password",
            f"Put both into {_PROXY_KEY}: http://user:password@host:port",
            misconfigured=True,
        )
    return _Problem(f"the proxy answered {status}", _NO_TUNNEL)


def _no_tls(proxy: str | None) -> _Problem:
    if proxy and proxy.startswith("https:"):
        remedy = f"Write http:// instead of https:// in {_PROXY_KEY}."
        return _Problem("the proxy speaks http, not https", remedy, misconfigured=True)
    remedy = "Correct the host of the connection: the port is not one for https, or the URL must begin with http://"
    return _Problem("the server speaks http, not https", remedy, misconfigured=True)


def _handshake_remedy(causes: Iterable[BaseException]) -> str:
    if any(getattr(cause, "reason", None) in _TLS_VERSION for cause in causes):
        return "Enable TLS 1.2 or later on the server, or on the proxy in between."
    return "Check the TLS settings of the server, and of a proxy in between."


def _certificate_remedy(error: ssl.SSLCertVerificationError) -> str:
    if error.verify_code in {_OTHER_HOST_NAME, _OTHER_ADDRESS}:
        return "Correct the host of the connection: the certificate was issued for another one."
    if error.verify_code in {_NOT_YET_VALID, _EXPIRED}:
        return "Have the server's certificate renewed, or correct the clock of this machine."
    return 'Name the file of the CA that issued it as "verify" in the extra of the connection.'


def _tls_reason(causes: Iterable[BaseException]) -> str:
    for cause in causes:
        # An end of the connection is the same with and without TLS.
        if isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLEOFError) and cause.reason:
            return f": {cause.reason.lower().replace('_', ' ')}"
    return ""


def _error_number(causes: Iterable[BaseException]) -> int | None:
    """Return the ``errno`` of the operating system. A reset is a late close, so both are reported alike."""
    errors = (cause for cause in causes if isinstance(cause, OSError))
    return next(
        (error.errno for error in errors if error.errno and not isinstance(error, _CLOSED | ssl.SSLError)), None
    )


def _has_note(causes: Iterable[BaseException], note: str) -> bool:
    return any(note in getattr(cause, "__notes__", ()) for cause in causes)


def _timed_out(causes: Iterable[BaseException]) -> bool:
    return any(isinstance(cause, _TIMEOUTS) for cause in causes)


def _proxy_status(causes: Iterable[BaseException]) -> str | None:
    """The status with which a proxy refused to open a tunnel."""
    found = (_PROXY_STATUS.match(str(cause)) for cause in causes)
    return next((match[1] for match in found if match), None)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and all that it wraps: as its cause or context, in a group, or as an attribute as urllib3 does."""
    pending: list[object] = [error]
    seen: set[int] = set()
    while pending:
        current = pending.pop(0)
        if not isinstance(current, BaseException) or id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        pending += [getattr(current, "reason", None), *current.args, *getattr(current, "exceptions", ())]
        pending += [current.__cause__, current.__context__]
