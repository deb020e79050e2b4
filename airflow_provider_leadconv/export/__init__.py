"""Export: conversions to a file, a folder or a SQL table."""

from __future__ import annotations
