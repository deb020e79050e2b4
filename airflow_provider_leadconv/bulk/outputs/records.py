"""Records of the results and the journal of a bulk conversion, each of which is one line of JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from airflow_provider_leadconv.api.exceptions import FieldError, LeadConversionError
from airflow_provider_leadconv.api.models import ConversionRequest, ConversionResult, ConversionStatus, LeadConversion
from airflow_provider_leadconv.bulk.inputs import WOULD_CONVERT

CONVERSION_IDS = ("individual_id", "organization_id", "deal_id", "creator_id")
"""The ids that a result takes over from its conversion."""

_STATUSES = {*ConversionStatus, WOULD_CONVERT}


class ResultError(msgspec.Struct, kw_only=True):
    """Why a lead was not converted.

    :param http_status: status of the API's response; ``None`` if there was none.
    :param code: error code of the response.
    :param field: field of the request that the API rejected, as a JSON pointer.
    :param text: the reason, in one sentence.
    """

    http_status: int | None = None
    code: str | None = None
    field: str | None = None
    text: str = ""

    @classmethod
    def of(cls, error: LeadConversionError) -> ResultError:
        """Return the facts of an exception, without its remedy: it is for whoever runs the task, not for one lead."""
        field = next((entry.field for entry in error.field_errors if entry.field), None)
        request_id = f" (request id {error.request_id})" if error.request_id else ""
        text = f"{error.message}{request_id}"
        return cls(http_status=error.status_code, code=error.code, field=field, text=text)

    def to_exception(self) -> LeadConversionError:
        """Return an exception with these facts. Of which class it was is not on record."""
        fields = (FieldError(code=self.code, field=self.field),) if self.code or self.field else ()
        return LeadConversionError(self.text, status_code=self.http_status, code=self.code, field_errors=fields)


class ResultRecord(msgspec.Struct, kw_only=True):
    """The result of a lead, as the results file has it.

    :param lead_id: id of the lead.
    :param owner_id: owner of the created records that was asked for.
    :param create_deal: whether a deal was asked for.
    :param status: one of :class:`~airflow_provider_leadconv.api.models.ConversionStatus`, or ``would_convert``.
    :param conversion_id: id of the conversion, if the lead is converted.
    :param individual_id: as in the conversion, as the next four.
    :param error: why the lead is not converted.
    :param run: identity of the run.
    :param start_watermark: id of the newest conversion before the run's first request.
    """

    lead_id: int
    owner_id: int | None = None
    create_deal: bool | None = None
    status: str
    conversion_id: int | None = None
    individual_id: int | None = None
    organization_id: int | None = None
    deal_id: int | None = None
    creator_id: int | None = None
    created_at: Any = None
    error: ResultError | None = None
    run: str
    start_watermark: int | None

    def __post_init__(self) -> None:
        if self.status not in _STATUSES:
            raise ValueError(f"status is none of {', '.join(sorted(_STATUSES))}: {self.status!r:.80}")

    @classmethod
    def of(
        cls, lead: ConversionRequest, result: ConversionResult, status: str, run: str, start_watermark: int | None
    ) -> ResultRecord:
        """Make the record of a lead.

        :param status: the result's status, or ``would_convert``.
        """
        conversion = result.conversion
        return cls(
            lead_id=lead.lead_id,
            owner_id=lead.owner_id,
            create_deal=lead.create_deal,
            status=str(status),
            conversion_id=conversion.id if conversion else None,
            **{name: getattr(conversion, name, None) for name in CONVERSION_IDS},
            created_at=conversion.created_at_raw if conversion else None,
            error=ResultError.of(result.error) if result.error else None,
            run=run,
            start_watermark=start_watermark,
        )

    def to_result(self) -> ConversionResult:
        """Return the result. A lead that a dry run would convert is ``not_attempted``."""
        conversion = error = None
        if self.conversion_id is not None:
            ids = {name: getattr(self, name) for name in CONVERSION_IDS}
            conversion = LeadConversion(
                id=self.conversion_id, lead_id=self.lead_id, created_at_raw=self.created_at, **ids
            )
        if self.error is not None:
            error = self.error.to_exception()
        status = ConversionStatus.NOT_ATTEMPTED if self.status == WOULD_CONVERT else ConversionStatus(self.status)
        return ConversionResult(lead_id=self.lead_id, status=status, conversion=conversion, error=error)


class PrecheckRecord(msgspec.Struct, tag_field="record", tag="precheck"):
    """A journal record: a process completed the pre-check of its batch.

    :param run: identity of the run.
    :param start_watermark: id of the newest conversion before the run's first request.
    :param batch: hash of the batch's lead ids.
    """

    run: str
    start_watermark: int | None
    batch: str


class SendingRecord(msgspec.Struct, tag_field="record", tag="sending"):
    """A journal record: a process is about to send its first conversion. Later records are of this process.

    :param run: identity of the run.
    :param start_watermark: id of the newest conversion before the run's first request.
    """

    run: str
    start_watermark: int | None = None


class ResolvedRecord(msgspec.Struct, tag_field="record", tag="resolved"):
    """A journal record: the outcome of every conversion that was sent is known.

    :param run: identity of the run.
    """

    run: str


class LeadRecord(msgspec.Struct, tag_field="record", tag="result"):
    """A journal record: the result of a lead, as the results file will have it."""

    line: msgspec.Raw


Record = PrecheckRecord | SendingRecord | ResolvedRecord | LeadRecord


decode_result = msgspec.json.Decoder(ResultRecord).decode
decode_record: Callable[[bytes], Record] = msgspec.json.Decoder(Record).decode
