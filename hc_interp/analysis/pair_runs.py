"""Many joint path effects on one set of pairs, a batch at a time: clean and corrupt values are shared by all paths."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from hc_interp.components import Component, Head
from hc_interp.data.align import EncodedPairs, PairBatch, encode_pairs
from hc_interp.data.contrast import ContrastPairs
from hc_interp.data.labels import resolve_groups
from hc_interp.interventions.paths import PathBatch
from hc_interp.interventions.sources import Source
from hc_interp.metrics import Groups, Metric, path_metric
from hc_interp.models.hooked import HookedModel, Intervention
from hc_interp.models.site import Site
from hc_interp.progress import stage


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
    (NaN when the values come from another source than the pairs).
    """

    paths: Float[np.ndarray, "pair path"]
    nodes: Float[np.ndarray, "pair node"]
    total: Float[np.ndarray, " pair"]


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
    """Encoded pairs with all that a run on them needs."""

    model: HookedModel
    encoded: EncodedPairs
    groups: Groups
    metric: Metric
    interventions: Sequence[Intervention]

    @classmethod
    def of(
        cls,
        model: HookedModel,
        pairs: ContrastPairs,
        metric: str | Metric,
        interventions: Sequence[Intervention],
        batch_size: int,
    ) -> "PairRuns":
        """Raises `AlignmentError` and `DataError` for pairs that cannot be encoded, `LabelError` for foreign labels."""
        groups = resolve_groups(model.labels, pairs)
        return cls(model, encode_pairs(model, pairs, batch_size), groups, path_metric(metric), interventions)

    @torch.no_grad()
    def head_sizes(self) -> HeadSizes:
        """Two passes per batch."""
        sites = [Site(layer, "z") for layer in range(self.model.n_layers)]
        shape = (self.model.n_layers, self.model.n_heads)
        change, value = torch.zeros(shape, dtype=torch.float64), torch.zeros(shape, dtype=torch.float64)
        n = 0
        for part in self.encoded.batches:
            clean = self.model.run(part.clean, self.interventions, capture=sites).captured
            corrupt = self.model.run(part.corrupt, self.interventions, capture=sites).captured
            seen = part.clean.attention_mask[:, :, None]
            n += int(seen.sum())
            for layer, site in enumerate(sites):
                change[layer] += ((corrupt[site] - clean[site]).norm(dim=-1) * seen).sum((0, 1)).double().cpu()
                value[layer] += (clean[site].norm(dim=-1) * seen).sum((0, 1)).double().cpu()
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
        """Effects of `paths` (two passes each, the first ends at the last receiver) and of whole `nodes` (one each).

        `source` replaces the pairs' corrupt values.
        """
        n = len(self.encoded)
        found = Measured(np.zeros((n, len(paths))), np.zeros((n, len(nodes))), np.full(n, np.nan))
        receivers = {head for path in paths for head in path.receivers}
        with stage(description, len(self.encoded.batches) * (len(paths) + len(nodes))) as progress:
            for part in self.encoded.batches:
                other = part.corrupt if source is None else source
                runs = PathBatch.of(self.model, part.clean, other, receivers, self.interventions)
                clean = self._score(runs.clean_logits, part)
                rows = part.index.numpy()
                if runs.corrupt_logits is not None:
                    found.total[rows] = self._score(runs.corrupt_logits, part) - clean
                for place, heads in enumerate(nodes):
                    run = runs.step_three(runs.corrupt_values(heads))
                    found.nodes[rows, place] = self._score(run.logits, part) - clean
                    progress.advance()
                for place, path in enumerate(paths):
                    arrival = runs.step_one(path.senders, path.receivers, path.route)
                    values = runs.step_two(arrival, path.receivers, ("q", "k", "v"))
                    found.paths[rows, place] = self._score(runs.step_three(values).logits, part) - clean
                    progress.advance()
        return found

    def _score(self, logits: Tensor, part: PairBatch) -> Float[np.ndarray, " batch"]:
        return self.metric(logits, part.gold, self.groups).double().cpu().numpy()
