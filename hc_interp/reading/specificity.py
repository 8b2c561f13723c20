"""D and S: do the generalizing heads follow the core more than the other heads of their layers do?

A head's response R is `sum <dz, dz_full> / sum |dz_full|^2` over pairs and positions: the part of its own change,
between the clean and the corrupt run, that comes about when it sees the core's corrupt values alone. G are the
generalizing heads, O the heads of their layers that are neither core nor generalizing. No function here runs a model.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from hc_interp.components import Head
from hc_interp.heads.sets import Heads
from hc_interp.patching.joint_effects import Responses
from hc_interp.records.result import Result
from hc_interp.statistics.samples import generator
from hc_interp.statistics.tests import Interval, permutation_p
from hc_interp.statistics.units import Units

# A head that changes less than this share of G's mean |dz_full|^2 in its layer is no comparison: G was chosen among the
# heads that change, and idle heads, which follow nothing, would make any G look special.
STILL = 0.01
LEAST, MOST = -1.0, 2.0  # R of a head is cut to these: a head that hardly changes can have any ratio
COVERED = 0.5  # G's share of |dz_full|^2 in layers that have a comparison; with less there is no comparison
EXHAUSTIVE = 2000  # labellings up to this number are all used
NAN = float("nan")
UNDEFINED = Interval(NAN, NAN, NAN, 0)


@dataclass(frozen=True, eq=False)
class Specificity(Result):
    """D, S and what they are made of, on one route.

    `R_G` and `R_O` are the mean responses of G and of O: means over the heads of a layer, and over layers with the
    weight of G's summed |dz_full|^2. `D = R_G - R_O`. `S = D / R_G` is the share of G's response that other heads do
    not have; it is NaN where the interval of `R_G` meets the margin. `p_D` is the share of labellings of G and O within
    layers whose D is as large. `labellings` is their number, the observed one included. O are other heads that change
    at least 1 % as much as G's (in |dz_full|^2): idle heads are no comparison.

    `S_over_kinds` is S with the interval that decides: a reading that any kind of pairs may show has as many chances as
    there are kinds, so the interval's level is corrected for their number (Bonferroni). With one kind it is S. None in
    files of before version 0.2, whose readings took S itself.

    `heads`, `response`, `extent` (sum of |dz_full|^2) and `is_G` describe each head, also idle ones. `covered` is the
    share of G's extent in layers with a comparison. `left_out` says for the other layers why they have none.
    """

    D: Interval
    S: Interval
    R_G: Interval
    R_O: Interval
    p_D: float
    labellings: int
    covered: float
    left_out: dict[str, str]
    heads: tuple[Head, ...]
    response: Float[np.ndarray, " head"]
    extent: Float[np.ndarray, " head"]
    is_G: Bool[np.ndarray, " head"]
    S_over_kinds: Interval | None = None

    @classmethod
    def undefined(cls) -> "Specificity":
        """Where nothing was measured."""
        no = np.empty(0)
        return cls(UNDEFINED, UNDEFINED, UNDEFINED, UNDEFINED, NAN, 0, 0.0, {}, (), no, no, no > 0, UNDEFINED)

    @property
    def compared(self) -> bool:
        """Whether enough of G has other heads to be compared with."""
        return self.covered >= COVERED

    def to_frame(self) -> pd.DataFrame:
        """A row per head: head, layer, response, extent, is_G."""
        return pd.DataFrame(
            {
                "head": [str(head) for head in self.heads],
                "layer": [head.layer for head in self.heads],
                "response": self.response,
                "extent": self.extent,
                "is_G": self.is_G,
            }
        )

    def __repr__(self) -> str:
        s = f"S = {float(self.S):.2f} [{float(self.S.low):.2f}, {float(self.S.high):.2f}]"
        return f"Specificity({s}, D = {float(self.D):.3f}, p_D = {self.p_D:.2g})"


@dataclass(frozen=True, eq=False)
class _Layers:
    """The heads of the layers that have a comparison, as columns of the responses."""

    layer: np.ndarray
    is_G: np.ndarray

    @cached_property
    def columns(self) -> list[np.ndarray]:
        """The columns of each layer, marked."""
        return [self.layer == layer for layer in np.unique(self.layer)]

    def statistic(self, response: np.ndarray, extent: np.ndarray, is_G: np.ndarray) -> tuple[float, float]:
        """R of the heads labelled G and of the others, from each head's response and its extent over all pairs."""
        top_g = top_o = whole = 0.0
        for here in self.columns:
            g, o = here & is_G, here & ~is_G
            weight = extent[g].sum()
            top_g, top_o = top_g + weight * response[g].mean(), top_o + weight * response[o].mean()
            whole += weight
        return (top_g / whole, top_o / whole) if whole > 0 else (0.0, 0.0)

    def without(self, column: int) -> "tuple[_Layers, np.ndarray] | None":
        """The same without one head, and the columns that stay; None where its layer would lose G or O."""
        stays = np.arange(len(self.layer)) != column
        here = stays & (self.layer == self.layer[column])
        if not (here & self.is_G).any() or not (here & ~self.is_G).any():
            return None
        return _Layers(self.layer[stays], self.is_G[stays]), stays


