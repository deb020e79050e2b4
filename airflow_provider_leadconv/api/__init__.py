"""The Lead Conversions API of Zendesk Sell. Nothing in here knows Airflow."""

from __future__ import annotations
