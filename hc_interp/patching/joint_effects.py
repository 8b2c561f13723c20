"""Many joint path effects on one set of pairs, a batch at a time: clean and corrupt values are shared by all paths."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float

from hc_interp.components import EMBED, Component, Head
from hc_interp.data.align import EncodedPairs, encode_pairs
from hc_interp.data.contrast import ContrastPairs
from hc_interp.data.labels import resolve_groups
from hc_interp.interventions.path_steps import INPUTS, ROUTES
from hc_interp.interventions.paths import check_free
from hc_interp.interventions.sources import Source
from hc_interp.metrics import ClassGroups, Metric, path_metric
from hc_interp.models.hooked import HookedModel, Intervention
from hc_interp.models.site import Site
from hc_interp.patching.rows import Row
from hc_interp.patching.sweep import Sweep
from hc_interp.progress import stage

MEMORY_MIB = 1024  # what clean and corrupt values of all batches may take, and what is carried at once


@dataclass(frozen=True)
class JointPath:
    """All senders at once into q, k and v of all receivers at once."""

    senders: tuple[Component, ...]
    receivers: tuple[Head, ...]
    route: str


@dataclass(frozen=True, eq=False)
class Measured:
    """Changes of the metric against clean, per pair in the pairs' order, in float64.

    `paths`: `metric(step 3) - metric(clean)`; `nodes`: the same with whole heads replaced; `total`: the corrupt run
    (NaN when the values come from another source than the pairs); `clean`: the metric itself in the clean run.
    """

    paths: Float[np.ndarray, "pair path"]
    nodes: Float[np.ndarray, "pair node"]
    total: Float[np.ndarray, " pair"]
    clean: Float[np.ndarray, " pair"]


@dataclass(frozen=True, eq=False)
class HeadSizes:
    """Mean norms over pairs and non-padding positions: how far each head's `z` moves, and how large it is."""

    change: dict[Head, float]
    value: dict[Head, float]

    def relative(self, heads: Sequence[Head]) -> float:
        """Sum of |dz| over sum of |z|."""
        return sum(self.change[head] for head in heads) / max(sum(self.value[head] for head in heads), 1e-30)


@dataclass(frozen=True, eq=False)
class PairRuns:
    """Encoded pairs with all that a run on them needs. Clean and corrupt values are taken once for all that follows."""

    model: HookedModel
    encoded: EncodedPairs
    groups: ClassGroups
    metric: Metric
    interventions: Sequence[Intervention]
    batch_size: int
    receivers: tuple[Head, ...]

    @classmethod
    def of(
        cls,
        model: HookedModel,
        pairs: ContrastPairs,
        metric: str | Metric,
        interventions: Sequence[Intervention],
        batch_size: int,
        receivers: Sequence[Head] | None = None,
    ) -> "PairRuns":
        """`receivers` are the heads that paths may go into (None: any of the model's).

        Raises `AlignmentError` and `DataError` for pairs that cannot be encoded, `LabelError` for foreign labels."""
        groups = resolve_groups(model.labels, pairs)
        encoded = encode_pairs(model, pairs, batch_size)
        heads = [item for item in model.components if isinstance(item, Head)] if receivers is None else receivers
        return cls(model, encoded, groups, path_metric(metric), tuple(interventions), batch_size, tuple(heads))

    @torch.no_grad()
    def head_sizes(self) -> HeadSizes:
        """No passes of its own: both sides' values are what paths start from."""
        shape = (self.model.n_layers, self.model.n_heads)
        change, value = torch.zeros(shape, dtype=torch.float64), torch.zeros(shape, dtype=torch.float64)
        n = 0
        for part in self._sweep.parts:
            paths = self._sweep.state(part).paths
            seen = part.clean.attention_mask[:, :, None].to(self.model.device)
            n += int(seen.sum())
            for layer in range(self.model.n_layers):
                clean, corrupt = (side[Site(layer, "z")] for side in (paths.clean, paths.corrupt))
                change[layer] += ((corrupt - clean).norm(dim=-1) * seen).sum((0, 1)).double().cpu()
                value[layer] += (clean.norm(dim=-1) * seen).sum((0, 1)).double().cpu()
        heads = [(Head(i, j), i, j) for i in range(shape[0]) for j in range(shape[1])]
        return HeadSizes(
            {head: float(change[i, j]) / n for head, i, j in heads},
            {head: float(value[i, j]) / n for head, i, j in heads},
        )

    @torch.no_grad()
    def measure(
        self,
        paths: Sequence[JointPath] = (),
        nodes: Sequence[tuple[Head, ...]] = (),
        source: Source | None = None,
        description: str = "path patching",
    ) -> Measured:
        """Effects of `paths` and of whole `nodes`, by the engine of `path_effects` that serves this model.

        `source` replaces the pairs' corrupt values. Raises `InterventionError` for a receiver that a `PatchPath` among
        the interventions holds.
        """
        check_free(dict.fromkeys(head for path in paths for head in path.receivers), self.interventions)
        n = len(self.encoded)
        found = Measured(np.zeros((n, len(paths))), np.zeros((n, len(nodes))), np.full(n, np.nan), np.zeros(n))
        sweep = self._sweep if source is None else self._sweep_of(source, self._sweep)
        work = [(route, [i for i, path in enumerate(paths) if path.route == route]) for route in ROUTES]
        work = [(route, places) for route, places in work if places] or [("direct", [])]
        with stage(description, len(sweep.parts) * (len(paths) + len(nodes))) as progress:
            for number, (route, places) in enumerate(work):
                rows = [Row(paths[i].senders, paths[i].receivers, INPUTS) for i in places]
                whole = [] if number else [Row((EMBED,), heads, INPUTS) for heads in nodes]  # all are downstream of it
                part_of = replace(sweep, rows=(*rows, *whole), route=route)
                for part in part_of.parts:
                    # Node effects are wanted under every source, not under the pairs' alone.
                    state = replace(sweep.state(part), by_pair=True)
                    engine = part_of.engine(state)
                    index = part.index.numpy()
                    found.total[index] = state.total.double().cpu().numpy()
                    found.clean[index] = state.clean_score.double().cpu().numpy()
                    for row, values in engine.measure(range(len(rows)), nodes=False):
                        found.paths[index, places[row]] = values["effects"].double().cpu().numpy()
                        progress.advance()
                    for row, effect in engine.node_effects(range(len(rows), len(part_of.rows))).items():
                        found.nodes[index, row - len(rows)] = effect.double().cpu().numpy()
                        progress.advance()
        return found

    @cached_property
    def _sweep(self) -> Sweep:
        return self._sweep_of("pair")

    def _sweep_of(self, corruption: Source | str, other: Sweep | None = None) -> Sweep:
        return Sweep(
            self.model, self.encoded, (), corruption, self.interventions, self.metric, self.groups, "direct",
            self.batch_size, MEMORY_MIB, other, self.receivers,
        )  # fmt: skip
