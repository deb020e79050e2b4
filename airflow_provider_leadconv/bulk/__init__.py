"""Bulk conversion: many leads, each converted at most once."""

from __future__ import annotations
