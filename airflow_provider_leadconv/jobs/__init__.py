"""Whole jobs on top of the API. Nothing in here knows Airflow."""

from __future__ import annotations
