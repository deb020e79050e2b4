"""Parameters of the operators that are not templated: checked when the DAG is parsed."""

from __future__ import annotations

import math


def check_choice(name: str, value: str, allowed: tuple[str, ...]) -> str:
    """Return a value if it is one of several.

    :raises ValueError: if it is none of them.
    """
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {value!r}")
    return value


def check_range(name: str, value: int, maximum: int) -> int:
    """Return an integer from 1 to a maximum.

    :raises ValueError: if it is anything else.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= maximum:
        raise ValueError(f"{name} must be an integer from 1 to {maximum}, got {value!r}")
    return value


def check_seconds(name: str, value: float) -> float:
    """Return a number of seconds of at least 0.

    :raises ValueError: if it is anything else.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise ValueError(f"{name} must be a number of seconds of at least 0, got {value!r}")
    return float(value)


def check_max_failures(count: int | None, rate: float | None) -> None:
    """Check how many leads, or which share of them, may fail.

    :raises ValueError: if one of them is invalid, or both are given.
    """
    if count is not None and (isinstance(count, bool) or not isinstance(count, int) or count < 0):
        hint = "; a share is max_failure_rate" if isinstance(count, float) else ""
        raise ValueError(f"max_failures must be an integer of at least 0, or None, got {count!r}{hint}")
    if rate is None:
        return
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate <= 1:
        raise ValueError(f"max_failure_rate must be a number from 0 to 1, or None, got {rate!r}")
    if count != 0:
        raise ValueError("pass max_failures or max_failure_rate, not both")
