"""A local stand-in for the Lead Conversions API, for tests and demos."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_leadconv.sandbox.faults import Fault
    from airflow_provider_leadconv.sandbox.server import Sandbox

__all__ = ["Fault", "Sandbox"]

_MODULES = {"Fault": "faults", "Sandbox": "server"}


def __getattr__(name: str) -> object:
    # Lazy, so that modules such as settings need no web framework.
    if name not in _MODULES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
