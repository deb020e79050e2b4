"""The hook: an Airflow connection -> a client of the Lead Conversions API."""

from __future__ import annotations

import itertools
import math
import platform
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Unpack

import msgspec
from airflow import __version__ as airflow_version
from airflow.providers.common.compat.sdk import BaseHook, mask_secret

from airflow_provider_leadconv.api.config import ClientConfig
from airflow_provider_leadconv.api.errors import InvalidRequestError, LeadConversionError
from airflow_provider_leadconv.api.records import ConversionRequest, as_id
from airflow_provider_leadconv.api.wire import Filters, ListQuery
from airflow_provider_leadconv.connection_form import CONN_TYPE, EXTRA_FIELDS, HOOK_NAME, UI_FIELD_BEHAVIOUR
from airflow_provider_leadconv.hooks.connection import config_from_connection
from airflow_provider_leadconv.metrics import request_counters

if TYPE_CHECKING:
    from airflow_provider_leadconv.api.client import LeadConversionsClient
    from airflow_provider_leadconv.api.records import ConversionOutcome, LeadConversion, Page

DEFAULT_CONN_ID = "leadconv_default"


class LeadConversionHook(BaseHook):
    """Talk to the Lead Conversions API of Zendesk Sell as an Airflow connection says.

    Nothing is read or sent before the first call. Its methods share one client, whose requests share one pace.

    :param leadconv_conn_id: id of an Airflow connection of type ``leadconv``.
    :param retry_timeout: repeat a request for so many seconds at most, if that is less than the connection's
        ``retry_timeout``; but one attempt always has its ``timeout``.
    """

    conn_name_attr = "leadconv_conn_id"
    default_conn_name = DEFAULT_CONN_ID
    conn_type = CONN_TYPE
    hook_name = HOOK_NAME

    def __init__(self, *, leadconv_conn_id: str = DEFAULT_CONN_ID, retry_timeout: float = math.inf) -> None:
        super().__init__()
        self.leadconv_conn_id = leadconv_conn_id
        self.retry_timeout = retry_timeout

    def get_conn(self) -> LeadConversionsClient:
        """:return: the client, made at the first call.

        :raises ConnectionConfigError: naming the field of the connection that is wrong.
        """
        return self._client

    @cached_property
    def _client(self) -> LeadConversionsClient:
        return self._new_client(self._read_config().hurried(self.retry_timeout))

    def get_page(
        self, *, page: int | None = None, cursor: str | None = None, per_page: int = 200, **filters: Unpack[Filters]
    ) -> Page:
        """Make one request for one page, the API as it is.

        :param page: number of the page, 1 to 50.
        :param cursor: ``next_cursor`` of the page before; excludes ``page``.
        :param per_page: rows a page, 1 to 200.
        :param filters: see :class:`~airflow_provider_leadconv.api.wire.Filters`.
        :raises LeadConversionError: of the class that says what to do about it.
        """
        self._collect_lineage()
        return self.get_conn().get_page(ListQuery(page=page, cursor=cursor, per_page=per_page, **filters))

    def list_conversions(
        self, *, per_page: int = 200, limit: int | None = None, **filters: Unpack[Filters]
    ) -> Iterator[LeadConversion]:
        """List conversions, newest first, a page at a time as they are taken.

        :param per_page: rows a request, 1 to 200.
        :param limit: stop after so many; default: all.
        :param filters: see :class:`~airflow_provider_leadconv.api.wire.Filters`.
        :raises InvalidResponseError: rather than end early, if the listing contradicts itself.
        :raises LeadConversionError: of the class that says what to do about it.
        """
        self._collect_lineage()
        pages = self.get_conn().list_pages(ListQuery(per_page=per_page, **filters))
        return itertools.islice(itertools.chain.from_iterable(pages), limit)

    def list_since(self, after_id: int) -> Iterator[LeadConversion]:
        """List the conversions with a higher id, newest first.

        :param after_id: id of a conversion, of the last one that was seen, say; 0 for all.
        :raises LeadConversionError: of the class that says what to do about it.
        """
        floor = as_id(after_id, "after_id") if after_id else 0
        return itertools.takewhile(lambda conversion: conversion.id > floor, self.list_conversions())

    def get_conversion(self, **filters: Unpack[Filters]) -> LeadConversion | None:
        """Look one conversion up.

        :param filters: exactly one of ``lead_id``, ``individual_id``, ``organization_id`` and ``deal_id``.
        :return: the conversion, the newest one should there be several, or ``None``.
        :raises InvalidRequestError: if not exactly one of the four is given.
        :raises LeadConversionError: of the class that says what to do about it.
        """
        query = ListQuery(per_page=1, **filters)
        if len(query.filters) != 1 or "creator_id" in query.filters:
            raise InvalidRequestError("give exactly one of lead_id, individual_id, organization_id and deal_id")
        return self.get_conn().find(query)

    def convert_lead(
        self, lead_id: int | str, *, owner_id: int | None = None, create_deal: bool | None = None
    ) -> ConversionOutcome:
        """Convert one lead, once, whatever fails meanwhile; see :func:`~.api.converting.convert_lead`.

        Needs the scopes ``read`` and ``write``. If an answer is lost, this takes ``timeout + settle_time``.

        :param lead_id: id of the lead.
        :param owner_id: id of the user who shall own what is created. Default: the lead's owner.
        :param create_deal: whether a deal is created as well. Default: the API's own, which is true.
        :return: the outcome, with the conversion or the error.
        :raises LeadConversionError: if the fault is not this lead's: connection, token, scope, or API out of reach.
        """
        lead = ConversionRequest.of({"lead_id": lead_id, "owner_id": owner_id, "create_deal": create_deal})
        from airflow_provider_leadconv.api.converting import convert_lead

        self._collect_lineage(made=True)
        return convert_lead(self.get_conn(), lead)

    def convert_leads(
        self, leads: Iterable[int | str | Mapping[str, Any] | ConversionRequest], *, concurrency: int = 16
    ) -> Iterator[ConversionOutcome]:
        """Convert leads, each once; the engine of ``LeadConversionBulkOperator`` for Python tasks.

        Outcomes come as they are known, ``existing`` ones first. Taking no more of them ends the run: what is in flight
        then is still converted.

        :param leads: ids, mappings with ``lead_id`` and maybe ``owner_id`` and ``create_deal``, or requests. They are
            all read and checked before the first is converted.
        :param concurrency: requests in flight, as of the operator.
        :raises InvalidRequestError: listing the first bad leads.
        :raises DuplicateConversionError: in the end, if a lead was converted twice.
        :raises LeadConversionError: before the first outcome, if the API cannot be asked; after the last one, if the
            run had to end early, so that leads were ``not_attempted``.
        """
        from airflow_provider_leadconv.jobs.bulk import BulkConversion
        from airflow_provider_leadconv.jobs.leads import read_leads

        self._collect_lineage(made=True)
        job = BulkConversion(self.get_conn(), read_leads(leads), concurrency=concurrency)
        try:
            yield from job.look()
            yield from job.convert()
        finally:
            job.close()
        job.check()

    def test_connection(self) -> tuple[bool, str]:
        """Ask for one conversion. That needs the scope ``read`` only, and changes nothing.

        :return: whether it worked, and a sentence for the person who presses Test.
        """
        try:
            config = self._read_config()
            # Someone waits for this: two quick attempts at the most.
            with self._new_client(
                msgspec.structs.replace(config, timeout=min(10.0, config.timeout), retry_timeout=15.0)
            ) as client:
                client.get_page(ListQuery(per_page=1))
        except LeadConversionError as error:
            return False, str(error)
        return True, f"Connected to {config.base_url}: the token may read lead conversions."

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """:return: the extra's fields for the form of Airflow below 3.2; later ones read the provider info."""
        from flask_appbuilder.fieldwidgets import BS3PasswordFieldWidget, BS3TextFieldWidget
        from wtforms import PasswordField, StringField

        text, secret = BS3TextFieldWidget(), BS3PasswordFieldWidget()
        secret.hide_value = False  # or else saving the form again empties the field
        return {
            name: PasswordField(field["label"], description=field["description"], widget=secret)
            if field["schema"].get("format") == "password"
            else StringField(field["label"], description=field["description"], widget=text)
            for name, field in EXTRA_FIELDS.items()
        }

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """:return: labels and placeholders for the form of Airflow below 3.2."""
        return {key.replace("-", "_"): value for key, value in UI_FIELD_BEHAVIOUR.items()}

    def _read_config(self) -> ClientConfig:
        connection = self.get_connection(self.leadconv_conn_id)
        config = config_from_connection(connection)
        mask_secret(config.token)
        return config

    def _collect_lineage(self, *, made: bool = False) -> None:
        from airflow_provider_leadconv.lineage import collect

        collect(self, self.get_conn().config.account, made=made)

    def _new_client(self, config: ClientConfig) -> LeadConversionsClient:
        from airflow_provider_leadconv.api.client import LeadConversionsClient
        from airflow_provider_leadconv.api.messages import USER_AGENT

        return LeadConversionsClient(
            config,
            renew_token=lambda: self._read_config().token,
            user_agent=f"{USER_AGENT} Airflow/{airflow_version} Python/{platform.python_version()}",
            counters=request_counters(),
        )
