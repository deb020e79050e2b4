"""The hook, and the connection type."""

from __future__ import annotations
