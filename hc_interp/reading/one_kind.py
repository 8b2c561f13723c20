"""The reads-from test on pairs of one kind: statistic, null, size controls, specificity, necessity and sufficiency."""

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

MIN_SENDER_CHANGE = 0.01  # sum |dz| / sum |z| of the core
PERCENTILE = 95  # of the size controls, which T must exceed
MIN_SOURCES = 10  # units of the bootstrap; percentile intervals of fewer are far too narrow

NAN = float("nan")
# What stands for null and controls where the kind cannot tell anyway.
NOTHING: dict[str, Any] = {
    "p": NAN, "n_labellings": 0, "exhaustive": False, "null": np.empty(0), "size_controls": np.empty(0),
    "size_limit": NAN, "size_ratio": NAN,
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class KindTest:
    """The test's ends and settings; `record` runs it on pairs of one kind. `unread` are core heads that take no part.

    Labellings that are drawn twice, or are size controls too, are measured once. A kind that is not informative is
    measured by routes only.
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
        null = self._null(runs, sizes, base, kind) if not why else NOTHING
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
        """The observed statistic on every route, and on other receivers."""
        paths = [JointPath(self.core, self.receivers, route) for route in self.routes]
        nodes = [self.receivers]
        if others:
            paths.append(JointPath(self.core, others, "all"))
            nodes.append(others)
        return runs.measure(paths, nodes, description=f"reads-from: {kind}")

    def _why(self, runs: PairRuns, change: float, node_effect: float) -> str:
        """Why these pairs cannot tell, or ""."""
        if len(set(runs.encoded.sources)) < MIN_SOURCES:
            return "too few pairs"
        if change < MIN_SENDER_CHANGE:
            return "the core hardly changes"
        return "the generalizing heads hardly matter" if abs(node_effect) < MIN_NODE_EFFECT else ""

    def _null(self, runs: PairRuns, sizes: HeadSizes, base: JointEffects, kind: str) -> dict[str, Any]:
        """T of relabelled cores and of size-matched sets, all over the node effect of the same receivers."""
        layers = layer_pools(self.core, self.receivers, self.model.n_heads)
        labelled, exhaustive = labellings(layers, self.n_permutations, self.seed)
        controls = size_controls(layers, sizes.change, self.n_size_controls, self.seed)
        once = [heads for heads in dict.fromkeys((*labelled, *controls)) if heads != self.core]
        paths = [JointPath(heads, self.receivers, "all") for heads in once]
        whole = base.nodes[:, 0].sum()
        observed = base.paths[:, self.routes.index("all")].sum() / whole
        measured = runs.measure(paths, description=f"null and size controls: {kind}").paths.sum(0) / whole
        found = {self.core: observed, **dict(zip(once, measured, strict=True))}
        null, sized = (np.array([found[heads] for heads in sets]) for sets in (labelled, controls))
        whole_size = sum(sizes.change[head] for head in self.core)
        ratios = np.array([sum(sizes.change[head] for head in heads) for heads in controls]) / whole_size
        return {
            "p": float(permutation_p(observed, null, exhaustive=exhaustive)),
            "n_labellings": len(null) if exhaustive else 1 + len(null),
            "exhaustive": exhaustive,
            "null": null,
            "size_controls": sized,
            "size_limit": upper_limit(sized, ratios),
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
        """The layers whose core heads outnumber the heads that could stand in for them."""
        layers = layer_pools(self.core, self.receivers, self.model.n_heads)
        return "; ".join(
            f"layer {layer.core[0].layer} has {len(layer.core)} core heads and {len(layer.others)} that are neither "
            "core nor generalizing"
            for layer in layers
            if len(layer.others) < len(layer.core)
        )


def upper_limit(sized: Float[np.ndarray, " control"], ratios: Float[np.ndarray, " control"]) -> float:
    """The 95th percentile of size controls, each scaled up to the core's |dz| where it has less (`ratios` below 1).

    A core that was chosen for its size leaves only smaller heads for controls; unscaled, they would let cores pass that
    are special in nothing but size. Scaled, some still pass, so this is a guard, not a test. NaN without controls.
    """
    if not len(sized):
        return NAN
    moved = ratios > 0  # heads that do not move carry nothing
    scaled = np.where(moved, sized / np.where(moved, np.minimum(ratios, 1), 1), 0.0)
    # "higher": with few controls the percentile is one of them, not a value between two.
    return float(np.quantile(scaled, PERCENTILE / 100, method="higher"))
