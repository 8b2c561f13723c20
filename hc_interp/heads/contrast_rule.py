"""The rule of evidence by contrast, on effects that were measured: it knows no model and no texts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from hc_interp.data.units import Levels, as_unit_levels, unit_rows
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
    from the clean to the corrupt run, and `clean` the metric of the clean run. `gold` is the label of the clean side.
    `levels` are the levels of the pairs' units, "source" among them.
    """

    nodes: Float[np.ndarray, "pair head"]
    total: Float[np.ndarray, " pair"]
    clean: Float[np.ndarray, " pair"]
    gold: Int[np.ndarray, " pair"]
    levels: Mapping[str, Levels]

    @property
    def sources(self) -> tuple[str, ...]:
        return tuple(source for (source,) in self.levels[SOURCE])

    @property
    def both_right(self) -> float:
        """The share of pairs of which the model gets both sides right."""
        return float(((self.clean > 0) & (self.clean + self.total < 0)).mean())

    def where(self, chosen: Bool[np.ndarray, " pair"]) -> Self:
        """The chosen pairs."""
        rows = np.flatnonzero(chosen)
        levels = as_unit_levels(unit_rows(self.levels, rows.tolist()), len(rows)) or {}
        return type(self)(self.nodes[rows], self.total[rows], self.clean[rows], self.gold[rows], levels)

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self | None:
        """The pairs of one part after the other; None without pairs."""
        parts = [part for part in parts if len(part.total)]
        if not parts:
            return None
        names = ("nodes", "total", "clean", "gold")
        arrays = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
        return cls(**arrays, levels=stacked_levels(*(part.levels for part in parts)))


def contrast_table(
    order: PairEffects,
    back: PairEffects | None,
    overlap: PairEffects | None,
    *,
    label: int | None,
    margin: float,
    alpha: float,
    seed: int,
) -> pd.DataFrame:
    """A row for each head: its effects, what each condition of the rule says of it, and whether it `passes`.

    `order` are the effects on the pairs as they are, `back` those on the pairs that can be reversed, reversed, and
    `overlap` those on pairs whose word swap takes the entailment, `label`, away; None where there are no such pairs. A
    head passes if

    - its node effects differ from 0: `q` (Benjamini-Hochberg over heads) is at most `alpha`, where `p` flips the signs
      of sources, and is the larger p of the two directions;
    - its share of the total effect is at least `margin` in both directions;
    - the model gets both sides of at least 10 % of the pairs right;
    - `more` is above 0: `q_more` is at most `alpha`, where `p_more` is one-sided.

    `more` is `share_matched` less `share_overlap`, the share on overlap pairs. `share_matched` is the share on order
    pairs turned as the overlap pairs are, so that their clean side has this label too. Both sets then lead from one
    answer to the other in the same direction. (The share of a head that only carries the answer can depend on this
    direction, for the same pairs.)

    `more_than_overlap` is the outcome of the last condition: "yes", "no" or "not checked", which also lets a head pass.
    `carries_answer` marks the heads that this condition alone refuses.
    """
    if not order.nodes.shape[1]:
        one = replace(order, nodes=np.zeros((len(order.total), 1)))
        return contrast_table(one, None, None, label=label, margin=margin, alpha=alpha, seed=seed).iloc[:0]
    units = Units.of(order.levels)
    mean, share = units.mean(order.nodes), units.ratio(order.nodes, order.total)
    p = _sign_flip(order, seed)
    columns: dict[str, Any] = {"node_effect": mean.value, "low": mean.low, "high": mean.high}
    columns |= {"share": share.value, "share_low": share.low, "share_high": share.high}
    large = np.asarray(share.value) >= margin
    columns["share_reversed"] = np.full(len(large), np.nan)
    if back is not None:
        columns["share_reversed"] = np.asarray(Units.of(back.levels).ratio(back.nodes, back.total).value)
        large &= columns["share_reversed"] >= margin
        p = np.maximum(p, _sign_flip(back, seed))
    turned = [part.where(part.gold == label) for part in (order, back) if part is not None]
    columns |= _more(PairEffects.joined(turned), overlap, len(large))
    table = judged(columns, p, large & (order.both_right >= FLOOR), alpha)
    table["q_more"] = fdr(table["p_more"])
    checked = table["more"].notna()
    more = table["q_more"] <= alpha
    table["more_than_overlap"] = np.where(checked, np.where(more, "yes", "no"), NOT_CHECKED)
    table["carries_answer"] = table["passes"] & checked & ~more
    table["passes"] &= ~table["carries_answer"]
    end = ["p", "q", "passes"]
    return table.reindex(columns=[*(name for name in table if name not in end), *end])


def _sign_flip(effects: PairEffects, seed: int) -> Float[np.ndarray, " head"]:
    return np.atleast_1d(sign_flip_test(effects.nodes, clusters=effects.sources, seed=seed))


def _more(matched: PairEffects | None, overlap: PairEffects | None, n_heads: int) -> dict[str, Any]:
    """The shares on both sets of pairs, and their difference.

    The two sets share words. So their rows stand together in one `Units`, where a row of the order pairs has its
    influence on their share, and a row of the overlap pairs minus its influence on theirs.
    """
    if matched is None or overlap is None:
        names = ("share_matched", "share_overlap", "more", "more_low", "p_more")
        return dict.fromkeys(names, np.full(n_heads, np.nan))
    sets = (matched, overlap)
    shares = [np.asarray(Units.of(part.levels).ratio(part.nodes, part.total).value) for part in sets]
    influences = [ratio_influences(part.nodes, part.total[:, None])[1] for part in sets]
    influence = np.concatenate([influences[0], -influences[1]])
    units = Units.of(stacked_levels(matched.levels, overlap.levels), [len(part.total) for part in sets])
    more = shares[0] - shares[1]
    low = np.where(np.isnan(more), np.nan, np.asarray(units.interval(more, influence).low))
    p = np.where(np.isnan(more), np.nan, units.p_above_zero(more, influence))
    return {"share_matched": shares[0], "share_overlap": shares[1], "more": more, "more_low": low, "p_more": p}
