"""Transports: one attempt at an HTTP request, over ``requests`` or ``httpx2``."""

from __future__ import annotations
