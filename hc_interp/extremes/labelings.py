"""`Labelings`: which case each select row counts as, truly and in the permuted searches, and separations by them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from hc_interp.errors import DataError
from hc_interp.evaluation.score_data import Block
from hc_interp.extremes.rows import premise_patterns


@dataclass(frozen=True, eq=False)
class Labelings:
    """The true cases of the rows first, then permuted ones.

    `right` and `wrong` are weights of [labeling, row]: the separation by a labeling is the sum over pairs of rows of
    right weight times wrong weight times whether the first score is higher (ties half). `within` is the share of rows
    that exchange gold labels with rows of their own premise pattern.
    """

    right: Float[np.ndarray, "labeling row"]
    wrong: Float[np.ndarray, "labeling row"]
    within: float

    def __len__(self) -> int:
        return len(self.right)

    def separations(self, s: Float[np.ndarray, "mask row"]) -> Float[np.ndarray, "mask labeling"]:
        """The mean over (right case, wrong case) of AUC(s; right against wrong), by every labeling."""
        return np.stack([self._of(row) for row in s]) if len(s) else np.empty((0, len(self)))

    def _of(self, s: Float[np.ndarray, " row"]) -> Float[np.ndarray, " labeling"]:
        order = np.argsort(s, kind="stable")
        ordered = s[order]
        wrong = self.wrong[:, order]
        before = np.concatenate([np.zeros((len(wrong), 1)), wrong.cumsum(1)], axis=1)
        low, high = np.searchsorted(ordered, ordered, "left"), np.searchsorted(ordered, ordered, "right")
        return (self.right[:, order] * (before[:, low] + before[:, high])).sum(1) / 2


def draw_labelings(blocks: Mapping[str, Block], right: Sequence[str], n: int, seed: int) -> Labelings:
    """The true cases of the rows of `blocks`, which follow one another, and `n` permutations of them.

    Rows exchange their cases, and with these their gold labels, within premise patterns. A template fixes the gold
    label, so that nothing could be exchanged within it; a premise pattern does not, where cases of both kinds have it.
    Rows of patterns with one gold label alone, and rows without a pattern, exchange among each other.

    Raises `DataError` if no row can exchange its gold label.
    """
    case_of = np.repeat(np.arange(len(blocks)), [len(block) for block in blocks.values()])
    is_right = np.array([case in right for case in blocks])
    gold = is_right[case_of]
    pattern = np.array([name for block in blocks.values() for name in premise_patterns(block.units, len(block))])
    strata = [np.flatnonzero(pattern == name) for name in dict.fromkeys(pattern.tolist()) if name]
    both = [rows for rows in strata if 0 < gold[rows].mean() < 1]
    rest = np.setdiff1d(np.arange(len(gold)), np.concatenate([np.empty(0, int), *both]))
    groups = [*both, rest]
    if not any(0 < gold[rows].mean() < 1 for rows in groups if len(rows)):
        raise DataError(
            f"None of the {len(gold)} select rows can exchange its gold label with another row, so that no control is "
            "possible. Expected cases where the heuristic is right and where it is wrong; give the task more cases."
        )
    rng = np.random.default_rng([seed, 8])
    cases = [case_of]
    for _ in range(n):
        permuted = case_of.copy()
        for rows in groups:
            permuted[rows] = rng.permutation(case_of[rows])
        cases.append(permuted)
    within = sum(map(len, both)) / len(gold)
    return Labelings(_weights(np.stack(cases), is_right), _weights(np.stack(cases), ~is_right), within)


def _weights(cases: Int[np.ndarray, "labeling row"], kept: np.ndarray) -> Float[np.ndarray, "labeling row"]:
    """1 / (rows of the row's case * kept cases) in rows of kept cases, 0 in others."""
    sizes = np.bincount(cases[0], minlength=len(kept))
    return np.where(kept[cases], 1 / (sizes[cases] * kept.sum()), 0.0)
