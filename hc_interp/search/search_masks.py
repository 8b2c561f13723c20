"""`search_masks`: subnetworks of a given size that answer as the full model does, one per seed."""

from collections.abc import Iterable, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from hc_interp.data.parts import Data, as_parts, fingerprint
from hc_interp.errors import SearchError
from hc_interp.interventions.means import mean_activations
from hc_interp.interventions.sources import Source, check_source
from hc_interp.models.hooked import HookedModel, Intervention
from hc_interp.progress import stage
from hc_interp.records.digest import digest
from hc_interp.records.dispatch import make_missing
from hc_interp.records.pieces import Executor, Runner
from hc_interp.records.provenance import provenance
from hc_interp.records.threads import at_threads
from hc_interp.search.defaults import EXCHANGES, SEEDS, SPARSITY, STEPS
from hc_interp.search.objective import check_choice, universe_of
from hc_interp.search.plan import STREAMS, RandomStreams, draw_plan, shaping
from hc_interp.search.ranking import binary
from hc_interp.search.result import HISTORY, ROUNDS, MaskSearch
from hc_interp.search.runs import SearchWork
from hc_interp.search.store import FinishedRun, RunFolder, run_name
from hc_interp.shares import as_written
from hc_interp.torch_modes import own_torch_modes

SUBSET = 1024  # examples that one run trains on at most; the full model's logits are computed once for all epochs
SWAP_VERSION = 2  # raised when the rules of swaps change, so that a resumed search does not mix masks of two versions


@own_torch_modes
def search_masks(
    model: HookedModel,
    data: Data,
    sparsity: float | Iterable[float] = SPARSITY,
    seeds: int | Iterable[int] = SEEDS,
    means: Source | None = None,
    *,
    components: str = "heads+mlps",
    objective: str = "kl",
    interventions: Iterable[Intervention] = (),
    steps: int = STEPS,
    batch_size: int = 16,
    exchanges: int = EXCHANGES,
    vary: Sequence[str] = STREAMS,
    resume: str | Path | None = None,
    executor: Executor | None = None,
    threads: int = 1,
) -> MaskSearch:
    """Find, for each sparsity and seed, a binary mask whose answers are close to the full model's.

    A run trains one `log_alpha` per component with hard-concrete gates, while all weights are frozen. A Lagrangian
    drives the expected sparsity to a target that grows from 0. The result is a binary mask that keeps exactly
    `floor((1 - sparsity) n + 0.5)` of n components: those of the largest `log_alpha`, ties by layer, then head.
    Training ends near a best binary mask. With `exchanges` above 0 swaps then improve the mask (`search/swaps.py`): a
    swap removes one kept component and adds one removed component.

    Arguments:
        data: the examples to train on, and to score the runs on.
        sparsity: share of the components to remove, from 0 up to but without 1; one or several. 0 trains nothing.
        seeds: whole numbers, or how many of them: `seeds=4` means `range(4)`.
        means: what replaces a removed component: mean activations (None: taken over all of `data`) or another source.
        components: "heads+mlps" or "heads".
        objective: "kl" minimises KL(full || masked) and uses no labels; "task" the cross entropy of the label group.
        interventions: applied before the mask, and in the full model too.
        steps: training steps of a run, each on one batch of `batch_size` examples.
        exchanges: rounds of swaps after training, at most. 0, the default, leaves swaps out: the runs then show the
            variation of what training finds. Swaps are for the most faithful circuit of a size; 16 rounds suffice.
        vary: the random streams that differ between runs, some of "data" (a run draws at most 1024 examples, and at
            most half of those not held out), "order" (of these examples), "start" and "noise" (of the gates), and
            "exchanges" (examples that rounds of swaps draw). Random streams not named in `vary` are shared by all runs.
            Use this to find which of them makes runs differ.
        resume: a folder that keeps each finished run. The same search, also with other sparsities or seeds, reads the
            runs that it finds there.
        executor: an object with `submit(fn, *args)`, whose workers make the runs (`hc.spread`). They hand
            them over in the folder `resume`, or else in a temporary one of this machine.
        threads: the number of threads of a run, also without an executor. Its last bits depend on it.

    Returns one subnetwork per sparsity and seed, scored on the same held-out examples: about 512, or a quarter of the
    data if that is less. No run trains on an example whose source is held out. Warns (`HCWarning`) of a mask that is
    far worse than the others of its sparsity (`MaskSearch.far`).

    Raises `SearchError` for settings without meaning, too little data or a loss that is not finite, and `ResultError`
    for a folder of another search. Sources: Bhaskar et al. 2024 (arXiv 2403.03942), Louizos et al. 2018 (arXiv
    1712.01312); swaps are this package's own.

    The runs are samples of what a search finds. They do not show that no other subnetwork does as well. Swaps lead most
    runs to nearly the same mask, whose components are then no core that different subnetworks share.
    """
    sparsities, seeds = _sparsities(sparsity), _seeds(seeds)
    _check(components, objective, steps, batch_size, exchanges, vary)
    runner = Runner.of(executor, threads, resume)
    resume = runner.folder
    parts = as_parts(data)
    if means is not None:
        check_source(means, model)
    before = tuple(model.check_interventions(interventions))
    streams = {seed: RandomStreams(seed, seeds[0], tuple(vary)) for seed in seeds}
    n_train = SUBSET if exchanges else min(SUBSET, steps * batch_size)
    plan = draw_plan(parts, sorted({item.run_seed("data") for item in streams.values()}), n_train, batch_size)
    settings = {
        "components": components, "objective": objective, "steps": int(steps), "batch_size": int(batch_size),
        "exchanges": int(exchanges), "vary": [stream for stream in STREAMS if stream in vary],
    }  # fmt: skip
    with at_threads(runner.threads):
        source = mean_activations(model, parts, interventions=before) if means is None else means
    of_data = fingerprint(parts)
    shared = {} if set(vary) == set(STREAMS) else {"first": seeds[0]}  # runs then depend on the first seed too
    shared |= {"trades": SWAP_VERSION} if exchanges else {}  # the old word, so that folders of old runs still match
    folder = None
    if resume is not None:
        used = shaping(parts, with_labels=objective == "task")
        shaped_by = settings | shared | runner.shaping
        folder = RunFolder(Path(resume), digest(model, used, source, list(before), shaped_by))
        folder.check()
    keys = [(share, seed) for share in sparsities for seed in seeds]
    done = {key: run for key in keys if folder is not None and (run := folder.read(*key)) is not None}
    missing = {run_name(*key): key for key in keys if key not in done}
    work = SearchWork(model, parts, source, before, plan, streams, settings, runner.cache)
    with stage("mask search", sum(map(work.size, missing.values()))) as progress:
        for name, run in make_missing(work, missing, folder, runner, progress):
            share, seed = missing[name]
            assert isinstance(run, FinishedRun)
            done[share, seed] = run
            if executor is None:
                progress.part(f"the mask of sparsity {share:g} and seed {seed}")
    runner.clear_cache()
    runs = [done[key] for key in keys]
    items = universe_of(model, components)
    search = MaskSearch(
        subnetworks=tuple(binary(run.log_alpha, run.sparsity, items) for run in runs),
        sparsities=tuple(run.sparsity for run in runs),
        seeds=tuple(run.seed for run in runs),
        log_alpha=torch.stack([run.log_alpha for run in runs]),
        history=_stacked([run.history for run in runs], HISTORY),
        kl_per_example=torch.stack([run.kl_per_example for run in runs]),
        agrees=torch.stack([run.agrees for run in runs]),
        exchanges=_stacked([run.exchanges for run in runs], ROUNDS),
        settings=settings
        | {"held_out": len(plan.held_out), "train": len(plan.train[streams[seeds[0]].run_seed("data")])},
        provenance=provenance(model, of_data, means=source, interventions=list(before), seeds=list(seeds), **settings),
    )
    search.warn_of_far()
    return search


