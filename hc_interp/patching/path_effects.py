"""`hc.path_effects`: the effect of every path from senders into receivers, exactly by the definition."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from hc_interp.components import OUTPUT, Head, Subnetwork, heads_of, is_upstream
from hc_interp.data.align import PairBatch, encode_pairs
from hc_interp.data.contrast import ContrastPairs
from hc_interp.data.labels import resolve_groups
from hc_interp.errors import DataError, InterventionError
from hc_interp.interventions.paths import (
    INPUTS,
    PathBatch,
    check_ends_exist,
    check_free,
    check_path,
    path_ends,
    path_inputs,
)
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
    senders: Any,
    receivers: Any,
    through: Sequence[str] = INPUTS,
    *,
    route: str = "direct",
    corruption: Source | Literal["pair"] = "pair",
    metric: str | Metric = "logit_diff",
    joint: bool = False,
    interventions: Iterable[Intervention] = (),
    batch_size: int = 64,
    level: float = 0.95,
    seed: int = 0,
) -> PathEffects:
    """Patch the paths from `senders` into `receivers` and measure what the output does.

    For each sender and receiver, on pairs (clean, corrupt) of the same layout:

    1. In a clean run the sender takes its corrupt value (a head its `z`, an MLP its output, `embed` the input of layer
       0), and the change runs down to the receiver by the `route`: `"direct"`, the residual stream alone (all other
       heads and MLPs are held at clean); `"mlps"`, MLPs on the way recompute too (Wang et al. 2023); `"all"`, every
       head and MLP on the way does. LayerNorms are always recomputed exactly.
    2. The receiver computes its `z` (an MLP its output) from what arrives at the inputs named in `through`, and from
       clean values at its other inputs.
    3. The clean run is made again with the receiver holding that value; everything after it follows.

    The effect is `metric(step 3) - metric(clean)`. Every run is scored with the clean side's gold label, so a path that
    carries what tells the sides apart takes the answer away: effects and totals are usually negative, shares positive.
    `PathEffects.to_frame` has the effects on three scales.

    `senders` and `receivers` are results that have `.heads`, or lists; an item is a component, a name, or a tuple of
    them that acts as one. `through` is some of q, k, v, patched together (`("q", "k")` or `"qk"`), or `"each"`: a row
    per input; an MLP and `output` have one, "in". `joint=True` patches all senders into all receivers at once, in one
    row. Corrupt values are the pairs' other sides, or another source's (`corruption=`), for which shares are not
    defined. `metric` is "logit_diff", "prob_diff" or a function `(logits, gold, groups) -> [batch]`.

    All runs are made under `interventions`. A sender or receiver that these remove (Ablate, Keep) carries nothing: its
    effect is 0 by definition, as it is where the receiver is not downstream. After Wang et al. 2023 (arXiv 2211.00593)
    and Goldowsky-Dill et al. 2023 (arXiv 2304.05969).

    Raises `DataError` for what are no pairs, `AlignmentError` for unaligned ones, `LabelError` for labels that are not
    the model's, `ComponentError` for components that it lacks, and `InterventionError` for no senders or receivers, a
    path that cannot be, and a receiver that a PatchPath among `interventions` holds already.
    """
    _check_pairs(pairs)
    rows = _rows(senders, receivers, through, joint)
    for row in rows:
        check_path(row.senders, row.receivers, route)
        check_ends_exist(model, (*row.senders, *row.receivers))
    interventions = model.check_interventions(interventions)
    check_free(dict.fromkeys(item for row in rows for item in row.receivers), interventions)
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
            interventions=interventions,
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


def _check_pairs(pairs: Any) -> None:
    if not isinstance(pairs, ContrastPairs):
        raise DataError(
            f"path_effects was given {type(pairs).__name__} as its pairs; expected ContrastPairs, whose two sides "
            "a path is patched between. Pass task.contrast_pairs(case, kind, split='test'), or hc.ContrastPairs(clean, "
            "corrupt, gold=...)."
        )


def _rows(senders: Any, receivers: Any, through: Any, joint: bool) -> list[Row]:
    sending, receiving = _members(senders, "senders"), _members(receivers, "receivers")
    each = isinstance(through, str) and through == "each"
    together = INPUTS if each else path_inputs(through, [item for group in receiving for item in group])
    if joint:
        sending = [tuple(dict.fromkeys(item for group in sending for item in group))]
        receiving = [tuple(dict.fromkeys(item for group in receiving for item in group))]
    rows = []
    for group in sending:
        for receiver in receiving:
            heads = any(isinstance(item, Head) for item in receiver)
            splits = [(name,) for name in INPUTS] if each and heads else [together]
            rows.extend(Row(group, receiver, split) for split in splits)
    return rows


def _members(given: Any, role: str) -> list[Members]:
    """Each item as a tuple of components; a subnetwork is read as its components, another result as its heads."""
    items = given if isinstance(given, Subnetwork) else heads_of(given)
    if isinstance(items, str) or not isinstance(items, Iterable):
        items = (items,)
    found = [path_ends(item) for item in items]
    if not found:
        raise InterventionError(
            f"path_effects was given no {role} ({given!r}); a path needs at least one. Pass heads, like ['L3H7'], or a "
            "result that has some (core.heads, gen.heads)."
        )
    return found
