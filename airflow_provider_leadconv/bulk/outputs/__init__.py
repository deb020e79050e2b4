"""What a bulk conversion writes: its journal, a row for each lead, and the leads that were not converted."""

from __future__ import annotations