def _stacked(frames: Sequence[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    """The runs' frames as one, each row with the number of its run."""
    numbered = [frame.assign(run=i) for i, frame in enumerate(frames) if len(frame)]  # an empty one has no dtypes
    stacked = pd.concat(numbered, ignore_index=True) if numbered else pd.DataFrame()
    return stacked.reindex(columns=columns)


def _sparsities(sparsity: Any) -> tuple[float, ...]:
    if isinstance(sparsity, np.ndarray | torch.Tensor):
        sparsity = np.atleast_1d(np.asarray(sparsity))
    shares = tuple(sparsity) if isinstance(sparsity, Iterable) and not isinstance(sparsity, str) else (sparsity,)
    for share in shares:
        if not isinstance(share, Real) or not 0 <= as_written(share) < 1:
            shown = f"{float(share):g}" if isinstance(share, Real) else repr(share)
            raise SearchError(
                f"sparsity={shown} was given. Expected the share of components to remove, a number from 0 up to but "
                "without 1; half of them is 0.5, not 50."
            )
    written = tuple(map(as_written, shares))
    if not written or len(set(written)) < len(written):
        raise SearchError(f"sparsity={list(written)} was given. Expected one share or several different ones.")
    return written


def _seeds(seeds: int | Iterable[int]) -> tuple[int, ...]:
    if isinstance(seeds, int | np.integer) and not isinstance(seeds, bool):
        seeds = range(int(seeds))
    listed = tuple(seeds) if isinstance(seeds, Iterable) else ()
    whole = all(isinstance(seed, Integral) and not isinstance(seed, bool) and seed >= 0 for seed in listed)
    if not listed or not whole or len(set(listed)) < len(listed):
        raise SearchError(
            f"seeds={list(listed)} was given. Expected at least one whole number from 0, each once: seeds=range(4), or "
            "seeds=4, which means the same."
        )
    return tuple(map(int, listed))


def _check(components: str, objective: str, steps: int, batch_size: int, exchanges: int, vary: Sequence[str]) -> None:
    check_choice(components, objective)
    for name, value in (("steps", steps), ("batch_size", batch_size)):
        if not isinstance(value, Integral) or value < 1:
            raise SearchError(f"{name}={value!r} was given. Expected a whole number from 1.")
    if not isinstance(exchanges, Integral) or exchanges < 0:
        raise SearchError(
            f"exchanges={exchanges!r} was given. Expected a number of rounds from 0, which leaves them out."
        )
    if isinstance(vary, str) or not set(vary) <= set(STREAMS):
        raise SearchError(f"vary={vary!r} was given. Expected a tuple of some of {', '.join(map(repr, STREAMS))}.")
