"""`sample_subnetworks`: a sample of all subnetworks of a size whose loss is near the lowest, by Markov chains."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float

from hc_interp.data.encode import all_scored
from hc_interp.data.part_units import part_units
from hc_interp.data.parts import Data, DataPart, as_parts, fingerprint, pick
from hc_interp.data.units import Levels
from hc_interp.interventions.means import mean_activations
from hc_interp.interventions.sources import Source, check_source
from hc_interp.models.hooked import HookedModel, Intervention
from hc_interp.progress import stage
from hc_interp.records.digest import digest
from hc_interp.records.pieces import Executor, Runner
from hc_interp.records.provenance import provenance
from hc_interp.records.threads import at_threads
from hc_interp.search.defaults import CHAINS, ROWS, SPARSITY, STEPS, SWEEPS, WARM_UP
from hc_interp.search.objective import Objective, check_choice, universe_of
from hc_interp.search.plan import Plan, draw_plan, shaping
from hc_interp.search.sampling.by_workers import LossWork, measuring, start_training
from hc_interp.search.sampling.checks import check_counts, check_kept, checked_bound
from hc_interp.search.sampling.evaluator import losses_on
from hc_interp.search.sampling.exclusion import lowest_without
from hc_interp.search.sampling.levels import ladder
from hc_interp.search.sampling.run import BLOCK, SampleRun, acceptance, at_bounds
from hc_interp.search.sampling.sample import MULTIPLES, SubnetworkSample, evenly
from hc_interp.search.sampling.starts import BATCH_SIZE, errors_of_means, known_starts
from hc_interp.search.sampling.store import SampleFolder, SavedRepairs
from hc_interp.search.search_masks import SWAP_VERSION
from hc_interp.search.swaps import row_losses
from hc_interp.subnetwork import Subnetwork
from hc_interp.torch_modes import own_torch_modes

SAMPLE_VERSION = 3  # raised when the rules of the sampler change, so that a folder does not mix masks of two versions
LEAST = {"chains": 2, "seed": 0, "rows": BATCH_SIZE, "warm_up": BLOCK, "sweeps": BLOCK, "steps": 1}
FRESH = 64  # masks that are measured again on fresh examples


@own_torch_modes
def sample_subnetworks(
    model: HookedModel,
    data: Data,
    sparsity: float = SPARSITY,
    epsilon: float | None = None,
    chains: int = CHAINS,
    means: Source | None = None,
    seed: int = 0,
    resume: str | Path | None = None,
    *,
    components: str = "heads+mlps",
    objective: str = "kl",
    interventions: Iterable[Intervention] = (),
    rows: int = ROWS,
    warm_up: int = WARM_UP,
    sweeps: int = SWEEPS,
    steps: int = STEPS,
    executor: Executor | None = None,
    threads: int = 1,
) -> SubnetworkSample:
    """Sample all subnetworks that keep `floor((1 - sparsity) n + 0.5)` of n components and whose loss is near the best.

    The set is all masks of this size whose mean loss on the rows of the sample is at most the lowest loss that a search
    with swaps finds on them plus epsilon: a bound that is fixed before sampling. Chains walk on masks of exactly this
    size (`search/sampling/moves.py`), on a ladder of tempered levels above the bounds with exchanges between
    neighbours. Every loss that decides is measured. Half of the chains begin at what training finds, the others at
    random masks.

    Arguments:
        data: the examples; `rows` of them, whose sources are not held out, define the loss.
        epsilon: how far a loss may lie above the best. None: the loss at which accuracy on held-out examples falls by a
            point, and at least 3 standard errors of a paired difference of two masks' losses (`settings["chosen_by"]`
            has both). Accuracy is by labels, by answers and foils, or, in data without either, the share of
            rows that are answered as the full model answers them.
        chains: independent chains; each has a mask at every level of the ladder.
        means: what replaces a removed component (None: mean activations over all of `data`), or another source.
        resume: a folder that keeps finished blocks; the same sample, also with more sweeps, goes on where it was.
        components, objective, interventions: as in `search_masks`. For a language model without label words the loss
            is over its vocabulary at the position that is read.
        warm_up, sweeps: moves of every mask before and after the surrogate is fixed; only the latter are recorded.
        steps: training steps of a start.
        executor: an object with `submit(fn, *args)`, whose workers train the starts and measure the losses of masks
            (`hc.spread`). The chains walk in this process, since they learn from each other's masks. Jobs that wait in
            a queue (submitit) train the starts alone.
        threads: the number of threads of all of this, also without an executor.

    Returns a sample that says whether it has mixed; one that has not is no result. Mixing covers what the chains
    reached: a set of good masks that no chain found leaves no trace. Raises `SearchError` for settings without meaning,
    where epsilon cannot be chosen, and for a loss that is not finite; `ResultError` for a folder of another sample.

    Sources: Bhaskar et al. 2024 (the claim about a set of subnetworks), Zanella 2020 (locally balanced proposals), Liu
    2001 (proposals by a surrogate), Vehtari et al. 2021 (R-hat).
    """
    share = checked_bound(sparsity, epsilon)
    check_counts(LEAST, chains=chains, seed=seed, rows=rows, warm_up=warm_up, sweeps=sweeps, steps=steps)
    check_choice(components, objective)
    runner = Runner.of(executor, threads, resume)
    parts = as_parts(data)
    if means is not None:
        check_source(means, model)
    before = tuple(model.check_interventions(interventions))
    check_kept(len(universe_of(model, components)), share)
    settings: dict[str, Any] = {
        "components": components, "objective": objective, "sparsity": share, "chains": int(chains), "seed": int(seed),
        "rows": int(rows), "warm_up": int(warm_up), "steps": int(steps),
        "epsilon": None if epsilon is None else float(epsilon),
    }  # fmt: skip
    with at_threads(runner.threads):
        return _sampled(model, parts, means, before, settings, -(-int(sweeps) // BLOCK), runner)


def _sampled(
    model: HookedModel,
    parts: Sequence[DataPart],
    means: Source | None,
    before: tuple[Intervention, ...],
    settings: dict[str, Any],
    n_blocks: int,
    runner: Runner,
) -> SubnetworkSample:
    """The sample, with `n_blocks` recorded blocks, at the present number of threads."""
    components, objective, epsilon, share = (settings[k] for k in ("components", "objective", "epsilon", "sparsity"))
    seed, items = settings["seed"], universe_of(model, components)
    plan = draw_plan(parts, [seed], settings["rows"], BATCH_SIZE)
    source = mean_activations(model, parts, interventions=before) if means is None else means
    by_accuracy = epsilon is None and all_scored(model, parts)
    reads_labels = objective == "task" or by_accuracy
    folder = None
    if runner.kept is not None:
        used = shaping(parts, with_labels=reads_labels)
        versions = {"sample": SAMPLE_VERSION, "swaps": SWAP_VERSION}
        shaped_by = settings | versions | runner.shaping
        folder = SampleFolder(runner.kept, digest(model, used, source, list(before), shaped_by))
        folder.check()
    chosen = [part for group in plan.groups for part in pick(parts, group)]
    work = LossWork(model, chosen, source, components, objective, before, reads_labels)
    goal = work.goal()
    units = part_units(pick(parts, plan.train[seed]))
    starts = known_starts(
        goal, plan, units, settings, folder, start_training(work, parts, goal, plan, settings, runner)
    )
    levels = ladder([starts.best_loss + multiple * starts.epsilon for multiple in MULTIPLES])
    n_warm = -(-settings["warm_up"] // BLOCK)
    with measuring(work, goal, runner) as measure:
        measured = losses_on(goal, plan.train_index(seed), starts.best, measure)
        measured.remember(starts.best.numpy()[None], np.array([starts.best_loss]), 0)
        run = SampleRun(measured, levels, starts.masks.numpy(), starts.best.numpy(), seed, folder)
        with stage("sampling subnetworks", (n_warm + n_blocks) * BLOCK) as progress:
            chains_there, surrogate = run.warm_up(n_warm, progress)
            blocks = run.record(chains_there, surrogate, n_warm, n_blocks, progress)
        masks, losses = at_bounds(blocks, len(MULTIPLES))
        with stage("repairs", len(items)) as progress:
            drawn = np.unique(masks[MULTIPLES.index(1.0)].flatten(0, 1).numpy(), axis=0)
            saved = None if folder is None else SavedRepairs(folder, n_warm + n_blocks)
            without = lowest_without(measured, run.surrogate(), drawn, levels[-1].bound, progress, saved)
    return SubnetworkSample(
        universe=items,
        sparsity=share,
        epsilon=starts.epsilon,
        best=Subnetwork(frozenset(item for item, kept in zip(items, starts.best.tolist(), strict=True) if kept), items),
        best_loss=starts.best_loss,
        multiples=MULTIPLES,
        masks=masks,
        losses=losses,
        without=pd.DataFrame(
            {
                "component": [str(item) for item in items],
                "loss": [found.loss for found in without],
                "repairs": [found.repairs for found in without],
            }
        ),
        without_masks=torch.from_numpy(np.stack([found.mask for found in without])),
        fresh=_fresh(
            goal, plan, part_units(pick(parts, plan.held_out)), masks[MULTIPLES.index(1.0)],
            losses[MULTIPLES.index(1.0)],
        ),
        steps=acceptance(blocks, run),
        settings=settings
        | {
            "sweeps": n_blocks * BLOCK, "rows": len(plan.train[seed]), "held_out": len(plan.held_out),
            "chosen_by": starts.chosen_by, "masks_measured": len(measured.known), "rows_run": measured.runs,
            "surrogate_error": surrogate.error, "surrogate_explained": surrogate.explained,
        },
        provenance=provenance(model, fingerprint(parts), means=source, interventions=list(before), **settings),
    )  # fmt: skip


def _fresh(
    goal: Objective,
    plan: Plan,
    units: Mapping[str, Levels],
    masks: Bool[torch.Tensor, "chain draw component"],
    losses: Float[torch.Tensor, "chain draw"],
) -> pd.DataFrame:
    """Some of the masks, evenly over chains and draws, measured again on the held-out rows.

    Standard errors count the rows' units.
    """
    flat, known = masks.transpose(0, 1).flatten(0, 1), losses.T.flatten()
    some = evenly(len(flat), FRESH)
    by_row = row_losses(goal, flat[some], plan.held_out_index)
    error = errors_of_means(by_row.numpy(), units)
    return pd.DataFrame({"loss": known[some], "fresh_loss": by_row.mean(1), "standard_error": error})
