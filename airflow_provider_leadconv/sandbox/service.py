"""One sandbox without its socket: account, tokens, faults, settings, log, and how a request passes them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from airflow_provider_leadconv.sandbox.access import Access
from airflow_provider_leadconv.sandbox.answers import (
    answer,
    answer_instead,
    answer_spoilt,
    error_answer,
    throttled,
)
from airflow_provider_leadconv.sandbox.errors import (
    ApiError,
    conflict,
    field_error,
    incorrect_path,
    not_found,
)
from airflow_provider_leadconv.sandbox.faults import FaultInjector, Strike
from airflow_provider_leadconv.sandbox.listing import list_page
from airflow_provider_leadconv.sandbox.log import RequestLog
from airflow_provider_leadconv.sandbox.parsing import ConversionBody, parse_body, parse_query
from airflow_provider_leadconv.sandbox.schemas import ConversionDocument
from airflow_provider_leadconv.sandbox.store import ConversionRefusedError, Store

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from starlette.responses import Response

    from airflow_provider_leadconv.sandbox.access import Grant, Scope
    from airflow_provider_leadconv.sandbox.faults import Fault
    from airflow_provider_leadconv.sandbox.schemas import Conversion
    from airflow_provider_leadconv.sandbox.settings import Settings

SCOPES: dict[str, Scope] = {"GET": "read", "POST": "write"}


class Service:
    """Answers requests to ``/v2/lead_conversions``.

    :param store: the account.
    :param settings: how it behaves.
    :param faults: what goes wrong.
    :param seed: decides when faults strike.
    """

    def __init__(self, store: Store, settings: Settings, faults: Iterable[Fault | str] = (), *, seed: int = 0) -> None:
        self.store = store
        self.settings = settings
        self.access = Access(settings)
        self.injector = FaultInjector(faults, seed=seed)
        self.log = RequestLog()

    def change_settings(self, **changes: object) -> None:
        """:param changes: settings by name.
        :raises ValueError: an unknown name or a bad value; nothing is changed.
        """
        self.settings = self.settings.changed(**changes)
        self.access.apply(self.settings)

    def authorise(self, method: str, path: str, headers: Mapping[str, str]) -> Grant:
        """Check that the request may use the API.

        :raises ApiError: there is no such operation, or the request may not use it.
        """
        if method not in SCOPES:
            raise incorrect_path(path, method)
        return self.access.grant(headers, SCOPES[method])

    def respond(
        self,
        grant: Grant,
        method: str,
        query: Mapping[str, str],
        content_type: str,
        body: bytes,
        request_id: str,
    ) -> tuple[Response, str | None]:
        """Answer a request that may use the API.

        :return: the answer, and the name of the fault that struck.
        """
        settings = self.settings
        if not self.access.admits(grant, time.monotonic()):
            return throttled(settings, settings.throttle_shape, request_id, method), None
        strike = self.injector.strike(method, continued="cursor" in query)
        if fault := strike.named("instead"):
            if fault.name == "late_commit":
                self._convert_later(grant, content_type, body, fault.duration)
            return answer_instead(fault, settings, request_id, method), strike.label
        try:
            if method == "GET":
                page_fault = strike.named("page")
                page = list_page(self.store, settings, parse_query(query), page_fault.name if page_fault else None)
                response = answer(200, page, request_id)
            else:
                conversion = self._convert(grant, parse_body(content_type, body), strike)
                document = ConversionDocument.of(conversion, settings.link_base)
                response = answer(settings.post_status, document, request_id)
        except ApiError as error:
            response = error_answer(error, request_id)
        if fault := strike.named("after"):
            response = answer_spoilt(fault, response, request_id, method)
        return response, strike.label

    def _convert_later(self, grant: Grant, content_type: str, body: bytes, seconds: float) -> None:
        try:
            wanted = parse_body(content_type, body)
        except ApiError:
            # Nothing comes of a bad request, and nobody is there to be told.
            return
        self.store.convert_later(
            seconds,
            wanted.lead_id,
            owner_id=wanted.owner_id,
            create_deal=wanted.create_deal,
            creator_id=grant.user_id,
        )

    def _convert(self, grant: Grant, wanted: ConversionBody, strike: Strike) -> Conversion:
        try:
            return self.store.convert(
                wanted.lead_id,
                owner_id=wanted.owner_id,
                create_deal=wanted.create_deal,
                creator_id=grant.user_id,
                again=self.settings.second_conversion == "new",
                visible_after=strike.visible_after,
                lookup_after=strike.lookup_after,
            )
        except ConversionRefusedError as refusal:
            if refusal.existing is not None and self.settings.second_conversion == "same":
                return refusal.existing
            raise self._refused(refusal) from refusal

    def _refused(self, refusal: ConversionRefusedError) -> ApiError:
        settings = self.settings
        if refusal.reason == "converted" and settings.second_conversion == "conflict":
            return conflict()
        if refusal.reason == "converted" and settings.second_conversion == "not_found":
            return not_found()
        if refusal.reason == "unknown_lead" and settings.unknown_lead == "not_found":
            return not_found()
        details = {
            "converted": field_error("already_exists", "lead_id", "The lead has been converted already."),
            "unknown_lead": field_error("incorrect_value", "lead_id", "There is no such lead."),
            "unknown_owner": field_error("incorrect_value", "owner_id", "There is no such user."),
            "unconvertible": field_error("incorrect_value", "lead_id", "The lead cannot be converted."),
        }
        return ApiError(422, details[refusal.reason])
