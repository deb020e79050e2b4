"""The operators for bulk conversion and export."""

from __future__ import annotations
