"""Client of the Lead Conversions API of Zendesk Sell. Independent of Airflow."""

from __future__ import annotations
