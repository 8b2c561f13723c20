"""The reads-from test on pairs of one kind in one direction: T, null, controls, specificity, necessity, sufficiency.

T is the joint effect of all core heads on all generalizing heads (the receivers) over the receivers' node effect, both
summed over pairs. The node effect is the change of the metric when the receivers' `z` are set to corrupt. |dz| is the
distance between a head's corrupt and its clean `z`.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from hc_interp.data.contrast import ContrastPairs
from hc_interp.heads.sets import Heads
from hc_interp.interventions.donors import Donors
from hc_interp.interventions.means import MeanActivations
from hc_interp.metrics import Metric
from hc_interp.models.hooked import HookedModel, Intervention
from hc_interp.patching.joint_effects import HeadSizes, JointEffects, JointPath, PairRuns
from hc_interp.reading.necessity import Shares, ablation_sources, shares_under
from hc_interp.reading.records import DirectionRecord
from hc_interp.reading.relabelling import (
    important_set,
    labellings,
    layer_pools,
    other_heads,
    size_controls,
)
from hc_interp.reading.specificity import Specificity, specificity
from hc_interp.statistics.tests import permutation_p
from hc_interp.statistics.units import Units

MIN_SENDER_CHANGE = 0.01  # sum |dz| / sum |z| of the core; pairs that change it less are uninformative
MIN_NODE_EFFECT = 0.01  # of the mean |metric(clean)|; generalizing heads that change the metric less hardly matter
PERCENTILE = 95  # T must exceed this percentile of the size controls
MIN_SOURCES = 10  # intervals are far too narrow with fewer sources

NAN = float("nan")
# The null and the controls of an uninformative direction, for which they are not measured.
NOT_MEASURED: dict[str, Any] = {
    "p": NAN, "n_labellings": 0, "exhaustive": False, "null": np.empty(0), "size_controls": np.empty(0),
    "size_limit": NAN, "size_ratio": NAN, "important": (), "important_T": NAN,
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class DirectionTest:
    """The heads and settings of the test; `record` runs it on pairs in the direction that they have.

    `core` are the core heads before the last receiver, `unread` the other core heads, which take no part. `kinds` is
    the number of kinds of pairs that are tested.
    """

    model: HookedModel
    kinds: int
    core: Heads
    unread: Heads
    receivers: Heads
    means: MeanActivations | None
    donors: Donors | None
    routes: tuple[str, ...]
    n_permutations: int
    n_size_controls: int
    margin: float
    level: float
    metric: str | Metric
    interventions: tuple[Intervention, ...]
    batch_size: int
    seed: int

    def record(self, pairs: ContrastPairs, name: str) -> DirectionRecord:
        """All numbers; `name` says in progress messages which kind and direction this is."""
        runs = PairRuns.of(self.model, pairs, self.metric, self.interventions, self.batch_size)
        sizes = runs.head_sizes()
        units = Units.of(runs.encoded.units)
        paths = [JointPath(self.core, self.receivers, route) for route in self.routes]
        base = runs.measure(paths, [self.receivers], description=f"reads-from: {name}")
        node = base.nodes[:, 0]
        node_effect = units.mean(node, self.level)
        change = sizes.relative(self.core)
        least = MIN_NODE_EFFECT * float(np.abs(base.clean).mean())
        why = self._why(runs, change, float(node_effect), least)
        shares = {} if why else self._shares(runs, pairs, units, float(node_effect), least)
        null = NOT_MEASURED if why else self._null(runs, sizes, base, name)
        return DirectionRecord(
            why=why,
            routes={route: units.ratio(base.paths[:, i], node, self.level) for i, route in enumerate(self.routes)},
            **null,
            specificity={} if why else {route: self._specificity(runs, units, route) for route in self.routes},
            node_effect=node_effect,
            sender_change=change,
            necessity={source: item.necessity for source, item in shares.items()},
            sufficiency={source: item.sufficiency for source, item in shares.items()},
            effects={route: base.paths[:, i] for i, route in enumerate(self.routes)},
            node=node,
            total=base.total,
            sources=runs.encoded.sources,
            ids=runs.encoded.kept_ids,
            dropped=runs.encoded.dropped,
            units=units.levels,
            few=units.left_out,
            notes=self._notes(null, shares),
        )

    def _why(self, runs: PairRuns, change: float, node_effect: float, least: float) -> str:
        """Why these pairs are uninformative ("" if they are informative)."""
        if len(set(runs.encoded.sources)) < MIN_SOURCES:
            return "too few pairs"
        if change < MIN_SENDER_CHANGE:
            return "the core hardly changes"
        return "the generalizing heads hardly matter" if abs(node_effect) < least or not least else ""

    def _null(self, runs: PairRuns, sizes: HeadSizes, base: JointEffects, name: str) -> dict[str, Any]:
        """p, the size limit and the important set, from T of other sets of heads into the same receivers.

        Each distinct set is measured once, even if it is drawn twice or is both a relabelled core and a size control.
        """
        layers = layer_pools(self.core, self.receivers, self.model.n_heads)
        labelled, exhaustive = labellings(layers, self.n_permutations, self.seed)
        controls = size_controls(layers, sizes.change, self.n_size_controls, self.seed)
        important = self._important(runs, name)
        sets = dict.fromkeys((*labelled, *controls, important))
        distinct = [heads for heads in sets if heads != self.core]
        paths = [JointPath(heads, self.receivers, "all") for heads in distinct]
        node_sum = base.nodes[:, 0].sum()
        observed = base.paths[:, self.routes.index("all")].sum() / node_sum
        shares = runs.measure(paths, description=f"null and controls: {name}").paths.sum(0) / node_sum
        share_of = {self.core: observed, **dict(zip(distinct, shares, strict=True))}
        null, control_shares = (np.array([share_of[heads] for heads in part]) for part in (labelled, controls))
        core_size = sum(sizes.change[head] for head in self.core)
        ratios = np.array([sum(sizes.change[head] for head in heads) for heads in controls]) / core_size
        return {
            "p": float(permutation_p(observed, null, exhaustive=exhaustive)),
            "n_labellings": len(null) if exhaustive else 1 + len(null),
            "exhaustive": exhaustive,
            "null": null,
            "size_controls": control_shares,
            "size_limit": upper_limit(control_shares, ratios),
            "size_ratio": float(ratios.mean()) if controls else NAN,
            "important": important,
            "important_T": float(share_of[important]),
        }

    def _important(self, runs: PairRuns, name: str) -> Heads:
        """As many heads before the last receiver as the core has, of largest mean |node effect| on these pairs."""
        last = max(head.layer for head in self.receivers)
        early = [item for item in runs.receivers if item.layer < last and item not in self.receivers]
        effects = runs.measure(nodes=[(head,) for head in early], description=f"important heads: {name}").nodes
        importance = dict(zip(early, np.abs(effects).mean(axis=0).tolist(), strict=True))
        return important_set(self.core, tuple(early), importance)

    def _specificity(self, runs: PairRuns, units: Units, route: str) -> Specificity:
        others = other_heads(self.receivers, (*self.core, *self.unread), self.model.n_heads)
        found = runs.responses(self.core, (*self.receivers, *others), route)
        common: dict[str, Any] = {"margin": self.margin, "level": self.level, "seed": self.seed, "kinds": self.kinds}
        return specificity(found, self.receivers, units, **common)

    def _shares(
        self, runs: PairRuns, pairs: ContrastPairs, units: Units, node_effect: float, least: float
    ) -> dict[str, Shares]:
        common: dict[str, Any] = {"node_effect": node_effect, "least": least, "units": units, "level": self.level}
        sources = ablation_sources(self.model, pairs, self.means, self.donors, self.seed)
        return {
            name: shares_under(runs, source, self.core, self.receivers, **common) for name, source in sources.items()
        }

    def _notes(self, null: dict[str, Any], shares: dict[str, Shares]) -> tuple[str, ...]:
        notes = [f"necessity and sufficiency under {name}: {item.note}" for name, item in shares.items() if item.note]
        necessity = [(float(item.necessity.low), float(item.necessity.high)) for item in shares.values()]
        if signs_disagree(necessity, self.margin):
            notes.append("necessity has opposite signs under different ablation sources")
        if shares and not len(null["size_controls"]):
            notes.append(f"no size controls: {self._crowded()}")
        return tuple(notes)

    def _crowded(self) -> str:
        """The layers with fewer other heads than core heads, in words."""
        layers = layer_pools(self.core, self.receivers, self.model.n_heads)
        return "; ".join(
            f"layer {layer.core[0].layer} has {len(layer.core)} core heads and {len(layer.others)} that are neither "
            "core nor generalizing"
            for layer in layers
            if len(layer.others) < len(layer.core)
        )


def signs_disagree(intervals: list[tuple[float, float]], margin: float) -> bool:
    """Whether one interval is positive and another is negative.

    An interval that contains 0, or that lies inside the margin as a whole, has no sign.
    """
    positive = any(low > 0 and high >= margin for low, high in intervals)
    return positive and any(high < 0 and low <= -margin for low, high in intervals)


def upper_limit(shares: Float[np.ndarray, " control"], ratios: Float[np.ndarray, " control"]) -> float:
    """The 95th percentile of T of the size controls (`shares`); NaN without controls.

    `ratios` are each control's sum |dz| over the core's. Where a ratio is below 1, the control's T is divided by it. A
    core that was chosen for its size leaves only smaller heads for controls, and without this scaling such a core would
    pass though it is special in nothing but size. Some such cores pass even so: the limit is a guard, not a test.
    """
    if not len(shares):
        return NAN
    moved = ratios > 0  # a head whose z is the same on both sides sends nothing
    scaled = np.where(moved, shares / np.where(moved, np.minimum(ratios, 1), 1), 0.0)
    # "higher": with few controls the percentile is one of them, not a value between two.
    return float(np.quantile(scaled, PERCENTILE / 100, method="higher"))
