"""`hc.path_effects`: the effect of every path from senders into receivers, exactly by the definition."""

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import torch

from hc_interp.data.align import encode_pairs
from hc_interp.data.contrast import ContrastPairs
from hc_interp.data.labels import resolve_groups
from hc_interp.errors import DataError
from hc_interp.interventions.paths import INPUTS, check_ends_exist, check_free, check_path
from hc_interp.interventions.sources import Source, check_source
from hc_interp.metrics import Metric, path_metric
from hc_interp.models.hooked import HookedModel, Intervention
from hc_interp.patching.effects import PathEffects, empty
from hc_interp.patching.rows import rows_of
from hc_interp.patching.sweep import Sweep
from hc_interp.progress import stage
from hc_interp.provenance import provenance


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
    memory_mib: int = 1024,
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
    rows = rows_of(senders, receivers, through, joint)
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
    sweep = Sweep(
        model, encoded, rows, corruption, interventions, measure, groups, route, batch_size, memory_mib
    )
    n = len(encoded)
    arrays = {name: empty(n, len(rows)) for name in ("effects", "node", "explained", "extent")}
    total = empty(n, 1)[:, 0]
    with stage("path patching", len(rows) * len(sweep.parts)) as progress:
        for part in sweep.parts:
            ground, index = sweep.ground(part), part.index.cpu()
            total[index] = ground.total.double().cpu()
            for place, measured in sweep.engine(ground).measure():
                for name, values in measured.items():
                    arrays[name][index, place] = values.double().cpu()
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


def _check_pairs(pairs: Any) -> None:
    if not isinstance(pairs, ContrastPairs):
        raise DataError(
            f"path_effects was given {type(pairs).__name__} as its pairs; expected ContrastPairs, whose two sides "
            "a path is patched between. Pass task.contrast_pairs(case, kind, split='test'), or hc.ContrastPairs(clean, "
            "corrupt, gold=...)."
        )
