"""The hook."""

from __future__ import annotations
