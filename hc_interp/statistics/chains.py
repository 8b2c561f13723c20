"""Whether Markov chains of indicators have mixed, and how well they tell a mean."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from arviz_stats.base.array import array_stats
from jaxtyping import Bool, Float
from scipy.stats import norm

FEW = 5  # draws that differ from the others, below which a column tells nothing of mixing


@dataclass(frozen=True, eq=False)
class Mixing:
    """For each column: mean, split R-hat, effective sample size of the mean, and its Monte-Carlo standard error.

    R-hat compares chains, and halves of chains, with each other (Vehtari et al. 2021); 1 is agreement. A column that is
    `constant`, the same in every draw, has neither R-hat nor error: chains that never saw another value cannot tell
    whether there is one. A column is `rare` if fewer than five draws differ from the others.
    """

    mean: Float[np.ndarray, " column"]
    rhat: Float[np.ndarray, " column"]
    ess: Float[np.ndarray, " column"]
    error: Float[np.ndarray, " column"]
    constant: Bool[np.ndarray, " column"]
    rare: Bool[np.ndarray, " column"]
    draws: int

    def share_mixed(self, rhat: float, ess: float) -> float:
        """The share of columns with at most this R-hat and at least this effective sample; NaN without any.

        Columns that are constant or `rare` are left out: they would pass by hardly varying.
        """
        judged = ~(self.constant | self.rare)
        mixed = (self.rhat[judged] <= rhat) & (self.ess[judged] >= ess)
        return float(mixed.mean()) if judged.any() else np.nan

    @property
    def worst(self) -> float:
        """The largest R-hat of a column that varies; NaN without any."""
        return float(self.rhat[~self.constant].max()) if (~self.constant).any() else np.nan

    def interval(self, level: float = 0.95) -> tuple[Float[np.ndarray, " column"], Float[np.ndarray, " column"]]:
        """Monte-Carlo intervals of the means: Wilson's, for as many independent draws as the effective sample.

        Constant and rare columns tell too little of their own effective sample: they have the smallest of the others.
        """
        judged = ~(self.constant | self.rare)
        least = self.ess[judged].min() if judged.any() else 1.0
        n = np.where(judged, np.minimum(self.ess, self.draws), min(least, self.draws))
        z = norm.ppf((1 + level) / 2)
        middle = (self.mean + z**2 / (2 * n)) / (1 + z**2 / n)
        half = z / (1 + z**2 / n) * np.sqrt(self.mean * (1 - self.mean) / n + z**2 / (4 * n**2))
        return np.clip(middle - half, 0, 1), np.clip(middle + half, 0, 1)


def chain_jackknife(
    draws: Bool[np.ndarray, "chain draw column"],
    statistic: Callable[[Bool[np.ndarray, "row column"]], np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """A statistic of the draws of all chains, and its standard error by leaving out one chain at a time.

    With `chains - 1` degrees of freedom. Chains are independent, and draws of one chain are not.
    """
    n_chains, columns = len(draws), draws.shape[-1]
    left_out = np.stack([statistic(np.delete(draws, i, axis=0).reshape(-1, columns)) for i in range(n_chains)])
    error = np.sqrt((n_chains - 1) / n_chains * ((left_out - left_out.mean(0)) ** 2).sum(0))
    return statistic(draws.reshape(-1, columns)), error


def mixing(draws: Bool[np.ndarray, "chain draw column"]) -> Mixing:
    """Of indicators drawn by several chains; at least two chains of four draws."""
    values = draws.astype(float)
    constant = (draws == draws[:1, :1]).all((0, 1))
    columns = values.shape[-1]
    rhat, ess, error = (np.full(columns, np.nan) for _ in range(3))
    varying = np.flatnonzero(~constant)
    if len(varying):
        with np.errstate(invalid="ignore", divide="ignore"):
            rhat[varying] = array_stats.rhat(values[..., varying], chain_axis=0, draw_axis=1, method="split")
            ess[varying] = array_stats.ess(values[..., varying], chain_axis=0, draw_axis=1, method="mean")
            error[varying] = array_stats.mcse(values[..., varying], chain_axis=0, draw_axis=1, method="mean")
        never = np.isnan(rhat) & ~constant  # constant within every half of a chain, and not the same in all
        rhat[never] = np.inf
    count = draws.sum((0, 1))
    n_draws = draws.shape[0] * draws.shape[1]
    rare = ~constant & (np.minimum(count, n_draws - count) < FEW)
    return Mixing(values.mean((0, 1)), rhat, ess, error, constant, rare, n_draws)
