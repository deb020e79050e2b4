"""The leads of a bulk conversion: read in every form in which users have them, checked before anything is sent."""

from __future__ import annotations

from airflow_provider_leadconv.bulk.inputs.columns import Columns
from airflow_provider_leadconv.bulk.inputs.files import rows_of_file
from airflow_provider_leadconv.bulk.inputs.leads import WOULD_CONVERT, LeadBatch, read_leads
from airflow_provider_leadconv.bulk.inputs.rows import rows_of

__all__ = ["WOULD_CONVERT", "Columns", "LeadBatch", "read_leads", "rows_of", "rows_of_file"]
