"""Whatever bytes a server sends: a response or a failure, and after a POST never an exception of another kind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, example, given, settings

from airflow_provider_leadconv.api.at_most_once import convert_lead
from airflow_provider_leadconv.api.client import LeadConversionsClient
from airflow_provider_leadconv.api.exceptions import LeadConversionError, UnknownOutcomeError
from airflow_provider_leadconv.api.http import Response, TransportFailure
from airflow_provider_leadconv.api.models import ConversionRequest, ConversionStatus
from tests.support.servers import Server, config, hostile_frames, http_response, says
from tests.support.transports import TRANSPORTS

LEAD = ConversionRequest(5)
NEGATIVE_CHUNK = b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\n{}\r\n0\r\n\r\n"
BROKEN = {
    "negative chunk": NEGATIVE_CHUNK,
    "no chunk size": NEGATIVE_CHUNK.replace(b"-5", b"zz"),
    "chunk of 2**64 bytes": NEGATIVE_CHUNK.replace(b"-5", b"f" * 16),
    "two lengths": b"HTTP/1.1 201 Created\r\nContent-Length: 2,3\r\n\r\n{}",
    "no status": b"HTTP/1.1 -200 OK\r\n\r\n{}",
    "no HTTP": b"\0" * 100,
}


class Repeating(Server):
    """Sends the same bytes whatever is asked, and closes."""

    def __init__(self) -> None:
        self.frame = b""
        super().__init__(lambda sock, request: (sock.sendall(self.frame), True)[1])


@pytest.fixture(scope="module")
def server() -> Iterator[Repeating]:
    with Repeating() as server:
        yield server


@pytest.mark.parametrize("send", TRANSPORTS.values(), ids=TRANSPORTS)
@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(frame=hostile_frames)
@example(frame=NEGATIVE_CHUNK)
def test_every_frame_is_a_response_or_a_failure(send, server, frame):
    server.frame = frame
    came = send(config(server.url, timeout=2.0))
    assert isinstance(came, Response) or (isinstance(came, TransportFailure) and came.sent)


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(frame=hostile_frames)
@example(frame=NEGATIVE_CHUNK)
def test_a_conversion_ends_in_one_of_our_errors(server, frame):
    server.frame = frame
    with LeadConversionsClient(config(server.url, timeout=2.0, retry_timeout=2.0)) as client:
        with pytest.raises(LeadConversionError):
            client.post(LEAD)
        assert client.counters.requests >= 1


@pytest.mark.parametrize("frame", BROKEN.values(), ids=BROKEN)
def test_a_broken_response_to_a_conversion_leaves_the_outcome_unknown(frame):
    with Server(says(frame, then_close=True)) as server, LeadConversionsClient(config(server.url)) as client:
        with pytest.raises(UnknownOutcomeError):
            client.post(LEAD)
        assert len(server.requests) == 1


@pytest.mark.parametrize("frame", BROKEN.values(), ids=BROKEN)
def test_a_lead_with_a_broken_response_is_looked_up(frame):
    def talk(sock, request):
        sock.sendall(frame if request.startswith(b"POST") else http_response(empty))
        return request.startswith(b"POST")

    empty = b'{"items":[],"meta":{"count":0}}'
    with (
        Server(talk) as server,
        LeadConversionsClient(config(server.url, timeout=0.2, retry_timeout=0.2, settle_time=0.0)) as client,
    ):
        result = convert_lead(client, LEAD)
    assert (result.status, type(result.error)) == (ConversionStatus.UNKNOWN, UnknownOutcomeError)
    assert sum(request.startswith(b"POST") for request in server.requests) == 4
