"""The sandbox without its socket: account, tokens, faults and settings, and how requests are processed."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from airflow_provider_leadconv.sandbox.access import Access
from airflow_provider_leadconv.sandbox.fault_injection import FaultInjector
from airflow_provider_leadconv.sandbox.fault_kinds import Corruption, FaultContext, PageCorruption, Replacement
from airflow_provider_leadconv.sandbox.faults import THROTTLES
from airflow_provider_leadconv.sandbox.history import History
from airflow_provider_leadconv.sandbox.listing import Listing
from airflow_provider_leadconv.sandbox.parsing import parse_body, parse_query
from airflow_provider_leadconv.sandbox.responses import error_response, json_response
from airflow_provider_leadconv.sandbox.schemas import (
    ApiError,
    ConversionDocument,
    conflict,
    field_error,
    incorrect_path,
    not_found,
)
from airflow_provider_leadconv.sandbox.store import ConversionRefusedError, Store

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Unpack

    from airflow_provider_leadconv.sandbox.access import Grant, Scope
    from airflow_provider_leadconv.sandbox.fault_kinds import Visibility
    from airflow_provider_leadconv.sandbox.faults import Fault
    from airflow_provider_leadconv.sandbox.history import RequestLog
    from airflow_provider_leadconv.sandbox.schemas import Conversion
    from airflow_provider_leadconv.sandbox.settings import SandboxSettings, SettingsOptions
    from airflow_provider_leadconv.sandbox.transport import Response

SCOPES: dict[str, Scope] = {"GET": "read", "POST": "write"}


class ApiRequest(NamedTuple):
    """A request to the API.

    :param base_url: scheme, host, port and path prefix that it was sent to.
    """

    method: str
    query: Mapping[str, str]
    content_type: str
    body: bytes
    request_id: str
    base_url: str


class Service:
    """Responds to requests to ``/v2/lead_conversions``.

    :param store: the account.
    :param settings: how it behaves.
    :param faults: what goes wrong.
    :param seed: decides when faults apply.
    """

    def __init__(
        self, store: Store, settings: SandboxSettings, faults: Iterable[Fault | str] = (), *, seed: int = 0
    ) -> None:
        self.store = store
        self.settings = settings
        self.access = Access(settings)
        self.injector = FaultInjector(faults, seed=seed)

    def change_settings(self, **changes: Unpack[SettingsOptions]) -> None:
        """Change settings, and restart the rate limits.

        :param changes: settings by name.
        :raises ValueError: an unknown name or an invalid value; nothing is changed.
        """
        self.settings = self.settings.changed(**changes)
        self.access.apply(self.settings)

    def history(self, log: RequestLog) -> History:
        """Return what happened so far.

        :param log: the requests.
        """
        # The requests last: each request that made a conversion is among them.
        conversions = self.store.history
        return History(log.all_entries(), conversions, sorted(self.access.token_hashes))

    def authorise(self, method: str, path: str, headers: Mapping[str, str]) -> Grant:
        """Authenticate and authorise a request.

        :raises ApiError: there is no such operation, or the token does not allow it.
        """
        if method not in SCOPES:
            raise incorrect_path(path, method)
        return self.access.grant(headers, SCOPES[method])

    def respond(self, grant: Grant, request: ApiRequest) -> tuple[Response, str | None]:
        """Respond to an authorised request.

        :return: the response, and the name of the fault that applied.
        """
        settings = self.settings
        context = FaultContext(
            settings, request.method, request.request_id, partial(self._convert_later, grant, request)
        )
        if not self.access.admits(grant, time.monotonic()):
            return THROTTLES[settings.throttle_shape].effect(context), None
        decision = self.injector.decide(request.method, is_later_page="cursor" in request.query)
        kind = None
        if decision.fault is not None:
            kind = decision.fault.kind
            context = context._replace(seconds=decision.fault.duration)
        if isinstance(kind, Replacement):
            return kind.effect(context), decision.label
        try:
            if request.method == "GET":
                page = self._list(request, kind if isinstance(kind, PageCorruption) else None)
                response = json_response(200, page, request.request_id)
            else:
                conversion = self._convert(grant, request, decision.visibility)
                document = ConversionDocument.from_record(conversion, self._link_base(request))
                response = json_response(settings.post_status, document, request.request_id)
        except ApiError as error:
            response = error_response(error, request.request_id)
        if isinstance(kind, Corruption):
            response = kind.effect(context._replace(response=response))
        return response, decision.label

    def _link_base(self, request: ApiRequest) -> str:
        return (self.settings.link_base or request.base_url).rstrip("/")

    def _list(self, request: ApiRequest, corruption: PageCorruption | None) -> object:
        listing = Listing(self.store, self.settings, parse_query(request.query), self._link_base(request))
        for _ in range(self.settings.arrivals):
            self.store.add_conversion()
        return listing.page() if corruption is None else corruption.effect(listing)

    def _convert_later(self, grant: Grant, request: ApiRequest, seconds: float) -> None:
        try:
            wanted = parse_body(request.content_type, request.body)
        except ApiError:
            # An invalid request converts nothing, and its connection is closed already.
            return
        self.store.convert_later(
            seconds,
            wanted.lead_id,
            owner_id=wanted.owner_id,
            create_deal=wanted.create_deal,
            creator_id=grant.user_id,
            again=self.settings.second_conversion == "new",
            request_id=request.request_id,
        )

    def _convert(self, grant: Grant, request: ApiRequest, visibility: Visibility) -> Conversion:
        wanted = parse_body(request.content_type, request.body)
        try:
            return self.store.convert(
                wanted.lead_id,
                owner_id=wanted.owner_id,
                create_deal=wanted.create_deal,
                creator_id=grant.user_id,
                again=self.settings.second_conversion == "new",
                request_id=request.request_id,
                **visibility._asdict(),
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
