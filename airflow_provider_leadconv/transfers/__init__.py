"""The transfer to SQL databases."""

from __future__ import annotations
