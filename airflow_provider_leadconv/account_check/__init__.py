"""A check of a live account: what the vendor's documentation does not say, and this package relies on."""

from __future__ import annotations
