"""Numbers as text, in one format for all figures and the report."""

from typing import SupportsFloat

import numpy as np

from hc_interp.statistics.tests import Interval


def percent(value: SupportsFloat, digits: int = 1) -> str:
    """A share (1 is 100 %) as a percentage: `66.5 %`."""
    return f"{_plain(100 * float(value), digits)} %"


def share(interval: Interval) -> str:
    """A share with its interval: `66.5 % [59.9, 73.1]`, or "not defined"."""
    if not np.isfinite(float(interval.value)):
        return "not defined"
    return share_of(interval.value, interval.low, interval.high)


def share_of(value: SupportsFloat, low: SupportsFloat, high: SupportsFloat) -> str:
    """A share with the ends of its interval: `66.5 % [59.9, 73.1]`."""
    return f"{percent(value)} [{_plain(100 * float(low), 1)}, {_plain(100 * float(high), 1)}]"


def score(interval: Interval, sign: str = "") -> str:
    """A score with its interval: `0.968 [0.952, 0.980]`. With `sign="+"` positive numbers have their sign."""
    return "{:{s}.3f} [{:{s}.3f}, {:{s}.3f}]".format(*map(float, (interval.value, interval.low, interval.high)), s=sign)


def span(values: np.ndarray) -> str:
    """The range of shares: `2.5 to 95.0 %`, or `12.0 %` for a single one."""
    low, high = float(values.min()), float(values.max())
    return percent(low) if len(values) == 1 else f"{_plain(100 * low, 1)} to {percent(high)}"


def _plain(number: float, digits: int) -> str:
    text = f"{number:.{digits}f}"
    return text.removeprefix("-") if not float(text) else text  # "0.0", not "-0.0"
