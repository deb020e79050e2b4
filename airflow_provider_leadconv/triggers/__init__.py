"""Triggers: the part of sensors and asset watchers that runs in the triggerer."""

from __future__ import annotations
