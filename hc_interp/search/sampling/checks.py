"""Checks of the settings that name a set of good masks: its size, its bound, and how thoroughly it is looked at."""

from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

from hc_interp.errors import SearchError
from hc_interp.shares import as_written, kept_count


def checked_bound(sparsity: Any, epsilon: Any) -> float:
    """The sparsity as it was written. Raises `SearchError` for one that is no share, and for an epsilon below 0."""
    if not isinstance(sparsity, Real) or not 0 < as_written(sparsity) < 1:
        raise SearchError(f"sparsity={sparsity!r} was given. Expected the share of components to remove, like 0.5.")
    if epsilon is not None and not (isinstance(epsilon, Real) and 0 < float(epsilon) < float("inf")):
        raise SearchError(f"epsilon={epsilon!r} was given. Expected a loss above 0, or None to have it chosen.")
    return as_written(sparsity)


def check_counts(least: Mapping[str, int], **counts: Any) -> None:
    """Raise `SearchError` for a count that is not a whole number from `least` of its name."""
    for name, value in counts.items():
        if not isinstance(value, Integral) or isinstance(value, bool) or value < least[name]:
            raise SearchError(f"{name}={value!r} was given. Expected a whole number from {least[name]}.")


def check_kept(n_components: int, sparsity: float) -> None:
    """Raise `SearchError` for a sparsity of which there is one mask alone."""
    n_kept = kept_count(n_components, sparsity)
    if not 0 < n_kept < n_components:
        raise SearchError(
            f"sparsity={sparsity:g} keeps {n_kept} of {n_components} components, and there is one such mask. Expected "
            "a sparsity at which some are kept and some removed."
        )
