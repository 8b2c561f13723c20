"""Random subsets of a fixed size with given marginals: how often two items are together by chance."""

import numpy as np
from jaxtyping import Float

from hc_interp.errors import DataError

ROUNDS, CLOSE = 500, 1e-10  # of the fit of the weights, and how near the marginals must come
STEP = 0.75  # towards the odds that give an item its marginal while all others stay


def pair_inclusion(marginals: Float[np.ndarray, " item"]) -> Float[np.ndarray, "item item"]:
    """The probability that a subset contains both of two items; the marginals themselves on the diagonal.

    The subsets are those of the conditional Bernoulli (maximum entropy) distribution: independent items, given that
    `sum(marginals)` of them are in the subset. A fixed size alone makes inclusions negatively dependent, so that two
    components which have nothing to do with each other are together less often than the product of their frequencies.
    Source: Chen, Dempster & Liu 1994. Raises `DataError` for marginals that do not add up to a whole number, and
    for some within rounding of 0 or 1.
    """
    p = np.asarray(marginals, dtype=float)
    size = round(float(np.nan_to_num(p.sum())))
    if p.ndim != 1 or not np.all((p >= 0) & (p <= 1)) or abs(p.sum() - size) > 1e-6:
        raise DataError(
            f"Marginals from {p.min():g} to {p.max():g} that add up to {p.sum():g} were given. Expected shares from 0 "
            "to 1 that add up to the size of the subsets."
        )
    free = np.flatnonzero((p > 0) & (p < 1))
    both = np.outer(p, p)  # exact wherever one of the two is always or never inside
    if len(free):
        k = size - int((p == 1).sum())
        both[np.ix_(free, free)] = _joint(_log_weights(p[free], k), k)
    both[np.diag_indices(len(p))] = p
    return both


def _log_weights(p: Float[np.ndarray, " item"], k: int) -> Float[np.ndarray, " item"]:
    """Log odds of the independent items that give these marginals."""
    odds = np.log(p) - np.log1p(-p)
    theta = odds.copy()
    for _ in range(ROUNDS):
        without = _sums_without(theta)
        inside, outside = theta + without[:, k - 1], without[:, k]
        if np.abs(np.expm1(np.log(p) - inside + np.logaddexp(inside, outside))).max() < CLOSE:
            return theta
        theta += STEP * (odds - inside + outside)  # a whole step may come back to where it was
        theta -= theta.mean()
    raise DataError(
        f"No weights of independent items were found in {ROUNDS} rounds that give marginals from {p.min():g} to "
        f"{p.max():g}. Expected marginals that are not within rounding of 0 or 1."
    )


def _sums_without(theta: Float[np.ndarray, " item"]) -> Float[np.ndarray, "item size"]:
    """Logs of the elementary symmetric sums of the weights without each item, for sizes 0 to n."""
    n = len(theta)
    sums = np.full((n, n + 1), -np.inf)
    sums[:, 0] = 0.0
    for j in range(n):
        more = np.full_like(sums, -np.inf)
        more[:, 1:] = sums[:, :-1] + theta[j]
        more[j] = -np.inf
        sums = np.logaddexp(sums, more)
    return sums


def _joint(theta: Float[np.ndarray, " item"], k: int) -> Float[np.ndarray, "item item"]:
    n = len(theta)
    whole = _sums_without(np.append(theta, 0.0))[-1, k]  # without the item that was added: over all items
    if k < 2:
        return np.zeros((n, n))
    sums = np.full((n, n, k - 1), -np.inf)  # sizes 0 to k - 2, without the two items of the pair
    sums[..., 0] = 0.0
    for j in range(n):
        more = np.full_like(sums, -np.inf)
        more[..., 1:] = sums[..., :-1] + theta[j]
        more[j], more[:, j] = -np.inf, -np.inf
        sums = np.logaddexp(sums, more)
    return np.exp(theta[:, None] + theta[None] + sums[..., k - 2] - whole)
