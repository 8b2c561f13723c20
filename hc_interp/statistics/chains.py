"""Whether Markov chains of indicators have mixed, and how well they tell a mean."""

from dataclasses import dataclass

import numpy as np
from arviz_stats.base.array import array_stats
from jaxtyping import Bool, Float
from scipy.stats import norm

RULE_OF_THREE = 3.0  # an event never seen in n independent draws has a probability of at most 3 / n, at 95 %


@dataclass(frozen=True, eq=False)
class Mixing:
    """For each column: mean, split R-hat, effective sample size of the mean, and its Monte-Carlo standard error.

    R-hat compares chains, and halves of chains, with each other (Vehtari et al. 2021); 1 is agreement. A column that is
    `constant`, the same in every draw, has neither R-hat nor error: chains that never saw another value cannot tell
    whether there is one.
    """

    mean: Float[np.ndarray, " column"]
    rhat: Float[np.ndarray, " column"]
    ess: Float[np.ndarray, " column"]
    error: Float[np.ndarray, " column"]
    constant: Bool[np.ndarray, " column"]

    def share_mixed(self, rhat: float, ess: float) -> float:
        """The share of columns with at most this R-hat and at least this effective sample, among those that vary."""
        varies = ~self.constant
        mixed = (self.rhat[varies] <= rhat) & (self.ess[varies] >= ess)
        return float(mixed.mean()) if varies.any() else np.nan

    def interval(self, level: float = 0.95) -> tuple[Float[np.ndarray, " column"], Float[np.ndarray, " column"]]:
        """Monte-Carlo intervals of the means, cut to [0, 1].

        A constant column has the rule of three with the smallest effective sample of the others.
        """
        half = norm.ppf((1 + level) / 2) * self.error
        varying = self.ess[~self.constant]
        unseen = min(1.0, RULE_OF_THREE / varying.min()) if len(varying) else 1.0
        half = np.where(self.constant, unseen, half)
        return np.clip(self.mean - half, 0, 1), np.clip(self.mean + half, 0, 1)


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
    return Mixing(values.mean((0, 1)), rhat, ess, error, constant)
