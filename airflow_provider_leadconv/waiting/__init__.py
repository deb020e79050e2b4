"""Waiting for conversions: which subscriber awaits which lead, and which conversions are new."""

from __future__ import annotations
