from __future__ import annotations

from airflow_provider_leadconv.api.models import ConversionRequest
from airflow_provider_leadconv.bulk.outputs.spool import ResultSpool


def test_the_latest_result_of_each_lead_in_input_order_and_then_those_of_other_leads():
    spool = ResultSpool([ConversionRequest(3, 5), ConversionRequest(1)])
    spool.add(1, b"first of 1")
    spool.add(9, b"of 9")
    spool.add(3, b"of 3")
    spool.add(1, b"second of 1")
    for _ in range(2):
        assert list(spool.lines()) == [b"of 3", b"second of 1", b"of 9"]
    assert (1 in spool, 9 in spool) == (True, False)
    assert spool.lead(3) == ConversionRequest(3, 5)
    assert spool.lead_ids() == [1, 3]
    spool.close()