def specificity(
    responses: Responses, generalizing: Heads, units: Units, *, margin: float, level: float, seed: int, kinds: int = 1
) -> Specificity:
    """D, S, R(G), R(O) and p_D from the responses of G and of the other heads of G's layers.

    Intervals are over pairs (`Units`) and over heads: the variance of leaving out each head in turn (jackknife) is
    added, since other heads would be compared with in another model of the kind. `kinds` is the number of kinds of
    pairs that are tested, for the level of `S_over_kinds`.
    """
    layer = np.array([head.layer for head in responses.heads])
    is_g = np.array([head in generalizing for head in responses.heads], dtype=bool)
    extents = responses.extent.sum(axis=0)
    still = _still(layer, is_g, extents)
    use, left_out = _comparable(layer, is_g, still)
    everything = float(extents[is_g].sum())
    covered = float(extents[is_g & np.isin(layer, use)].sum()) / everything if everything > 0 else 0.0
    about = {
        "covered": covered,
        "left_out": left_out,
        "heads": responses.heads,
        "response": responses_of(responses.explained.sum(axis=0), extents),
        "extent": extents,
        "is_G": is_g,
    }
    if not use:
        return Specificity(UNDEFINED, UNDEFINED, UNDEFINED, UNDEFINED, NAN, 0, **about, S_over_kinds=UNDEFINED)
    inside = np.isin(layer, use) & (is_g | ~still)
    layers = _Layers(layer[inside], is_g[inside])
    columns = np.concatenate([responses.explained[:, inside], responses.extent[:, inside]], axis=1)
    n = int(inside.sum())

    def parts(sums: np.ndarray) -> tuple[float, float]:
        return layers.statistic(responses_of(sums[:n], sums[n:]), sums[n:], layers.is_G)

    left = _leaving_one_out(layers, columns.sum(axis=0), n)
    of = {
        "R_G": lambda sums: parts(sums)[0],
        "R_O": lambda sums: parts(sums)[1],
        "D": lambda sums: parts(sums)[0] - parts(sums)[1],
        "S": lambda sums: _share(*parts(sums)),
    }

    def interval(name: str, level: float) -> Interval:
        return units.of_sums(of[name], columns, level, _jackknife(left[name]))

    found = {name: interval(name, level) for name in of}
    found["S_over_kinds"] = interval("S", 1 - (1 - level) / kinds)
    if not float(found["R_G"].low) > margin:
        found |= {"S": UNDEFINED, "S_over_kinds": UNDEFINED}
    p, n_labellings = _p(layers, columns.sum(axis=0), n, seed)
    return Specificity(**found, p_D=p, labellings=n_labellings, **about)


def responses_of(explained: np.ndarray, extent: np.ndarray) -> np.ndarray:
    """R of each head, cut to [-1, 2]; 0 for a head that does not change at all."""
    moves = extent > 0
    return np.where(moves, np.clip(explained / np.where(moves, extent, 1.0), LEAST, MOST), 0.0)


