"""`hc.path_effects`: the effect of each path from senders into receivers, measured exactly or estimated."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch

from hc_interp.data.align import EncodedPairs, encode_pairs
from hc_interp.data.contrast import ContrastPairs
from hc_interp.data.labels import scoring_groups
from hc_interp.data.roles import check_roles, roles_everywhere
from hc_interp.errors import DataError, HCError, warn
from hc_interp.interventions.path_steps import INPUTS
from hc_interp.interventions.paths import check_ends_exist, check_free, check_path
from hc_interp.interventions.sources import Source, check_source
from hc_interp.metrics import PATH_METRICS, Metric, path_metric
from hc_interp.models.hooked import HookedModel, Intervention
from hc_interp.models.one_word import at_one_word
from hc_interp.models.precision import dtype_name, warn_below_float32
from hc_interp.patching.blocks import measure_exact
from hc_interp.patching.effects import PathEffects
from hc_interp.patching.measure import check_method, estimate, measure_auto
from hc_interp.patching.rows import EndGroups, Places, Row, at_places, places_of, rows_of
from hc_interp.patching.shards import BlockStore, shard_rows
from hc_interp.patching.sweep import Sweep
from hc_interp.records.digest import digest
from hc_interp.records.pieces import Executor, Runner
from hc_interp.records.provenance import provenance
from hc_interp.torch_modes import own_torch_modes

Positions = Literal["roles"] | Sequence[str] | Sequence[tuple[str | None, str | None]] | None


@own_torch_modes
@torch.no_grad()
def path_effects(
    model: HookedModel,
    pairs: ContrastPairs,
    senders: EndGroups,
    receivers: EndGroups,
    through: Sequence[str] = INPUTS,
    *,
    route: str = "direct",
    corruption: Source | Literal["pair"] = "pair",
    metric: str | Metric = "logit_diff",
    method: str = "exact",
    joint: bool = False,
    positions: Positions = None,
    interventions: Iterable[Intervention] = (),
    top: float = 0.05,
    ig_steps: int = 1,
    batch_size: int = 64,
    memory_mib: int = 1024,
    resume: str | Path | None = None,
    shard: str | None = None,
    executor: Executor | None = None,
    threads: int = 1,
    level: float = 0.95,
    seed: int = 0,
) -> PathEffects:
    """Patch the paths from `senders` into `receivers` and measure the effect on the model's output.

    For each sender and receiver, on pairs (clean, corrupt) of the same layout:

    1. In a clean run the sender takes its corrupt value (a head its `z`, an MLP its output, `embed` the input of layer
       0). The change reaches the receiver by the `route`: `"direct"` through the residual stream alone (all other
       heads and MLPs are frozen at clean), `"mlps"` through MLPs in between too (Wang et al. 2023), `"all"` through
       all heads and MLPs in between. LayerNorms are always recomputed exactly.
    2. The receiver computes its `z` (an MLP its output) from the values of step 1 at the inputs named in `through`,
       and from clean values at its other inputs.
    3. The clean run is made again with the receiver holding its value of step 2. Everything after it is recomputed.

    The effect is `metric(step 3) - metric(clean)`. Every run is scored with the clean side's gold label, or, for a
    language model without label words, with the clean side's answer and foil at the position that is read. A path that
    carries the difference between the sides therefore lowers the score: effects and totals are usually negative, and
    shares, their ratios, positive. `PathEffects.to_frame` has the effects on three scales.

    - `senders`, `receivers`: results that have `.heads`, or lists. An item is a component, a name, or a tuple of
      components that are patched as one. "heads" and "mlps" name all heads and all MLPs of the model, each an item.
    - `through`: some of q, k, v, patched together (`("q", "k")` or `"qk"`), or `"each"` for a row per input. An MLP and
      `output` have one input, "in".
    - `joint=True` patches all senders into all receivers at once, in one row.
    - `positions`: where senders and receivers stand. `"roles"` gives a row for each pair of roles that all pairs have:
      what travels from which span of the text to which. `["subject", "last"]` gives one for each pair of these roles,
      and `[("subject", "last"), (None, "last")]` one for each pair of the sender's role and the receiver's (None: all
      positions). Without it, single ends may stand at roles, `hc.Head(2, 9).at("subject")` or "L2H9@subject". A sender
      at a role is corrupt there alone, a receiver at a role keeps its value of step 2 there alone, and its node effect,
      response and extent are those of its value there. Positions are those of the clean sides, which are aligned with
      the corrupt ones. `output` has no role. `hc_interp.data.roles` says which roles there are.
    - `corruption`: the source of the corrupt values, by default the pairs' corrupt sides. Shares are not defined for
      other sources.
    - `metric`: "logit_diff", "prob_diff" or a function `(logits, rows) -> [batch]`. `rows` (`MetricRows`) has gold,
      groups, answer, foil, ids, and index: the numbers of these rows in `pairs`, in whatever order they are run.
    - `interventions`: all runs are made under them. A sender or receiver that they remove (Ablate, Keep) has effect 0,
      as has a receiver that is not downstream of the sender.
    - `method`: `"exact"` measures every path. `"attribution"` estimates every path to first order from one backward
      pass (EAP): hundreds of times cheaper, for direct paths only, and wrong where the effect is not small. `"auto"`
      estimates all paths and then measures exactly those that may be among the `top` share of largest |effect|.
      `to_frame()["method"]` says which rows are estimates; these have no response and no node share.
    - `ig_steps` above 1 averages the estimates of as many runs, whose inputs move from near corrupt to clean in equal
      steps (EAP-IG; Hanna et al. 2024, arXiv 2403.17806): see `patching/estimate/attribution.py`.
    - `batch_size`: how many pairs run at a time; pairs of equal length run together.
    - `memory_mib`: a bound in MiB on working memory. It sets how many paths run at a time, whatever their number. As
      much memory again may hold the values of the clean and corrupt runs.
    - `resume`: a folder for the finished blocks of an exact sweep. The same call reads them back.
    - `executor`: an object with `submit(fn, *args)`, whose workers measure the blocks of an exact sweep (`hc.spread`);
      `threads`: of each block, also without an executor.
    - `shard="i/N"` measures the i-th of N parts of the rows. `PathEffects.join` puts the parts together.
    - `level`: the level of the intervals; `seed`: the seed of resampling and of the pilot pairs of `"auto"`.

    Sources: Wang et al. 2023 (arXiv 2211.00593), Goldowsky-Dill et al. 2023 (arXiv 2304.05969).

    Raises `DataError` for an object that is no `ContrastPairs`, `AlignmentError` for unaligned pairs, `LabelError` for
    labels that the model lacks, for missing answers and for answers of several tokens, `ComponentError` for components
    that it lacks, `InterventionError` without senders or receivers, for an impossible path and for a receiver whose
    value a PatchPath among `interventions` fixes, `ResultError` for a resume folder of another sweep, and `HCError` for
    a metric of other arguments, an impossible method, number of steps, shard, memory bound or executor. `DataError`
    names a pair that lacks a role. Warns (`HCWarning`) of a model below float32, whose rounding errors are not small
    against effects, and of roles that `"roles"` leaves out because some pairs lack them.
    """
    _check_pairs(pairs)
    runner = Runner.of(executor, threads, resume)
    resume = runner.folder
    model = at_one_word(model)
    warn_below_float32(model.dtype, model.name, "path_effects")
    rows = rows_of(senders, receivers, through, joint, model.components, parallel=model.geometry.parallel)
    places = None if positions is None else places_of(positions)
    for row in rows:
        check_path(row.senders, row.receivers, route)
        check_ends_exist(model, (*row.senders, *row.receivers))
    interventions = model.check_interventions(interventions)
    check_free(dict.fromkeys(item for row in rows for item in row.receivers), interventions)
    if corruption != "pair":
        check_source(corruption, model)
    measure = path_metric(metric)
    encoded = encode_pairs(model, pairs, batch_size)
    groups = scoring_groups(model.labels, pairs)
    if positions is not None:
        rows = at_places(rows, _all_places(model, encoded) if places is None else places)
    _check_positions(model, encoded, rows, interventions)
    sweep = Sweep(model, encoded, rows, corruption, interventions, measure, groups, route, batch_size, memory_mib)
    check_method(method, sweep, ig_steps)
    indices, store = _pieces(sweep, pairs, method, resume, shard, joint, runner)
    if method == "exact":
        result = measure_exact(sweep, indices, store, runner)
    else:
        sweep = replace(sweep, rows=[rows[index] for index in indices])
        if method == "attribution":
            result = estimate(sweep, sweep.parts, ig_steps)
        else:
            result = measure_auto(sweep, top, ig_steps, seed)
    columns = torch.tensor(indices) if method == "exact" else torch.arange(len(indices))
    settings = {"route": route, "corruption": corruption, "joint": joint, "interventions": interventions}
    settings |= {} if method == "exact" else {"ig_steps": ig_steps}
    settings |= {} if positions is None else {"positions": positions}
    return PathEffects(
        rows=tuple(rows[index].name for index in indices),
        downstream=tuple(bool(rows[index].active) for index in indices),
        **{name: values[:, columns] for name, values in result.arrays.items()},
        total=result.total,
        sources=encoded.sources,
        ids=encoded.kept_ids,
        route=route,
        metric=metric if isinstance(metric, str) else getattr(metric, "__name__", "custom"),
        level=level,
        seed=seed,
        dropped=encoded.dropped,
        provenance=provenance(model, pairs.fingerprint(), **settings),
        methods=tuple("exact" if result.exact[i] else "estimate" for i in columns.tolist()),
        part=() if shard is None else (len(rows), indices),
        dtype=dtype_name(model.dtype),
    )


def _pieces(
    sweep: Sweep,
    pairs: ContrastPairs,
    method: str,
    resume: str | Path | None,
    shard: str | None,
    joint: bool,
    runner: Runner,
) -> tuple[tuple[int, ...], BlockStore | None]:
    """The indices of this shard's rows, and the store of finished blocks (None without `resume`).

    Raises `HCError` for a method that cannot be measured in pieces.
    """
    indices = shard_rows(shard, sweep.rows)
    if method == "auto" and shard is not None:
        raise HCError(
            f"method='auto' with shard={shard!r}: it ranks all paths against each other, which a part cannot. Leave "
            "shard out, or use method='exact', whose parts PathEffects.join puts together."
        )
    if resume is None:
        return indices, None
    if method != "exact":
        raise HCError(
            f"method={method!r} cannot resume: only exact sweeps are kept in blocks. Leave resume and executor out."
        )
    metric = next((name for name, function in PATH_METRICS.items() if function is sweep.metric), sweep.metric)
    options = (sweep.corruption, sweep.interventions, metric, sweep.groups, sweep.route, sweep.batch_size, joint)
    options += tuple(runner.shaping.items())
    rows = [row.name for row in sweep.rows]
    settings = digest(sweep.model, pairs, sweep.encoded.kept_ids, sweep.model.backend_name, rows, *options)
    store = BlockStore(Path(resume), settings)
    store.check()
    return indices, store


def _all_places(model: HookedModel, encoded: EncodedPairs) -> Places:
    """All pairs of the roles that all pairs of texts have. Warns of roles that only some have."""
    roles, partial = roles_everywhere(model.tokenizer, [part.clean for part in encoded.batches])
    if partial:
        lacking = "; ".join(f"{role}, which {row} lacks" for role, row in partial.items())
        warn(
            f'positions="roles" leaves out roles that only some pairs have: {lacking}. Choose pairs that all have '
            "them, pairs.rows(...), to sweep these too."
        )
    return [(source, target) for source in roles for target in roles]


def _check_positions(
    model: HookedModel, encoded: EncodedPairs, rows: Sequence[Row], interventions: Sequence[Intervention]
) -> None:
    """Raise now what a later batch would raise: `DataError` for a pair that lacks a role of an end or intervention."""
    ends = dict.fromkeys(item for row in rows for item in (*row.senders, *row.receivers))
    for part in encoded.batches:
        check_roles(model.tokenizer, part.clean, ends)
        for item in interventions:
            for side in (part.clean, part.corrupt):
                item.check_batch(model, side)


def _check_pairs(pairs: Any) -> None:
    if not isinstance(pairs, ContrastPairs):
        raise DataError(
            f"path_effects was given {type(pairs).__name__} as its pairs; expected ContrastPairs, whose two sides "
            "a path is patched between. Pass task.contrast_pairs(case, kind, split='test'), or hc.ContrastPairs(clean, "
            "corrupt, gold=...)."
        )
