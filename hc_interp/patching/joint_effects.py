"""`JointEffects`: the effects of many joint paths on one set of pairs, which all start from the same clean values."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float

from hc_interp.components import EMBED, Component, Head
from hc_interp.data.align import EncodedPairs, encode_pairs
from hc_interp.data.contrast import ContrastPairs
from hc_interp.data.labels import scoring_groups
from hc_interp.interventions.path_steps import INPUTS, ROUTES
from hc_interp.interventions.paths import check_free
from hc_interp.interventions.sources import Source
from hc_interp.metrics import ClassGroups, Metric, path_metric
from hc_interp.models.hooked import HookedModel, Intervention
from hc_interp.models.one_word import at_one_word
from hc_interp.models.site import Site
from hc_interp.patching.rows import Row
from hc_interp.patching.sweep import Sweep
from hc_interp.progress import stage

MEMORY_MIB = 1024  # a bound on the kept clean and corrupt values of all batches, and one on working memory


@dataclass(frozen=True)
class JointPath:
    """All senders at once into q, k and v of all receivers at once."""

    senders: tuple[Component, ...]
    receivers: tuple[Head, ...]
    route: str


@dataclass(frozen=True, eq=False)
class JointEffects:
    """Effects in the metric's units, per pair in the pairs' original order, in float64.

    `paths` is `metric(step 3) - metric(clean)`. `nodes` is `metric - metric(clean)` of runs in which whole heads take
    their corrupt values. `total` is `metric(corrupt) - metric(clean)`, NaN where the corrupt values do not come from
    the pairs' corrupt sides. `clean` is the metric of the clean run.
    """

    paths: Float[np.ndarray, "pair path"]
    nodes: Float[np.ndarray, "pair node"]
    total: Float[np.ndarray, " pair"]
    clean: Float[np.ndarray, " pair"]


@dataclass(frozen=True, eq=False)
class HeadSizes:
    """Mean norms over pairs and non-padding positions: `change` of each head's `dz_full`, `value` of its clean `z`."""

    change: dict[Head, float]
    value: dict[Head, float]

    def relative(self, heads: Sequence[Head]) -> float:
        """Sum of |dz| over sum of |z|."""
        return sum(self.change[head] for head in heads) / max(sum(self.value[head] for head in heads), 1e-30)


@dataclass(frozen=True, eq=False)
class Responses:
    """How far heads follow what senders send, per pair: `explained` is <dz, dz_full>, `extent` is |dz_full|^2.

    Both are summed over the positions that are not padding. dz is the change of a head's `z` when it sees the senders'
    corrupt values, dz_full the change between the clean and the corrupt run. A head's response is the ratio of their
    sums over pairs.
    """

    heads: tuple[Head, ...]
    explained: Float[np.ndarray, "pair head"]
    extent: Float[np.ndarray, "pair head"]


