"""A local stand-in for the Lead Conversions API, for tests and demos."""

from __future__ import annotations
