"""How numbers are written in words: one format for all pictures and the report."""

from typing import Any

import numpy as np


def percent(value: Any, digits: int = 1) -> str:
    """`66.5 %`."""
    return f"{_plain(100 * float(value), digits)} %"


def share(interval: Any) -> str:
    """A share with its interval: `66.5 % [59.9, 73.1]`."""
    if not np.isfinite(float(interval.value)):
        return "not defined"
    return share_of(interval.value, interval.low, interval.high)


def share_of(value: Any, low: Any, high: Any) -> str:
    return f"{percent(value)} [{_plain(100 * float(low), 1)}, {_plain(100 * float(high), 1)}]"


def score(interval: Any, sign: str = "") -> str:
    """A score with its interval: `0.968 [0.952, 0.980]`; `sign="+"` for a difference."""
    return "{:{s}.3f} [{:{s}.3f}, {:{s}.3f}]".format(*map(float, (interval.value, interval.low, interval.high)), s=sign)


def span(values: np.ndarray) -> str:
    """`12.0 %`, or `2.5 to 95.0 %`."""
    low, high = float(values.min()), float(values.max())
    return percent(low) if len(values) == 1 else f"{_plain(100 * low, 1)} to {percent(high)}"


def _plain(number: float, digits: int) -> str:
    text = f"{number:.{digits}f}"
    return text.removeprefix("-") if not float(text) else text  # no "-0.0"
