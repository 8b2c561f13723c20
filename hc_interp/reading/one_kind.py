"""The reads-from test on pairs of one kind: statistic T, null, size controls, specificity, necessity, sufficiency.

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
from hc_interp.reading.necessity import INTERVAL, MIN_NODE_EFFECT, UNDEFINED, Shares, ablation_sources, shares_under
from hc_interp.reading.relabelling import labellings, layer_pools, matched_receivers, size_controls
from hc_interp.reading.verdict import KindRecord
from hc_interp.statistics.tests import bootstrap, permutation_p, ratio_interval

MIN_SENDER_CHANGE = 0.01  # sum |dz| / sum |z| of the core; pairs that change it less are uninformative
PERCENTILE = 95  # T must exceed this percentile of the size controls
MIN_SOURCES = 10  # sources are the units of the bootstrap, and its intervals are far too narrow with fewer units

NAN = float("nan")
# The null and the controls of an uninformative kind, for which they are not measured.
NOT_MEASURED: dict[str, Any] = {
    "p": NAN, "n_labellings": 0, "exhaustive": False, "null": np.empty(0), "size_controls": np.empty(0),
    "size_limit": NAN, "size_ratio": NAN,
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class KindTest:
    """The heads and settings of the test; `record` runs it on pairs of one kind.

    `core` are the core heads before the last receiver, `unread` the other core heads, which take no part.
    """

    model: HookedModel
    core: Heads
    unread: Heads
    receivers: Heads
    means: MeanActivations | None
    donors: Donors | None
    routes: tuple[str, ...]
    n_permutations: int
    n_size_controls: int
    level: float
    metric: str | Metric
    interventions: tuple[Intervention, ...]
    batch_size: int
    seed: int

    def record(self, kind: str, pairs: ContrastPairs) -> KindRecord:
        """All numbers of one kind. An uninformative kind has no null, controls, necessity and sufficiency."""
        runs = PairRuns.of(self.model, pairs, self.metric, self.interventions, self.batch_size)
        sizes = runs.head_sizes()
        others = matched_receivers(self.receivers, self.core + self.unread, sizes.change, self.model.n_heads)
        base = self._base(runs, others, kind)
        node = base.nodes[:, 0]
        common: dict[str, Any] = {"clusters": runs.encoded.sources, "level": self.level, "seed": self.seed}
        common["method"] = INTERVAL
        node_effect = bootstrap(node, **common)
        change = sizes.relative(self.core)
        why = self._why(runs, change, float(node_effect.value))
        shares = self._shares(runs, pairs, float(node_effect.value)) if not why else {}
        null = self._null(runs, sizes, base, kind) if not why else NOT_MEASURED
        return KindRecord(
            kind=kind,
            why=why,
            routes={r: ratio_interval(base.paths[:, i], node, **common) for i, r in enumerate(self.routes)},
            **null,
            specificity=ratio_interval(base.paths[:, -1], base.nodes[:, 1], **common) if others else UNDEFINED,
            specificity_heads=others,
            node_effect=node_effect,
            sender_change=change,
            necessity={name: item.necessity for name, item in shares.items()},
            sufficiency={name: item.sufficiency for name, item in shares.items()},
            effects={route: base.paths[:, i] for i, route in enumerate(self.routes)},
            node=node,
            total=base.total,
            sources=runs.encoded.sources,
            ids=runs.encoded.kept_ids,
            dropped=runs.encoded.dropped,
            notes=self._notes(others, null, shares),
        )

    def _base(self, runs: PairRuns, others: Heads, kind: str) -> JointEffects:
        """The effects of the core on the receivers by route, then on the `others`; and the node effects of both."""
        paths = [JointPath(self.core, self.receivers, route) for route in self.routes]
        nodes = [self.receivers]
        if others:
            paths.append(JointPath(self.core, others, "all"))
            nodes.append(others)
        return runs.measure(paths, nodes, description=f"reads-from: {kind}")

    def _why(self, runs: PairRuns, change: float, node_effect: float) -> str:
        """Why these pairs are uninformative ("" if they are informative)."""
        if len(set(runs.encoded.sources)) < MIN_SOURCES:
            return "too few pairs"
        if change < MIN_SENDER_CHANGE:
            return "the core hardly changes"
        return "the generalizing heads hardly matter" if abs(node_effect) < MIN_NODE_EFFECT else ""

    def _null(self, runs: PairRuns, sizes: HeadSizes, base: JointEffects, kind: str) -> dict[str, Any]:
        """p and the size limit, from T of relabelled cores and of size-matched sets into the same receivers.

        Each distinct set is measured once, even if it is drawn twice or is both a relabelled core and a size control.
        """
        layers = layer_pools(self.core, self.receivers, self.model.n_heads)
        labelled, exhaustive = labellings(layers, self.n_permutations, self.seed)
        controls = size_controls(layers, sizes.change, self.n_size_controls, self.seed)
        distinct = [heads for heads in dict.fromkeys((*labelled, *controls)) if heads != self.core]
        paths = [JointPath(heads, self.receivers, "all") for heads in distinct]
        node_sum = base.nodes[:, 0].sum()
        observed = base.paths[:, self.routes.index("all")].sum() / node_sum
        shares = runs.measure(paths, description=f"null and size controls: {kind}").paths.sum(0) / node_sum
        share_of = {self.core: observed, **dict(zip(distinct, shares, strict=True))}
        null, control_shares = (np.array([share_of[heads] for heads in sets]) for sets in (labelled, controls))
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
        }

    def _shares(self, runs: PairRuns, pairs: ContrastPairs, node_effect: float) -> dict[str, Shares]:
        sources = ablation_sources(self.model, pairs, self.means, self.donors, self.seed)
        return {
            name: shares_under(runs, source, self.core, self.receivers, node_effect, level=self.level, seed=self.seed)
            for name, source in sources.items()
        }

    def _notes(self, others: Heads, null: dict[str, Any], shares: dict[str, Shares]) -> tuple[str, ...]:
        notes = [f"necessity and sufficiency under {name}: {item.note}" for name, item in shares.items() if item.note]
        if not others:
            notes.append("no specificity: every head downstream of the core is core or generalizing")
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
