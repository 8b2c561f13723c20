"""`hc.path_effects`: the effect of every path from senders into receivers, exactly by the definition or estimated."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch

from hc_interp.data.align import encode_pairs
from hc_interp.data.contrast import ContrastPairs
from hc_interp.data.labels import resolve_groups
from hc_interp.errors import DataError, HCError
from hc_interp.interventions.path_steps import INPUTS
from hc_interp.interventions.paths import check_ends_exist, check_free, check_path
from hc_interp.interventions.sources import Source, check_source
from hc_interp.metrics import Metric, path_metric
from hc_interp.models.hooked import HookedModel, Intervention
from hc_interp.models.precision import dtype_name, warn_below_float32
from hc_interp.patching.effects import PathEffects
from hc_interp.patching.measure import check_method, estimate, measure_auto, measure_exact
from hc_interp.patching.rows import rows_of
from hc_interp.patching.shards import Kept, shard_places
from hc_interp.patching.sweep import Sweep
from hc_interp.records.digest import digest
from hc_interp.records.provenance import provenance
from hc_interp.torch_modes import own_torch_modes


@own_torch_modes
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
    method: str = "exact",
    joint: bool = False,
    interventions: Iterable[Intervention] = (),
    top: float = 0.05,
    ig_steps: int = 1,
    batch_size: int = 64,
    memory_mib: int = 1024,
    resume: str | Path | None = None,
    shard: str | None = None,
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
    them that acts as one. "heads" and "mlps" name all of the model's, each one an item. `through` is some of q, k, v,
    patched together (`("q", "k")` or `"qk"`), or `"each"`: a row per input; an MLP and `output` have one, "in".
    `joint=True` patches all senders into all receivers at once, in one row. Corrupt values are the pairs' other sides,
    or another source's (`corruption=`), for which shares are not defined. `metric` is "logit_diff", "prob_diff" or a
    function `(logits, gold, groups) -> [batch]`.

    `method="exact"` measures every path. `"attribution"` estimates every path to first order from one backward pass
    (EAP): hundreds of times cheaper, of direct paths only, and wrong where the effect is not small. `ig_steps` above 1
    averages the estimates of as many runs, whose inputs move from near corrupt to clean in equal steps (EAP-IG; Hanna
    et al. 2024, arXiv 2403.17806): see `patching/estimate/attribution.py`. `"auto"` estimates all and then measures
    those exactly that may be among the `top` share of largest |effect|. `to_frame()["method"]` says of each row which
    it is; an estimated row has no response and no node share.

    Pairs run at most `batch_size` at a time, pairs of equal length together, and as many paths at a time as
    `memory_mib` allows (working memory; as much again may hold values of the clean and corrupt runs). The number of
    paths does not change it.
    `resume=folder` keeps finished blocks of an exact sweep there and reads them back when the same call is made again.
    `shard="i/N"` measures the i-th of N parts of the rows; `PathEffects.join` puts the parts together.

    All runs are made under `interventions`. A sender or receiver that these remove (Ablate, Keep) carries nothing: its
    effect is 0 by definition, as it is where the receiver is not downstream. After Wang et al. 2023 (arXiv 2211.00593)
    and Goldowsky-Dill et al. 2023 (arXiv 2304.05969).

    Raises `DataError` for what are no pairs, `AlignmentError` for unaligned ones, `LabelError` for labels that are not
    the model's, `ComponentError` for components that it lacks, `InterventionError` for no senders or receivers, a
    path that cannot be, and a receiver that a PatchPath among `interventions` holds already, `ResultError` for a resume
    folder of another sweep, and `HCError` for a method, number of steps, shard or memory bound that cannot be.
    Warns (`HCWarning`) of a model below float32, whose rounding is not small against effects.
    """
    _check_pairs(pairs)
    warn_below_float32(model.dtype, model.name, "path_effects")
    rows = rows_of(senders, receivers, through, joint, model.components)
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
    sweep = Sweep(model, encoded, rows, corruption, interventions, measure, groups, route, batch_size, memory_mib)
    check_method(method, sweep, ig_steps)
    places, kept = _pieces(sweep, pairs, method, resume, shard, joint)
    if method == "exact":
        found = measure_exact(sweep, places, kept)
    else:
        sweep = replace(sweep, rows=[rows[place] for place in places])
        if method == "attribution":
            found = estimate(sweep, sweep.parts, ig_steps)
        else:
            found = measure_auto(sweep, top, ig_steps, seed)
    chosen = torch.tensor(places) if method == "exact" else torch.arange(len(places))
    settings = {"route": route, "corruption": corruption, "joint": joint, "interventions": interventions}
    settings |= {} if method == "exact" else {"ig_steps": ig_steps}
    return PathEffects(
        rows=tuple(rows[place].name for place in places),
        downstream=tuple(bool(rows[place].active) for place in places),
        **{name: values[:, chosen] for name, values in found.arrays.items()},
        total=found.total,
        sources=encoded.sources,
        ids=encoded.kept_ids,
        route=route,
        metric=metric if isinstance(metric, str) else getattr(metric, "__name__", "custom"),
        level=level,
        seed=seed,
        dropped=encoded.dropped,
        provenance=provenance(model, pairs.fingerprint(), **settings),
        methods=tuple("exact" if found.exact[i] else "estimate" for i in chosen.tolist()),
        part=() if shard is None else (len(rows), places),
        dtype=dtype_name(model.dtype),
    )


def _pieces(
    sweep: Sweep, pairs: ContrastPairs, method: str, resume: str | Path | None, shard: str | None, joint: bool
) -> tuple[tuple[int, ...], Kept | None]:
    """The rows of this shard, and where finished blocks are kept. Raises `HCError` for a method without pieces."""
    places = shard_places(shard, sweep.rows)
    if method == "auto" and shard is not None:
        raise HCError(
            f"method='auto' with shard={shard!r}: it ranks all paths against each other, which a part cannot. Leave "
            "shard out, or use method='exact', whose parts PathEffects.join puts together."
        )
    if resume is None:
        return places, None
    if method != "exact":
        raise HCError(f"method={method!r} cannot resume: only exact sweeps are kept in blocks. Leave resume out.")
    what = (sweep.corruption, sweep.interventions, sweep.metric, sweep.groups, sweep.route, sweep.batch_size, joint)
    rows = [row.name for row in sweep.rows]
    settings = digest(sweep.model, pairs, sweep.encoded.kept_ids, sweep.model.backend_name, rows, *what)
    kept = Kept(Path(resume), settings)
    kept.check()
    return places, kept


def _check_pairs(pairs: Any) -> None:
    if not isinstance(pairs, ContrastPairs):
        raise DataError(
            f"path_effects was given {type(pairs).__name__} as its pairs; expected ContrastPairs, whose two sides "
            "a path is patched between. Pass task.contrast_pairs(case, kind, split='test'), or hc.ContrastPairs(clean, "
            "corrupt, gold=...)."
        )
