"""The rule of evidence by contrast, on effects that were measured: it knows no model and no texts."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from hc_interp.data.units import Levels
from hc_interp.data.units import stacked as stacked_levels
from hc_interp.evaluation.effective_size import FLOOR
from hc_interp.heads.evidence import judged
from hc_interp.statistics.tests import fdr, sign_flip_test
from hc_interp.statistics.units import SOURCE, Units, ratio_influences

NOT_CHECKED = "not checked"


@dataclass(frozen=True, eq=False)
class PairEffects:
    """Effects on one set of pairs, in the metric's units.

    `nodes` is the change of the metric when a head alone takes its corrupt value in a clean run. `total` is the change
    from the clean to the corrupt run, and `clean` the metric of the clean run. `levels` are the levels of the pairs'
    units, "source" among them.
    """

    nodes: Float[np.ndarray, "pair head"]
    total: Float[np.ndarray, " pair"]
    clean: Float[np.ndarray, " pair"]
    levels: Mapping[str, Levels]

    @property
    def sources(self) -> tuple[str, ...]:
        return tuple(source for (source,) in self.levels[SOURCE])

    @property
    def both_right(self) -> float:
        """The share of pairs of which the model gets both sides right."""
        return float(((self.clean > 0) & (self.clean + self.total < 0)).mean())


def contrast_table(
    order: PairEffects, back: PairEffects | None, overlap: PairEffects | None, margin: float, alpha: float, seed: int
) -> pd.DataFrame:
    """A row for each head: its effects, what each condition of the rule says of it, and whether it `passes`.

    `order` are the effects on the pairs as they are, `back` those on the pairs that can be reversed, reversed, and
    `overlap` those on pairs whose word swap takes the entailment away; None where there are no such pairs. A head
    passes if

    - its node effects differ from 0: `q` (Benjamini-Hochberg over heads) is at most `alpha`, where `p` flips the signs
      of sources, and is the larger p of the two directions;
    - its share of the total effect is at least `margin` in both directions;
    - the model gets both sides of at least 10 % of the pairs right;
    - its share is larger than its share on the overlap pairs: `q_more` is at most `alpha`, where `p_more` is one-sided.

    `more_than_overlap` is the outcome of the last condition: "yes", "no" or "not checked", which also lets a head pass.
    `carries_answer` marks the heads that this condition alone refuses.
    """
    if not order.nodes.shape[1]:
        one = replace(order, nodes=np.zeros((len(order.total), 1)))
        return contrast_table(one, None, None, margin, alpha, seed).iloc[:0]
    units = Units.of(order.levels)
    mean, share = units.mean(order.nodes), units.ratio(order.nodes, order.total)
    p = _sign_flip(order, seed)
    columns: dict[str, Any] = dict(node_effect=mean.value, low=mean.low, high=mean.high)
    columns |= dict(share=share.value, share_low=share.low, share_high=share.high)
    large = np.asarray(share.value) >= margin
    columns["share_reversed"] = np.full(len(large), np.nan)
    if back is not None:
        columns["share_reversed"] = np.asarray(Units.of(back.levels).ratio(back.nodes, back.total).value)
        large &= columns["share_reversed"] >= margin
        p = np.maximum(p, _sign_flip(back, seed))
    columns |= _more(order, np.asarray(share.value), overlap)
    table = judged(columns, p, large & (order.both_right >= FLOOR), alpha)
    table["q_more"] = fdr(table["p_more"])
    checked = table["share_overlap"].notna()
    more = table["q_more"] <= alpha
    table["more_than_overlap"] = np.where(checked, np.where(more, "yes", "no"), NOT_CHECKED)
    table["carries_answer"] = table["passes"] & checked & ~more
    table["passes"] &= ~table["carries_answer"]
    end = ["p", "q", "passes"]
    return table[[*(name for name in table if name not in end), *end]]


def _sign_flip(effects: PairEffects, seed: int) -> Float[np.ndarray, " head"]:
    return np.atleast_1d(sign_flip_test(effects.nodes, clusters=effects.sources, seed=seed))


def _more(order: PairEffects, share: Float[np.ndarray, " head"], overlap: PairEffects | None) -> dict[str, Any]:
    """The share on overlap pairs, and the difference: the share on order pairs less that on overlap pairs.

    The two sets share words. So their rows stand together in one `Units`, where a row of the order pairs has its
    influence on their share, and a row of the overlap pairs minus its influence on theirs.
    """
    nan = np.full(len(share), np.nan)
    if overlap is None:
        return dict.fromkeys(("share_overlap", "more", "more_low", "p_more"), nan)
    share_overlap = np.asarray(Units.of(overlap.levels).ratio(overlap.nodes, overlap.total).value)
    influences = [ratio_influences(effects.nodes, effects.total[:, None])[1] for effects in (order, overlap)]
    influence = np.concatenate([influences[0], -influences[1]])
    units = Units.of(stacked_levels(order.levels, overlap.levels))
    more = share - share_overlap
    low = np.asarray(units.interval(more, influence).low)
    p = np.where(np.isnan(more), np.nan, units.p_above_zero(more, influence))
    return {"share_overlap": share_overlap, "more": more, "more_low": np.where(np.isnan(more), np.nan, low), "p_more": p}
