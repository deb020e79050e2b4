"""The hook: a client of the Lead Conversions API, configured by an Airflow connection."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Unpack

import msgspec
from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook, mask_secret

from airflow_provider_leadconv.api.config import ClientConfig, Secret
from airflow_provider_leadconv.api.exceptions import InvalidRequestError, LeadConversionError
from airflow_provider_leadconv.api.models import ConversionRequest, ConversionStatus, as_id
from airflow_provider_leadconv.api.queries import Filters, ListQuery
from airflow_provider_leadconv.hooks.clients import new_client
from airflow_provider_leadconv.hooks.connection import config_from_connection, no_connection
from airflow_provider_leadconv.hooks.connection_form import CONN_TYPE, EXTRA_FIELDS, HOOK_NAME, UI_FIELD_BEHAVIOUR
from airflow_provider_leadconv.hooks.task_marker import TaskMarker, current_task_marker

if TYPE_CHECKING:
    from airflow_provider_leadconv.account_check.report import Report
    from airflow_provider_leadconv.api.client import LeadConversionsClient
    from airflow_provider_leadconv.api.models import ConversionResult, LeadConversion, Page

DEFAULT_CONN_ID = "leadconv_default"


class LeadConversionHook(BaseHook):
    """Interact with the Lead Conversions API of Zendesk Sell.

    The connection is read at the first call of a method. All methods share one client and its rate limiter.

    :param leadconv_conn_id: id of an Airflow connection of type ``leadconv``.
    :param retry_timeout: upper limit for the ``retry_timeout`` of the connection, in seconds. The first attempt is
        always made, and may take ``timeout`` seconds.
    """

    conn_name_attr = "leadconv_conn_id"
    default_conn_name = DEFAULT_CONN_ID
    conn_type = CONN_TYPE
    hook_name = HOOK_NAME

    def __init__(self, leadconv_conn_id: str = DEFAULT_CONN_ID, *, retry_timeout: float = math.inf) -> None:
        super().__init__()
        self.leadconv_conn_id = leadconv_conn_id
        self.retry_timeout = retry_timeout

    def get_conn(self) -> LeadConversionsClient:
        """Return the client, which is created at the first call.

        :raises ConnectionConfigError: if there is no such connection, or one of its fields is invalid.
        """
        return self._client

    @cached_property
    def _client(self) -> LeadConversionsClient:
        return self._new_client(self._read_config().with_retry_timeout(self.retry_timeout))

    def get_page(
        self, *, page: int | None = None, cursor: str | None = None, per_page: int = 200, **filters: Unpack[Filters]
    ) -> Page:
        """Return one page of the listing.

        :param page: number of the page, 1 to 50.
        :param cursor: ``next_cursor`` of the previous page; excludes ``page``.
        :param per_page: rows per page, 1 to 200.
        :param filters: see :class:`~airflow_provider_leadconv.api.queries.Filters`.
        :return: the page.
        :raises LeadConversionError: if the request fails.
        """
        self._collect_lineage()
        return self.get_conn().get_page(ListQuery(page=page, cursor=cursor, per_page=per_page, **filters))

    def list_conversions(
        self, *, per_page: int = 200, limit: int | None = None, **filters: Unpack[Filters]
    ) -> Iterator[LeadConversion]:
        """List conversions, newest first. Pages are requested as the iterator reaches them.

        :param per_page: rows per request, 1 to 200.
        :param limit: maximum number of conversions; default: all.
        :param filters: see :class:`~airflow_provider_leadconv.api.queries.Filters`.
        :return: an iterator over the conversions.
        :raises InvalidResponseError: if the listing is inconsistent, so that conversions may be missing.
        :raises LeadConversionError: if a request fails.
        """
        self._collect_lineage()
        pages = self.get_conn().list_pages(ListQuery(per_page=per_page, **filters))
        return itertools.islice(itertools.chain.from_iterable(pages), limit)

    def list_since(self, after_id: int) -> Iterator[LeadConversion]:
        """List the conversions with a higher id, newest first.

        :param after_id: id of a conversion, such as the last one processed; 0 for all.
        :return: an iterator over the conversions.
        :raises LeadConversionError: if a request fails.
        """
        lower_bound = as_id(after_id, "after_id") if after_id else 0
        return itertools.takewhile(lambda conversion: conversion.id > lower_bound, self.list_conversions())

    def get_conversion(self, **filters: Unpack[Filters]) -> LeadConversion | None:
        """Return the conversion that matches a filter.

        :param filters: exactly one of ``lead_id``, ``individual_id``, ``organization_id`` and ``deal_id``.
        :return: the conversion, the newest one if there are several, or ``None``.
        :raises InvalidRequestError: if not exactly one filter is given.
        :raises LeadConversionError: if the request fails.
        """
        query = ListQuery(per_page=1, **filters)
        if len(query.filters) != 1 or "creator_id" in query.filters:
            raise InvalidRequestError("pass exactly one of lead_id, individual_id, organization_id and deal_id")
        return self.get_conn().find(query)

    def convert_lead(
        self, lead_id: int | str, *, owner_id: int | None = None, create_deal: bool | None = None
    ) -> ConversionResult:
        """Convert one lead at most once, even if requests fail; see :func:`~.api.at_most_once.convert_lead`.

        Needs the scopes ``read`` and ``write``. If a response is lost, this takes ``timeout + settle_time``.

        :param lead_id: id of the lead.
        :param owner_id: id of the user who will own the created records; default: the lead's owner.
        :param create_deal: whether to create a deal as well; default: the API's default, which is true.
        :return: the result, with the conversion or the error.
        :raises LeadConversionError: if the error is not specific to this lead: connection, token, scope, or an
            unavailable API.
        """
        lead = ConversionRequest.from_input({"lead_id": lead_id, "owner_id": owner_id, "create_deal": create_deal})
        from airflow_provider_leadconv.api.at_most_once import convert_lead

        self._collect_lineage(is_output=True)
        client, marker = self.get_conn(), current_task_marker()
        if marker.is_set():
            client.sleep(client.config.timeout + client.config.settle_time)
        marker.set()
        try:
            result = convert_lead(client, lead)
        except LeadConversionError:  # which is never raised while a request may be on its way
            marker.clear()
            raise
        if isinstance(marker, TaskMarker) and _is_settled(client, result):
            marker.clear()
        return result

    def convert_leads(
        self,
        leads: Iterable[int | str | Mapping[str, Any] | ConversionRequest],
        *,
        concurrency: int = 16,
        wait_for_earlier_runs: bool = False,
    ) -> Iterator[ConversionResult]:
        """Convert leads, each at most once: the engine of ``LeadConversionBulkOperator`` for Python tasks.

        Results are yielded as they are known. Closing the iterator ends the run after the
        requests in flight.

        :param leads: ids, mappings with ``lead_id`` and optionally ``owner_id`` and ``create_deal``, or requests; or a
            rendered template, as for the operator. All are read and validated before the first one is converted.
        :param concurrency: maximum number of requests in flight.
        :param wait_for_earlier_runs: wait ``timeout + settle_time`` before anything else, because another run over the
            same leads may have been killed a moment ago. A retry of the calling task waits by itself.
        :return: an iterator over the results.
        :raises InvalidRequestError: if leads are invalid; the message lists the first ones.
        :raises DuplicateConversionError: at the end, if a lead was converted twice.
        :raises LeadConversionError: if the API cannot be read, before the first conversion; after the last result, if
            the run ended early, so that leads were ``not_attempted``.
        """
        from airflow_provider_leadconv.bulk.engine import BulkConversion
        from airflow_provider_leadconv.bulk.inputs import read_leads, rows_of
        from airflow_provider_leadconv.bulk.sending_marker import AnyMarker, ConstantMarker

        self._collect_lineage(is_output=True)
        batch = read_leads(rows_of(leads))
        marker = AnyMarker(current_task_marker(), ConstantMarker(is_set=wait_for_earlier_runs or batch.has_unknown))
        job = BulkConversion(self.get_conn(), batch, concurrency=concurrency, marker=marker)
        try:
            yield from job.convert()
        finally:
            job.close()
        job.raise_for_failure()

    def test_connection(self) -> tuple[bool, str]:
        """Test the connection by reading one conversion, which needs only the scope ``read``.

        :return: whether the request succeeded, and a message for the UI.
        """
        try:
            config = self._read_config()
            # The user waits in the UI: at most two quick attempts.
            with self._new_client(
                msgspec.structs.replace(config, timeout=min(10.0, config.timeout), retry_timeout=15.0)
            ) as client:
                client.get_page(ListQuery(per_page=1))
        except LeadConversionError as error:
            error.connection = None  # the web UI tests under a random id
            return False, str(error)
        return True, f"Connected to {config.base_url}: the token may read lead conversions."

    def check_account(self) -> Report:
        """Check what the vendor's documentation does not say about this account, with at most 30 GET requests.

        The command ``python -m airflow_provider_leadconv.check`` prints the report.

        :return: the report; ``to_text()`` has it in words, ``settings`` has what to set in the extra.
        :raises LeadConversionError: if the account cannot be read at all: connection, token, or an unavailable API.
        """
        from airflow_provider_leadconv.account_check.questions import check_account

        return check_account(self.get_conn())

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the form fields of the extra for Airflow before 3.2. Later versions use the provider info."""
        from flask_appbuilder.fieldwidgets import BS3PasswordFieldWidget, BS3TextFieldWidget
        from wtforms import PasswordField, StringField

        text, secret = BS3TextFieldWidget(), BS3PasswordFieldWidget()
        secret.hide_value = False  # otherwise, saving the form again would clear the field
        return {
            name: PasswordField(field["label"], description=field["description"], widget=secret)
            if field["schema"].get("format") == "password"
            else StringField(field["label"], description=field["description"], widget=text)
            for name, field in EXTRA_FIELDS.items()
        }

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return the labels and placeholders of the form for Airflow before 3.2."""
        return {key.replace("-", "_"): value for key, value in UI_FIELD_BEHAVIOUR.items()}

    def _read_config(self) -> ClientConfig:
        try:
            connection = self.get_connection(self.leadconv_conn_id)
        except AirflowNotFoundException as error:
            raise no_connection(self.leadconv_conn_id) from error
        config = config_from_connection(connection)
        mask_secret(Secret.wrap(config.token).reveal())
        return config

    def _collect_lineage(self, *, is_output: bool = False) -> None:
        from airflow_provider_leadconv.lineage import collect

        collect(self, self.get_conn().config.account, is_output=is_output)

    def _new_client(self, config: ClientConfig) -> LeadConversionsClient:
        return new_client(config, renew_token=lambda: self._read_config().token)


def _is_settled(client: LeadConversionsClient, result: ConversionResult) -> bool:
    """Return whether a later process would find the lead converted if it is."""
    if result.status is not ConversionStatus.CONVERTED:
        return result.status is not ConversionStatus.UNKNOWN
    try:
        return client.find(ListQuery(per_page=1, lead_id=result.lead_id)) is not None
    except LeadConversionError:
        return False
