"""Sending conversions, and reading back what they and others have converted."""

from __future__ import annotations
