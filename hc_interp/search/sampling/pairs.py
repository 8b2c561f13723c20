"""Components that stand in for each other, and components that come together, over a sample of subnetworks."""

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from scipy.stats import t as student

from hc_interp.statistics.chains import chain_jackknife
from hc_interp.statistics.fixed_size import pair_inclusion
from hc_interp.statistics.tests import fdr

STAND_IN, TOGETHER = "stand in for each other", "come together"


def pair_table(
    masks: Bool[np.ndarray, "chain draw component"], names: list[str], alpha: float, level: float
) -> pd.DataFrame:
    """A row for each pair of components that vary; the columns are those of `SubnetworkSample.pairs`."""
    apart, error = chain_jackknife(masks, pairs_beyond_size)
    degrees = len(masks) - 1
    frequency = masks.mean((0, 1))
    varies = np.flatnonzero((frequency > 0) & (frequency < 1))
    first, second = (varies[index] for index in np.triu_indices(len(varies), 1))
    together = (masks[..., first] & masks[..., second]).mean((0, 1))
    difference, error = apart[first, second], error[first, second]
    with np.errstate(divide="ignore", invalid="ignore"):
        p = 2 * student.sf(np.abs(difference / error), degrees)
    half = student.ppf((1 + level) / 2, degrees) * error
    frame = pd.DataFrame(
        {
            "first": [names[i] for i in first],
            "second": [names[i] for i in second],
            "together": together,
            "expected": together - difference,
            "difference": difference,
            "low": difference - half,
            "high": difference + half,
            "p": p,
            "q": fdr(p),
        }
    )
    told = np.where(frame["difference"] < 0, STAND_IN, TOGETHER)
    return frame.assign(relation=np.where(frame["q"] <= alpha, told, ""))


def pairs_beyond_size(masks: Bool[np.ndarray, "mask component"]) -> Float[np.ndarray, "component component"]:
    """How often each pair is together, less what random masks of this size with the same frequencies would show."""
    values = masks.astype(float)
    return values.T @ values / len(values) - pair_inclusion(values.mean(0))
