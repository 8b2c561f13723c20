"""Re-centred answers: a threshold on s that gives the heuristic's label as often as the gold label is it, in domain.

An intervention can shift s by the same amount for all inputs. Accuracies at a fixed threshold cannot tell such a shift
from a loss of knowledge. At the re-centred threshold a shift has no effect. The threshold comes from one half of the
in-domain examples, and accuracies are of other rows.
"""

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from hc_interp.statistics.samples import generator

N_RESAMPLES = 200


def threshold(
    s: Float[np.ndarray, " row"], gold: Bool[np.ndarray, " row"], weights: Float[np.ndarray, " row"] | None = None
) -> float:
    """The threshold above which as many rows lie as are gold: halfway between the two rows next to it.

    `weights` say how often each row counts (None: once). It is infinite if no row is gold, or every row is.
    """
    w = np.ones(len(s)) if weights is None else weights
    order = np.argsort(-s, kind="stable")
    order = order[w[order] > 0]
    n_gold = float(w[gold].sum())
    if n_gold in (0.0, float(w.sum())):
        return np.inf if n_gold == 0 else -np.inf
    last = int(np.searchsorted(np.cumsum(w[order]), n_gold - 1e-9))  # the last row that is answered so
    following = min(last + 1, len(order) - 1)
    return float(s[order[last]] + s[order[following]]) / 2


def reference_half(sources: tuple[str, ...] | list[str], seed: int) -> Bool[np.ndarray, " row"]:
    """Which rows set the threshold: those of half of the sources, drawn by `seed`."""
    codes, names = pd.factorize(np.array(sources, dtype=object))
    chosen = generator(seed).permutation(len(names))[: (len(names) + 1) // 2]
    return np.isin(codes, chosen)


def resampled_thresholds(
    s: Float[np.ndarray, "system row"], gold: Bool[np.ndarray, " row"], sources: list[str], seed: int
) -> Float[np.ndarray, "system resample"]:
    """The threshold of each system in `N_RESAMPLES` resamples of the sources, where it is fitted again."""
    codes, names = pd.factorize(np.array(sources, dtype=object))
    rng = generator(seed)
    counts = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=N_RESAMPLES)[:, codes]
    return np.array([[threshold(row, gold, count.astype(float)) for count in counts] for row in s])


def counts_above(
    s: Float[np.ndarray, "system row"], thresholds: Float[np.ndarray, "system resample"]
) -> Int[np.ndarray, "system resample"]:
    """How many of a system's rows lie above each of its thresholds."""
    pairs = zip(np.sort(s, axis=1), thresholds, strict=True)
    return np.stack([s.shape[1] - np.searchsorted(row, cuts, side="right") for row, cuts in pairs])
