"""The sensor."""

from __future__ import annotations
