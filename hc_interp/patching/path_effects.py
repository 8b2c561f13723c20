"""`hc.path_effects`: the effect of every path from senders into receivers, exactly by the definition."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from hc_interp.components import OUTPUT, Head, Subnetwork, components, is_upstream
from hc_interp.data.align import PairBatch, encode_pairs
from hc_interp.data.contrast import ContrastPairs
from hc_interp.data.labels import resolve_groups
from hc_interp.interventions.paths import INPUTS, PathBatch, check_path
from hc_interp.interventions.sources import Source, check_source
from hc_interp.metrics import Groups, Metric, path_metric
from hc_interp.models.hooked import HookedModel, Intervention
from hc_interp.patching.effects import PathEffects, empty, label
from hc_interp.progress import stage
from hc_interp.provenance import provenance

Members = tuple[Any, ...]


@dataclass(frozen=True)
class Row:
    """One path to be measured."""

    senders: Members
    receivers: Members
    through: tuple[str, ...]

    @property
    def active(self) -> Members:
        """The receivers that are downstream of some sender; the others cannot change."""
        return tuple(r for r in self.receivers if any(is_upstream(s, r) and s != r for s in self.senders))

    @property
    def name(self) -> tuple[str, str, str]:
        heads = any(isinstance(item, Head) for item in self.receivers)
        return label(self.senders), label(self.receivers), "".join(self.through) if heads else "in"


@torch.no_grad()
def path_effects(
    model: HookedModel,
    pairs: ContrastPairs,
    senders: Iterable[Any],
    receivers: Iterable[Any],
    through: Sequence[str] | Literal["each"] = INPUTS,
    *,
    route: str = "direct",
    corruption: Source | Literal["pair"] = "pair",
    metric: str | Metric = "logit_diff",
    joint: bool = False,
    interventions: Sequence[Intervention] = (),
    batch_size: int = 64,
    level: float = 0.95,
    seed: int = 0,
) -> PathEffects:
    """Patch the paths from `senders` into `receivers` and measure what the output does.

    An item of either list is a component or a tuple of components that acts as one. `through` names the inputs of
    receiving heads that are patched together; `"each"` gives a row per input. `joint=True` patches all senders into
    all receivers at once, in one row. `route` says what may carry the change to the receiver: nothing but the residual
    stream and LayerNorms (`"direct"`), MLPs too (`"mlps"`), or every head and MLP (`"all"`). The corrupt values are the
    pairs' other sides, or another source's (`corruption=`); then shares are not defined. All runs are made under
    `interventions`.

    Definition: DESIGN, Definitions; after Wang et al. 2023 (arXiv 2211.00593) and Goldowsky-Dill et al. 2023
    (arXiv 2304.05969). Raises `AlignmentError`, `ComponentError`, `InterventionError`.
    """
    rows = _rows(senders, receivers, through, joint)
    for row in rows:
        check_path(model, row.senders, row.receivers, row.through, route)
    if corruption != "pair":
        check_source(corruption, model)
    measure = path_metric(metric)
    encoded = encode_pairs(model, pairs, batch_size)
    groups = resolve_groups(model.labels, pairs)
    n = len(encoded)
    arrays = {name: empty(n, len(rows)) for name in ("effects", "node", "explained", "extent")}
    total = torch.full((n,), float("nan"), dtype=torch.float64)
    with stage("path patching", len(rows) * len(encoded.batches)) as progress:
        for part in encoded.batches:
            sweep = Sweep.of(model, part, corruption, rows, interventions, measure, groups, route)
            total[part.index] = sweep.total.double().cpu()
            for place, row in enumerate(rows):
                for name, values in sweep.measure_row(row).items():
                    arrays[name][part.index, place] = values.double().cpu()
                progress.advance()
    return PathEffects(
        rows=tuple(row.name for row in rows),
        downstream=tuple(bool(row.active) for row in rows),
        **arrays,
        total=total,
        sources=encoded.sources,
        ids=encoded.kept_ids,
        route=route,
        metric=metric if isinstance(metric, str) else getattr(metric, "__name__", "custom"),
        level=level,
        seed=seed,
        dropped=encoded.dropped,
        provenance=provenance(
            model,
            pairs.fingerprint(),
            route=route,
            corruption=corruption,
            joint=joint,
            interventions=list(interventions),
        ),
    )


@dataclass
class Sweep:
    """All paths on one batch of pairs. What several paths share (step 1, node effects) is computed once."""

    paths: PathBatch
    gold: Tensor
    groups: Groups
    metric: Metric
    route: str
    clean_score: Float[Tensor, " batch"]
    total: Float[Tensor, " batch"]
    by_pair: bool
    rows: Sequence[Row]
    _arrived: tuple[Members, Any] | None = None
    _node: dict[Members, Tensor] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        model: HookedModel,
        part: PairBatch,
        corruption: Any,
        rows: Sequence[Row],
        interventions: Sequence[Intervention],
        metric: Metric,
        groups: Groups,
        route: str,
    ) -> "Sweep":
        receivers = {item for row in rows for item in row.receivers}
        by_pair = isinstance(corruption, str)
        source = part.corrupt if by_pair else corruption
        paths = PathBatch.of(model, part.clean, source, receivers, interventions)
        clean = metric(paths.clean_logits, part.gold, groups)
        total = torch.full_like(clean, float("nan"))
        if paths.corrupt_logits is not None:
            total = metric(paths.corrupt_logits, part.gold, groups) - clean
        return cls(paths, part.gold, groups, metric, route, clean, total, by_pair, rows)

    def measure_row(self, row: Row) -> dict[str, Float[Tensor, " batch"]]:
        """Effect, node effect and the two sums of the response, per pair."""
        zero = torch.zeros_like(self.clean_score)
        node = self.node_effect(row.active)
        extent = sum(
            (self._dot(self._full_change(r), self._full_change(r)) for r in row.receivers if r != OUTPUT), zero
        )
        if not row.active:
            return {"effects": zero, "node": node, "explained": zero, "extent": extent}
        arrival = self._arrive(row.senders)
        if row.receivers == (OUTPUT,):
            effect = self._score(arrival.logits) - self.clean_score
            return {
                "effects": effect,
                "node": self.total,
                "explained": zero * float("nan"),
                "extent": zero * float("nan"),
            }
        values = self.paths.step_two(arrival, row.active, row.through)
        changes = {item: value - self.paths.clean_value(item) for item, value in values.items()}
        explained = sum((self._dot(change, self._full_change(item)) for item, change in changes.items()), zero)
        effect = self._score(self.paths.step_three(values).logits) - self.clean_score
        return {"effects": effect, "node": node, "explained": explained, "extent": extent}

    def node_effect(self, receivers: Members) -> Float[Tensor, " batch"]:
        """Effect of setting all these receivers to their corrupt values at once; 0 for none."""
        if receivers not in self._node:
            if not receivers:
                effect = torch.zeros_like(self.clean_score)
            elif not self.by_pair:
                effect = torch.full_like(self.clean_score, float("nan"))
            elif OUTPUT in receivers:
                effect = self.total
            else:
                run = self.paths.step_three(self.paths.corrupt_values(receivers))
                effect = self._score(run.logits) - self.clean_score
            self._node[receivers] = effect
        return self._node[receivers]

    def _arrive(self, senders: Members) -> Any:
        """Step 1 of these senders, for all receivers that any row pairs them with; kept while rows ask for it."""
        if self._arrived is None or self._arrived[0] != senders:
            receivers = dict.fromkeys(item for row in self.rows if row.senders == senders for item in row.active)
            self._arrived = senders, self.paths.step_one(senders, tuple(receivers), self.route)
        return self._arrived[1]

    def _full_change(self, item: Any) -> Tensor:
        return self.paths.corrupt_values((item,))[item] - self.paths.clean_value(item)

    def _dot(self, left: Tensor, right: Tensor) -> Float[Tensor, " batch"]:
        seen = self.paths.batch.attention_mask[:, :, None]
        return (left * right * seen).sum((1, 2))

    def _score(self, logits: Tensor) -> Float[Tensor, " batch"]:
        return self.metric(logits, self.gold, self.groups)


def _rows(senders: Iterable[Any], receivers: Iterable[Any], through: Any, joint: bool) -> list[Row]:
    sending, receiving = _members(senders), _members(receivers)
    if joint:
        sending = [tuple(dict.fromkeys(item for group in sending for item in group))]
        receiving = [tuple(dict.fromkeys(item for group in receiving for item in group))]
    rows = []
    for group in sending:
        for receiver in receiving:
            heads = any(isinstance(item, Head) for item in receiver)
            splits = (
                [(name,) for name in INPUTS]
                if through == "each" and heads
                else [INPUTS if through == "each" else through]
            )
            rows.extend(Row(group, receiver, tuple(split)) for split in splits)
    return rows


def _members(items: Any) -> list[Members]:
    """Each item as a tuple of components; a subnetwork or a single name is read as its components."""
    if isinstance(items, Subnetwork) or not isinstance(items, Iterable) or isinstance(items, str):
        return [(item,) for item in components(items)]
    return [components(item) for item in items]
