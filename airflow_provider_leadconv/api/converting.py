"""Converting one lead, once. The protocol for a write that has no idempotency key and cannot be undone.

An answer to a POST is one of three kinds. *Not sent*: :meth:`LeadConversionsClient.post` sends again. *Answered*: it is
believed, but a refusal may mean "converted already", so it is decided by looking. *Unknown*: the server may still be
working on it, so the lead is judged absent no earlier than ``timeout + settle_time`` after the request was sent.
"""

from __future__ import annotations

from typing import Literal

from airflow_provider_leadconv.api.client import LeadConversionsClient
from airflow_provider_leadconv.api.errors import (
    InvalidRequestError,
    LeadConversionError,
    PermissionDeniedError,
    UnknownOutcomeError,
)
from airflow_provider_leadconv.api.records import ConversionOutcome, ConversionRequest, LeadConversion, Outcome
from airflow_provider_leadconv.api.wire import ListQuery

MAX_POSTS = 4
OnUnknown = Literal["retry", "report"]


def convert_lead(
    client: LeadConversionsClient, lead: ConversionRequest, *, on_unknown: OnUnknown = "retry"
) -> ConversionOutcome:
    """Convert a lead that may be converted already, whatever fails meanwhile.

    Whether the API refuses a second conversion is not documented, so the lead is looked up first.

    :param on_unknown: ``retry`` converts again once the lead was seen not to be converted, with 4 requests at the most;
        ``report`` never does.
    :return: ``converted``, ``existing``, ``failed`` (refused) or ``unknown``.
    :raises LeadConversionError: if nothing can be said of this lead or any other: the connection, the token or the
        permission is wrong, or the API cannot be reached. A conversion that may have been made is never lost this way:
        it ends as ``unknown``.
    """
    if found := look_up(client, lead.lead_id):
        return ConversionOutcome(lead_id=lead.lead_id, outcome=Outcome.EXISTING, conversion=found)
    doubt: UnknownOutcomeError | None = None
    try:
        for _ in range(MAX_POSTS if on_unknown == "retry" else 1):
            try:
                found = client.post(lead)
            except UnknownOutcomeError as error:
                doubt = error
                found = _settle(client, lead, error)
            except (InvalidRequestError, PermissionDeniedError) as refused:
                return _judge_refusal(client, lead, refused, doubt)
            if found:
                return ConversionOutcome(lead_id=lead.lead_id, outcome=Outcome.CONVERTED, conversion=found)
    except Exception as error:  # whatever it is, such as a secrets backend that fails when the token is read again
        if doubt is None:
            raise
        doubt.__cause__ = error
    return ConversionOutcome(lead_id=lead.lead_id, outcome=Outcome.UNKNOWN, error=doubt)


def is_about_one_lead(error: LeadConversionError) -> bool:
    """:return: whether a refusal says something of its lead only, so that other leads are worth trying."""
    if isinstance(error, PermissionDeniedError):
        return error.code != "insufficient_scope"
    return isinstance(error, InvalidRequestError)


def _judge_refusal(
    client: LeadConversionsClient,
    lead: ConversionRequest,
    refused: LeadConversionError,
    doubt: UnknownOutcomeError | None,
) -> ConversionOutcome:
    """Tell "cannot be converted" from "is converted already"; the API documents no status or code for the latter."""
    if doubt is None and not is_about_one_lead(refused):
        raise refused
    found = look_up(client, lead.lead_id)
    if found is None and (doubt or refused.code == "already_exists"):
        client.sleep(client.config.settle_time)  # the look-up may lag behind what the refusal knows
        found = look_up(client, lead.lead_id)
    if found is None and doubt:
        raise refused  # it may be what an earlier request of ours did that is refused a second time
    if found is None:
        return ConversionOutcome(lead_id=lead.lead_id, outcome=Outcome.FAILED, error=refused)
    outcome = Outcome.CONVERTED if doubt else Outcome.EXISTING
    return ConversionOutcome(lead_id=lead.lead_id, outcome=outcome, conversion=found)


def _settle(
    client: LeadConversionsClient, lead: ConversionRequest, doubt: UnknownOutcomeError
) -> LeadConversion | None:
    """Look until the lead is found, or was absent when the server must have been done with it."""
    if found := look_up(client, lead.lead_id):
        return found
    sent_at = client.clock() if doubt.sent_at is None else doubt.sent_at
    client.sleep(max(0.0, sent_at + client.config.timeout + client.config.settle_time - client.clock()))
    return look_up(client, lead.lead_id)


def look_up(client: LeadConversionsClient, lead_id: int) -> LeadConversion | None:
    """:return: the newest conversion of a lead, or ``None`` if it is not converted."""
    return client.find(ListQuery(per_page=1, lead_id=lead_id))
