"""Counts for shares of components. A share is the decimal that was written, not the nearest binary number."""

import math
from fractions import Fraction
from numbers import Real
from typing import Any

import numpy as np

from hc_interp.errors import SearchError


def kept_count(n_components: int, sparsity: float) -> int:
    """How many components a subnetwork of this sparsity keeps: `floor((1 - sparsity) n + 0.5)`.

    The arithmetic is decimal: in binary, 1 - 0.9 is just below 0.1, so a count that ends in .5 would be rounded down.
    Raises `SearchError` for a sparsity outside 0 to 1.
    """
    if not isinstance(sparsity, Real) or not 0 <= sparsity <= 1:
        raise SearchError(f"sparsity={sparsity!r} is not a share of components; expected 0 to 1, like 0.5 for half.")
    return math.floor((1 - _decimal(sparsity)) * n_components + Fraction(1, 2))


def share_count(n_components: int, share: float) -> int:
    """How many of `n_components` make up this share: `floor(share n + 0.5)`, in decimal arithmetic."""
    return math.floor(_decimal(share) * n_components + Fraction(1, 2))


def as_written(share: Any) -> float:
    """A share as a float. The float32 that is written 0.1 becomes 0.1, not 0.10000000149."""
    return float(str(share)) if isinstance(share, np.floating) else float(share)


def same_share(a: float, b: float) -> bool:
    """Whether two shares are the same decimal to 12 places: `np.arange` computes 0.3 as 0.30000000000000004."""
    return _decimal(a) == _decimal(b)


def _decimal(share: float) -> Fraction:
    return Fraction(str(round(as_written(share), 12)))
