"""The sensor that waits for conversions."""

from __future__ import annotations
