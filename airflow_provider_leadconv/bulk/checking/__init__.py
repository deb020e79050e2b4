"""Which leads are not converted, and for how long that may be relied on."""

from __future__ import annotations
