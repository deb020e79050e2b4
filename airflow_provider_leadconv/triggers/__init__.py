"""What waits in the triggerer."""

from __future__ import annotations