@dataclass(frozen=True, eq=False)
class PairRuns:
    """Encoded pairs with the settings of their runs; all measurements share the clean and corrupt values.

    `receivers` are the heads that paths may end in.
    """

    model: HookedModel
    encoded: EncodedPairs
    groups: ClassGroups | None
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
        """Encode the pairs. `receivers` are the heads that paths may end in (None: all heads of the model).

        Raises `AlignmentError` and `DataError` for pairs that cannot be encoded, and `LabelError` for labels that the
        model lacks.
        """
        model = at_one_word(model)
        groups = scoring_groups(model.labels, pairs)
        encoded = encode_pairs(model, pairs, batch_size)
        heads = [item for item in model.components if isinstance(item, Head)] if receivers is None else receivers
        return cls(model, encoded, groups, path_metric(metric), tuple(interventions), batch_size, tuple(heads))

    @torch.no_grad()
    def head_sizes(self) -> HeadSizes:
        """The sizes of all heads, from the clean and corrupt values that paths start from: no further passes."""
        shape = (self.model.n_layers, self.model.n_heads)
        change, value = torch.zeros(shape, dtype=torch.float64), torch.zeros(shape, dtype=torch.float64)
        n = 0
        for part in self._sweep.parts:
            paths = self._sweep.state(part).paths
            mask = part.clean.attention_mask[:, :, None].to(self.model.device)
            n += int(mask.sum())
            for layer in range(self.model.n_layers):
                clean, corrupt = (side[Site(layer, "z")] for side in (paths.clean, paths.corrupt))
                change[layer] += ((corrupt - clean).norm(dim=-1) * mask).sum((0, 1)).double().cpu()
                value[layer] += (clean.norm(dim=-1) * mask).sum((0, 1)).double().cpu()
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
    ) -> JointEffects:
        """The effects of `paths`, and of setting each group of heads in `nodes` to its corrupt values at once.

        The engine is the one that `path_effects` would use. `source` replaces the pairs' corrupt values. Raises
        `InterventionError` for a receiver whose value a `PatchPath` among the interventions fixes.
        """
        check_free(dict.fromkeys(head for path in paths for head in path.receivers), self.interventions)
        n = len(self.encoded)
        result = JointEffects(np.zeros((n, len(paths))), np.zeros((n, len(nodes))), np.full(n, np.nan), np.zeros(n))
        sweep = self._sweep if source is None else self._sweep_of(source, self._sweep)
        work = [(route, [i for i, path in enumerate(paths) if path.route == route]) for route in ROUTES]
        work = [(route, columns) for route, columns in work if columns] or [("direct", [])]
        with stage(description, len(sweep.parts) * (len(paths) + len(nodes))) as progress:
            for number, (route, columns) in enumerate(work):
                rows = [Row(paths[i].senders, paths[i].receivers, INPUTS) for i in columns]
                # As rows of sender `embed`, since all heads are downstream of it; measured once, with the first route.
                node_rows = [] if number else [Row((EMBED,), heads, INPUTS) for heads in nodes]
                route_sweep = replace(sweep, rows=(*rows, *node_rows), route=route)
                for part in route_sweep.parts:
                    # With a source other than the pairs node effects are measured here too.
                    state = replace(sweep.state(part), by_pair=True)
                    engine = route_sweep.engine(state)
                    pairs = part.index.numpy()
                    result.total[pairs] = state.total.double().cpu().numpy()
                    result.clean[pairs] = state.clean_score.double().cpu().numpy()
                    for index, values in engine.measure(range(len(rows)), nodes=False):
                        result.paths[pairs, columns[index]] = values["effects"].double().cpu().numpy()
                        progress.advance()
                    for index, effect in engine.node_effects(range(len(rows), len(route_sweep.rows))).items():
                        result.nodes[pairs, index - len(rows)] = effect.double().cpu().numpy()
                        progress.advance()
        return result

    @torch.no_grad()
    def responses(self, senders: Sequence[Component], heads: Sequence[Head], route: str) -> Responses:
        """The response of each head alone to all senders at once, through q, k and v; step 3 is not needed for it."""
        check_free(heads, self.interventions)
        rows = tuple(Row(tuple(senders), (head,), INPUTS) for head in heads)
        found = Responses(tuple(heads), *(np.zeros((len(self.encoded), len(heads))) for _ in range(2)))
        sweep = replace(self._sweep, rows=rows, route=route)
        with stage(f"responses, route {route}", len(sweep.parts)) as progress:
            for part in sweep.parts:
                engine = sweep.engine(replace(sweep.state(part), by_pair=True))
                pairs = part.index.numpy()
                for column, values in engine.measure(range(len(rows)), nodes=False, effects=False):
                    found.explained[pairs, column] = values["explained"].double().cpu().numpy()
                    found.extent[pairs, column] = values["extent"].double().cpu().numpy()
                progress.advance()
        return found

    @cached_property
    def _sweep(self) -> Sweep:
        return self._sweep_of("pair")

    def _sweep_of(self, corruption: Source | str, shared: Sweep | None = None) -> Sweep:
        return Sweep(
            self.model, self.encoded, (), corruption, self.interventions, self.metric, self.groups, "direct",
            self.batch_size, MEMORY_MIB, shared, self.receivers,
        )  # fmt: skip
