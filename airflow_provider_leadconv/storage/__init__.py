"""Storage: a folder on a local disk or in an object store."""

from __future__ import annotations
