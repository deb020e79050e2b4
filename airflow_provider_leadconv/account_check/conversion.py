"""The two questions that only a conversion can answer: how soon is it visible, and is a second one refused."""

from __future__ import annotations

import math
from typing import NamedTuple

from airflow_provider_leadconv.account_check.report import Finding, Report
from airflow_provider_leadconv.api.client import LeadConversionsClient
from airflow_provider_leadconv.api.codec import conversion_request, read_conversion
from airflow_provider_leadconv.api.error_mapping import error_from_response
from airflow_provider_leadconv.api.exceptions import InvalidRequestError, RateLimitedError, UnknownOutcomeError
from airflow_provider_leadconv.api.http import Response
from airflow_provider_leadconv.api.models import ConversionRequest
from airflow_provider_leadconv.api.queries import ListQuery

MAX_WAIT = 120.0
"""Seconds to wait until a conversion is visible."""
PAUSE = 0.5
"""Seconds between look-ups."""


def check_conversion(client: LeadConversionsClient, lead_id: int) -> Report:
    """Convert one lead, without a deal, and send its conversion a second time. This cannot be undone.

    :param client: of the account.
    :param lead_id: a lead that is not converted.
    :return: the report.
    :raises InvalidRequestError: if the lead is converted already, or its conversion is refused.
    :raises UnknownOutcomeError: if the response to the first conversion is lost. Nothing else is sent then.
    :raises LeadConversionError: of the class that says what to do about it.
    """
    started, before = client.clock(), client.counters.requests
    lead = ConversionRequest(lead_id, create_deal=False)
    if client.find(ListQuery(per_page=1, lead_id=lead.lead_id)) is not None:
        raise InvalidRequestError(f"lead {lead.lead_id} is already converted; pass a lead that is not")
    conversion = client.post(lead)
    findings = {"visibility": _visibility(client, lead), "second conversion": _second(client, lead, conversion.id)}
    return Report(
        findings=findings, requests=client.counters.requests - before, seconds=round(client.clock() - started, 1)
    )


def _visibility(client: LeadConversionsClient, lead: ConversionRequest) -> Finding:
    answered = client.clock()
    seconds, settle_time = 0.0, client.config.settle_time
    while client.find(ListQuery(per_page=1, lead_id=lead.lead_id)) is None:
        seconds = round(client.clock() - answered, 1)
        if seconds > MAX_WAIT:
            text = f"A look-up does not find the conversion {seconds:g} s after its response. Do not convert in bulk."
            return Finding(verdict="different", text=text, observed={"hidden_for_seconds": seconds})
        client.sleep(PAUSE)
    observed = {"hidden_for_seconds": seconds}
    if not seconds:
        text = "The first look-up after the response finds the conversion."
        return Finding(verdict="expected", text=text, observed=observed)
    text = (
        f"Look-ups do not find the conversion for {seconds:g} s after its response; settle_time is {settle_time:g} s."
    )
    if 2 * seconds <= settle_time:
        return Finding(verdict="expected", text=text, observed=observed)
    return Finding(verdict="different", text=text, observed=observed, settings={"settle_time": math.ceil(3 * seconds)})


class _Response(NamedTuple):
    status: int
    code: str | None
    conversion_id: int | None


def _second(client: LeadConversionsClient, lead: ConversionRequest, first_id: int) -> Finding:
    def read(response: Response) -> _Response:
        error = error_from_response("POST", response)
        if error is None:
            return _Response(response.status_code, None, read_conversion(response, lead).id)
        if isinstance(error, RateLimitedError) or (isinstance(error, UnknownOutcomeError) and error.status_code != 409):
            raise error
        return _Response(response.status_code, error.code, None)

    try:
        second = client.send(conversion_request(lead), read)
    except UnknownOutcomeError as error:
        text = f"The response to the second conversion was lost: {type(error).__name__}, status {error.status_code}."
        return Finding(verdict="not settled", text=text)
    observed = {"status": second.status, "code": second.code}
    if second.conversion_id is None:
        text = f"A second conversion is refused with {second.status} {second.code or ''}".rstrip() + "."
        return Finding(verdict="expected", text=text, observed=observed)
    if second.conversion_id == first_id:
        text = f"A second conversion gets {second.status} and the first record again."
        return Finding(verdict="expected", text=text, observed={**observed, "same_record": True})
    text = (
        f"A second conversion gets {second.status} and a new record: the API converts a lead twice. "
        "Only the look-ups of this package prevent that: do not convert the same leads with other tools."
    )
    return Finding(verdict="expected", text=text, observed={**observed, "same_record": False})