def count_labellings(layer: Sequence[int] | np.ndarray, is_g: np.ndarray) -> int:
    """How many ways there are to call as many heads of each layer G."""
    layer = np.asarray(layer)
    return math.prod(math.comb(int((layer == i).sum()), int((is_g & (layer == i)).sum())) for i in np.unique(layer))


def _still(layer: np.ndarray, is_g: np.ndarray, extents: np.ndarray) -> np.ndarray:
    still = np.zeros(len(layer), dtype=bool)
    for i in np.unique(layer):
        here = layer == i
        if (here & is_g).any():
            still |= here & (extents < STILL * extents[here & is_g].mean())
    return still


def _comparable(layer: np.ndarray, is_g: np.ndarray, still: np.ndarray) -> tuple[list[int], dict[str, str]]:
    """The layers of G in which other heads move, and for G's other layers why they are left out."""
    use, left_out = [], {}
    for i in np.unique(layer[is_g]).tolist():
        others = (layer == i) & ~is_g
        if not others.any():
            left_out[f"L{i}"] = "no other heads"
        elif still[others].all():
            left_out[f"L{i}"] = "the other heads hardly change"
        else:
            use.append(i)
    return use, left_out


def _share(r_g: float, r_o: float) -> float:
    return (r_g - r_o) / r_g if r_g else NAN


def _leaving_one_out(layers: _Layers, sums: np.ndarray, n: int) -> dict[str, np.ndarray]:
    """The four statistics without each head in turn, where that leaves a comparison."""
    rows = []
    for column in range(n):
        if (rest := layers.without(column)) is not None:
            part, stays = rest
            response = responses_of(sums[:n][stays], sums[n:][stays])
            r_g, r_o = part.statistic(response, sums[n:][stays], part.is_G)
            rows.append((r_g, r_o, r_g - r_o, _share(r_g, r_o)))
    table = np.array(rows).reshape(-1, 4)
    return {name: table[:, i] for i, name in enumerate(("R_G", "R_O", "D", "S"))}


def _jackknife(left: np.ndarray) -> float:
    """The jackknife's variance of a statistic from its values without each head."""
    if len(left) < 2 or not np.isfinite(left).all():
        return 0.0
    return float((len(left) - 1) / len(left) * ((left - left.mean()) ** 2).sum())


def _p(layers: _Layers, sums: np.ndarray, n: int, seed: int) -> tuple[float, int]:
    """p of D against labellings of G and O within layers, and the number of labellings."""
    response = responses_of(sums[:n], sums[n:])

    def difference(is_g: np.ndarray) -> float:
        r_g, r_o = layers.statistic(response, sums[n:], is_g)
        return r_g - r_o

    total = count_labellings(layers.layer, layers.is_G)
    exhaustive = total <= EXHAUSTIVE
    drawn = _all_labels(layers) if exhaustive else _random_labels(layers, seed)
    null = np.array([difference(is_g) for is_g in drawn])
    p = float(permutation_p(difference(layers.is_G), null, exhaustive=exhaustive))
    return p, len(null) if exhaustive else 1 + len(null)


def _all_labels(layers: _Layers) -> list[np.ndarray]:
    choices = []
    for i in np.unique(layers.layer):
        here = np.flatnonzero(layers.layer == i)
        choices.append(itertools.combinations(here.tolist(), int(layers.is_G[here].sum())))
    labels = []
    for parts in itertools.product(*choices):
        is_g = np.zeros(len(layers.layer), dtype=bool)
        is_g[list(itertools.chain(*parts))] = True
        labels.append(is_g)
    return labels


def _random_labels(layers: _Layers, seed: int) -> list[np.ndarray]:
    """Labellings that differ from the observed one and from each other."""
    rng = generator(seed)
    labels: dict[bytes, np.ndarray] = {}
    while len(labels) < EXHAUSTIVE - 1:
        is_g = np.zeros(len(layers.layer), dtype=bool)
        for i in np.unique(layers.layer):
            here = np.flatnonzero(layers.layer == i)
            is_g[rng.permutation(here)[: int(layers.is_G[here].sum())]] = True
        if not np.array_equal(is_g, layers.is_G):
            labels[is_g.tobytes()] = is_g
    return list(labels.values())
