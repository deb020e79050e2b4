"""Convert a lead at most once: the rules that single and bulk conversion share.

A POST ends in one of three ways. *No effect* (not sent, or throttled): :meth:`LeadConversionsClient.post` sends it
again. *Answered*: the response is believed, but a refusal may mean "already converted", so a look-up decides.
*Unknown*: the server may still be working on the request, so the lead counts as not converted only if a look-up misses
it ``timeout + settle_time`` after the request was sent. Then, and only then, it is sent again.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from typing import NamedTuple, Self

import msgspec

from airflow_provider_leadconv.api.client import LeadConversionsClient
from airflow_provider_leadconv.api.config import ClientConfig
from airflow_provider_leadconv.api.exceptions import (
    InvalidRequestError,
    LeadConversionError,
    PermissionDeniedError,
    UnknownOutcomeError,
)
from airflow_provider_leadconv.api.models import ConversionRequest, ConversionResult, ConversionStatus, LeadConversion
from airflow_provider_leadconv.api.queries import ListQuery

MAX_UNKNOWN_OUTCOMES = 4
"""POSTs for one lead whose outcome is unknown, at most. After that, the status of the lead is ``unknown``."""

ALREADY_EXISTS = "already_exists"
"""Error code of a refusal that says that the lead is already converted."""


class ConfirmedConversion(NamedTuple):
    """A conversion that a response or a look-up confirms.

    :param from_response: whether a POST was answered with the conversion; otherwise a look-up found it.
    """

    conversion: LeadConversion
    from_response: bool


class Resolution(Enum):
    """What follows if a look-up misses a lead once a conversion would be visible."""

    SEND_AGAIN = auto()
    FAILED = auto()
    UNKNOWN = auto()


class PendingLookup(msgspec.Struct, frozen=True, kw_only=True):
    """A lead that may be converted, and must be looked up before anything else is decided.

    :param error: the error of the last request.
    :param resolve_at: from when on a look-up decides, in seconds of the client's clock.
    :param requests: requests for the lead whose outcome is unknown.
    :param refused: whether the last request was refused.
    """

    error: LeadConversionError
    resolve_at: float
    requests: int
    refused: bool

    @classmethod
    def after_unknown(
        cls, error: UnknownOutcomeError, previous: PendingLookup | None, *, config: ClientConfig, now: float
    ) -> Self:
        """Return the state after a request with an unknown outcome."""
        sent_at = now if error.sent_at is None else error.sent_at
        return cls(
            error=error,
            resolve_at=sent_at + config.timeout + config.settle_time,
            requests=1 + (previous.requests if previous else 0),
            refused=False,
        )

    @classmethod
    def after_refusal(
        cls, error: LeadConversionError, previous: PendingLookup | None, *, config: ClientConfig, now: float
    ) -> Self | None:
        """Decide what a refusal means for a lead that a look-up did not find.

        :return: the state to resolve; ``None`` if no conversion is to be expected, so that the refusal stands.
        """
        if previous is None and error.code != ALREADY_EXISTS:
            return None
        if previous is not None and previous.requests and error.code == ALREADY_EXISTS:
            # It contradicts the look-up that missed the lead, so the outcome of the earlier request stays unknown.
            previous.error.__cause__ = error
            error = previous.error
        return cls(
            error=error,
            resolve_at=now + config.settle_time,  # a look-up may lag behind what the refusal knows
            requests=previous.requests if previous else 0,
            refused=True,
        )

    def resolve(self) -> Resolution:
        """Decide on a lead that a look-up missed at :attr:`resolve_at` or later."""
        if self.refused:
            return Resolution.UNKNOWN if isinstance(self.error, UnknownOutcomeError) else Resolution.FAILED
        return Resolution.SEND_AGAIN if self.requests < MAX_UNKNOWN_OUTCOMES else Resolution.UNKNOWN


def convert_lead(client: LeadConversionsClient, lead: ConversionRequest) -> ConversionResult:
    """Convert a lead at most once, even if it is already converted or requests fail.

    Whether the API refuses a second conversion is not documented, so the lead is looked up first. At most
    :data:`MAX_UNKNOWN_OUTCOMES` POSTs are sent whose outcome is unknown.

    :return: ``converted``, ``existing``, ``failed`` (refused) or ``unknown``.
    :raises LeadConversionError: if the error does not concern this lead alone: the connection, the token or the
        permission is wrong, or the API cannot be reached. A conversion that may have been made is never lost this way:
        its status is ``unknown``.
    """
    if found := look_up(client, lead.lead_id):
        return ConversionResult(lead_id=lead.lead_id, status=ConversionStatus.EXISTING, conversion=found)
    conversion = _SingleConversion(client, lead)
    try:
        return conversion.run()
    except Exception as error:  # whatever it is, such as a secrets backend that fails when the token is read again
        if conversion.pending is None:
            raise
        conversion.pending.error.__cause__ = error
        return ConversionResult(lead_id=lead.lead_id, status=ConversionStatus.UNKNOWN, error=conversion.pending.error)


class _SingleConversion:
    def __init__(self, client: LeadConversionsClient, lead: ConversionRequest) -> None:
        self.pending: PendingLookup | None = None
        self._client = client
        self._lead = lead

    def run(self) -> ConversionResult:
        while True:
            if result := self._send():
                return result
            if result := self._resolve():
                return result

    def _send(self) -> ConversionResult | None:
        """Return the result; ``None`` if a look-up must decide."""
        config, clock = self._client.config, self._client.clock
        try:
            return self._converted(send_conversion(self._client, self._lead))
        except UnknownOutcomeError as error:
            self.pending = PendingLookup.after_unknown(error, self.pending, config=config, now=clock())
        except LeadConversionError as error:
            if not concerns_one_lead(error):
                raise
            pending = PendingLookup.after_refusal(error, self.pending, config=config, now=clock())
            if pending is None:
                return ConversionResult(lead_id=self._lead.lead_id, status=ConversionStatus.FAILED, error=error)
            self.pending = pending
        return None

    def _resolve(self) -> ConversionResult | None:
        """Return the result; ``None`` if the lead is to be sent again."""
        assert self.pending is not None, "only a pending look-up can be resolved"  # noqa: S101
        if found := self._look_up_until_resolved(self.pending):
            return self._converted(ConfirmedConversion(found, from_response=False))
        resolution = self.pending.resolve()
        if resolution is Resolution.SEND_AGAIN:
            return None
        status = ConversionStatus.FAILED if resolution is Resolution.FAILED else ConversionStatus.UNKNOWN
        return ConversionResult(lead_id=self._lead.lead_id, status=status, error=self.pending.error)

    def _look_up_until_resolved(self, pending: PendingLookup) -> LeadConversion | None:
        """Look up at once, which often finds the conversion, and again when a look-up decides."""
        if not pending.refused and (found := look_up(self._client, self._lead.lead_id)):
            return found
        self._client.sleep(max(0.0, pending.resolve_at - self._client.clock()))
        return look_up(self._client, self._lead.lead_id)

    def _converted(self, attempt: ConfirmedConversion) -> ConversionResult:
        ours = attempt.from_response or (self.pending is not None and self.pending.requests > 0)
        status = ConversionStatus.CONVERTED if ours else ConversionStatus.EXISTING
        return ConversionResult(lead_id=self._lead.lead_id, status=status, conversion=attempt.conversion)


def send_conversion(
    client: LeadConversionsClient,
    lead: ConversionRequest,
    *,
    look_up_first: bool = False,
    may_send: Callable[[], bool] | None = None,
) -> ConfirmedConversion:
    """Send one conversion. A refusal may mean that the lead is already converted, so a look-up decides.

    :param look_up_first: for a lead that an earlier request may have converted.
    :param may_send: asked right before each attempt is sent; default: always.
    :raises UnknownOutcomeError: if it is not known whether the lead is converted now.
    :raises RequestNotSentError: if ``may_send`` says no.
    :raises LeadConversionError: of the class that says what to do about it.
    """
    if look_up_first and (found := look_up(client, lead.lead_id)):
        return ConfirmedConversion(found, from_response=False)
    try:
        return ConfirmedConversion(client.post(lead, may_send=may_send), from_response=True)
    except (InvalidRequestError, PermissionDeniedError) as refused:
        if not concerns_one_lead(refused) or not (found := _look_up_refused(client, lead.lead_id, refused)):
            raise
        return ConfirmedConversion(found, from_response=False)


def concerns_one_lead(error: LeadConversionError) -> bool:
    """Return whether a refusal says something about its lead only, so that other leads are worth trying."""
    if isinstance(error, PermissionDeniedError):
        return error.code != "insufficient_scope"
    return isinstance(error, InvalidRequestError)


def look_up(client: LeadConversionsClient, lead_id: int) -> LeadConversion | None:
    """Return the newest conversion of a lead, or ``None`` if it is not converted."""
    return client.find(ListQuery(per_page=1, lead_id=lead_id))


def _look_up_refused(
    client: LeadConversionsClient, lead_id: int, refused: LeadConversionError
) -> LeadConversion | None:
    try:
        return look_up(client, lead_id)
    except Exception as error:  # whatever it is, such as a secrets backend that fails when the token is read again
        reason = error.message if isinstance(error, LeadConversionError) else f"unexpected {type(error).__name__}"
        raise UnknownOutcomeError(
            f"the conversion was rejected ({refused.message}), but the look-up that confirms it failed: {reason}"
        ) from error
