from __future__ import annotations

from airflow_provider_leadconv.api.exceptions import InvalidRequestError
from airflow_provider_leadconv.api.models import ConversionRequest, ConversionResult, ConversionStatus
from airflow_provider_leadconv.bulk.ledger import ResumeState
from airflow_provider_leadconv.bulk.outputs.transient import TransientResults


def test_each_report_gets_all_results_in_input_order():
    reported = []
    reports = [lambda records: reported.append([(record.lead_id, record.status) for record in records])] * 2
    results = TransientResults(run="r", leads=[ConversionRequest(2), ConversionRequest(1)], reports=reports)
    results.note_precheck(7)
    results.add(ConversionResult(lead_id=1, status=ConversionStatus.NOT_ATTEMPTED), "would_convert")
    results.add(ConversionResult(lead_id=2, status=ConversionStatus.FAILED, error=InvalidRequestError("no")))
    assert not results.published
    results.publish()
    assert reported == [[(2, "failed"), (1, "would_convert")]] * 2
    assert results.published
    results.close()


def test_nothing_is_known_of_earlier_processes():
    results = TransientResults(run="r", leads=[])
    assert results.resume_state == ResumeState()
    assert (results.must_resume, results.journal_name(), results.lease) == (False, None, None)
    results.close()
