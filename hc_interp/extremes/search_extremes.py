"""`search_extremes`: of all good subnetworks of a size, those of the lowest and of the highest separation."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Int

from hc_interp.components import Component
from hc_interp.data.encode import all_scored
from hc_interp.data.examples import Examples
from hc_interp.data.part_units import part_units
from hc_interp.data.parts import Data, DataPart, as_parts, fingerprint, pick, sources_of
from hc_interp.data.task import Task
from hc_interp.errors import DataError, SearchError
from hc_interp.evaluation.evaluate import Subnetworks, evaluate, named_subnetworks
from hc_interp.evaluation.result import Evaluation
from hc_interp.evaluation.score_data import Classes, examples_block, heuristic_classes, heuristic_named
from hc_interp.extremes.defaults import FRESH_ROWS, LABELINGS, ROUNDS, SELECT_ROWS
from hc_interp.extremes.labelings import draw_labelings
from hc_interp.extremes.mask_scores import MaskScorer, scoring
from hc_interp.extremes.result import BEST, HIGH, LOW, Extremes
from hc_interp.extremes.rounds import Rounds
from hc_interp.extremes.rows import LEAST_ROWS, SELECT, Blocks, split_rows, twins
from hc_interp.extremes.store import ExtremesFolder
from hc_interp.interventions.means import mean_activations
from hc_interp.interventions.sources import Source, check_source
from hc_interp.models.hooked import HookedModel, Intervention
from hc_interp.progress import stage
from hc_interp.records.digest import digest
from hc_interp.records.pieces import Executor, Runner
from hc_interp.records.provenance import provenance
from hc_interp.records.threads import at_threads
from hc_interp.search.defaults import ROWS, SPARSITY, STEPS
from hc_interp.search.objective import Objective, check_choice, universe_of
from hc_interp.search.plan import draw_plan, shaping
from hc_interp.search.sampling.by_workers import LossWork, measuring, start_training
from hc_interp.search.sampling.checks import check_counts, check_kept, checked_bound
from hc_interp.search.sampling.evaluator import losses_on
from hc_interp.search.sampling.sample import SubnetworkSample
from hc_interp.search.sampling.starts import BATCH_SIZE, known_starts
from hc_interp.search.search_masks import SWAP_VERSION
from hc_interp.search.swaps import row_losses
from hc_interp.statistics.samples import check_level
from hc_interp.subnetwork import Subnetwork
from hc_interp.torch_modes import own_torch_modes

EXTREMES_VERSION = 3  # raised when the rules of the search change, so that a folder does not mix rounds of two versions
STARTS = 4  # masks with which round 0 begins: half of them are what training finds
SCORED_TO = 2.0  # in multiples of epsilon: masks up to there are scored, and the surrogates learn from them
HELD_OUT_SHARE = 3  # of this many cases of a kind, one is held out
DRAWS = 64  # of a sample that is measured beside the ends
LEAST = {
    "seed": 0,
    "rows": BATCH_SIZE,
    "max_per_case": LEAST_ROWS,
    "rounds": 1,
    "permutations": LABELINGS,
    "fresh": 2,
    "steps": 1,
}


@own_torch_modes
def search_extremes(
    model: HookedModel,
    data: Data,
    task: Task,
    heuristic: str | None = None,
    sparsity: float = SPARSITY,
    epsilon: float | None = None,
    means: Source | None = None,
    seed: int = 0,
    resume: str | Path | None = None,
    *,
    held_out: Sequence[str] | None = None,
    beside: Mapping[str, Subnetworks | SubnetworkSample] | None = None,
    components: str = "heads+mlps",
    objective: str = "kl",
    interventions: Iterable[Intervention] = (),
    rows: int = ROWS,
    max_per_case: int = SELECT_ROWS,
    rounds: int = ROUNDS,
    permutations: int = LABELINGS,
    fresh: int = FRESH_ROWS,
    steps: int = STEPS,
    batch_size: int = 64,
    level: float = 0.95,
    executor: Executor | None = None,
    threads: int = 1,
) -> Extremes:
    """Search the good subnetworks of the lowest and of the highest separation on the cases of one heuristic.

    Good subnetworks keep `floor((1 - sparsity) n + 0.5)` of n components, and their loss on rows of `data` is at most
    the lowest known one plus epsilon: the set of `sample_subnetworks`. Separation is the mean over (case where the
    heuristic is right, case where it is wrong) of the chance that an example of the first gets more log odds of the
    heuristic's answer than one of the second. It is searched on the select rows and reported on others: on other words
    and templates ("test"), and on cases that are in no objective ("held_out").

    The control is the same search with gold labels permuted within premise patterns, `permutations` times. All searches
    run side by side, each proposes as many masks in each round, and each takes its ends from all masks that any of them
    measured. So the true search is one of `permutations` + 1 that differ in the labels alone.

    Arguments:
        data, sparsity, epsilon, means, components, objective, interventions, rows, steps: as in `sample_subnetworks`.
        task: its cases give separations, its validation split fresh examples in domain.
        heuristic: the heuristic's name (None: the task's only one, or "lexical_overlap").
        resume: a folder that keeps finished rounds; the same search, also with more rounds, goes on where it was.
        held_out: cases for reporting alone. None: of every three cases of a kind one, drawn by `seed`.
        beside: other subnetworks of any size by the name of their group, which are measured in the same way: a sample
            (of which 64 draws are taken), a search, a screen's mask.
        max_per_case: select rows of a case, at most. Its test rows are all.
        rounds: each search proposes at most three masks in a round.
        fresh: validation examples on which the ends are compared in domain, at most.
        executor: an object with `submit(fn, *args)`, whose workers train the starts and measure losses and scores of
            masks (`hc.spread`). Jobs that wait in a queue (submitit) train the starts alone.
        threads: the number of threads of all of this, also without an executor.

    Raises `SearchError` for settings without meaning, `HCError` or `DataError` for a task without the heuristic, its
    cases or enough examples, `ResultError` for a folder of another search.

    The ends are the most extreme masks that were found: others may lie beyond them. An end is selected on few rows, so
    its select separation is too extreme; use the test separation.

    Sources: Bhaskar et al. 2024 (the claim), Gardner et al. 2014 (expected improvement under a constraint).
    """
    share = checked_bound(sparsity, epsilon)
    counts = {"rows": rows, "max_per_case": max_per_case, "permutations": permutations, "steps": steps, "seed": seed}
    check_counts(LEAST, **counts, rounds=rounds, fresh=fresh)
    check_level(level)
    check_choice(components, objective)
    runner = Runner.of(executor, threads, resume)
    parts = as_parts(data)
    if means is not None:
        check_source(means, model)
    before = tuple(model.check_interventions(interventions))
    items = universe_of(model, components)
    check_kept(len(items), share)
    groups = _groups(beside or {}, items)
    name, classes = _heuristic(model, task, heuristic)
    blocks = _blocks(model, task, name, classes)
    left_out = held_out_cases(task, name, held_out, blocks, seed)
    rows_of = split_rows(blocks, left_out, max_per_case, seed)
    right = task.heuristics[name][0]
    labelings = draw_labelings(rows_of[SELECT], right, permutations, seed)
    plan = draw_plan(parts, [seed], rows, BATCH_SIZE)
    in_domain = _fresh(task, parts, np.concatenate(plan.groups), fresh, seed)
    settings: dict[str, Any] = {
        "components": components, "objective": objective, "sparsity": share, "heuristic": name,
        "held_out": left_out, "epsilon": None if epsilon is None else float(epsilon), "chains": STARTS,
    } | {key: int(value) for key, value in counts.items()}  # fmt: skip
    with at_threads(runner.threads):
        source = mean_activations(model, parts, interventions=before) if means is None else means
        by_accuracy = epsilon is None and all_scored(model, parts)
        reads_labels = objective == "task" or by_accuracy
        folder = None
        if runner.kept is not None:
            used = [*shaping(parts, with_labels=reads_labels), *(block.data for block in rows_of[SELECT].values())]
            shaped_by = settings | {"extremes": EXTREMES_VERSION, "swaps": SWAP_VERSION} | runner.shaping
            folder = ExtremesFolder(runner.kept, digest(model, used, source, list(before), shaped_by))
            folder.check()
            folder.starts()  # raises for those of another search
        chosen = [part for group in plan.groups for part in pick(parts, group)]
        work = LossWork(model, chosen, source, components, objective, before, reads_labels)
        goal = work.goal()
        train = start_training(work, parts, goal, plan, settings, runner)
        starts = known_starts(goal, plan, part_units(pick(parts, plan.train[seed])), settings, folder, train)
        best = starts.best.numpy()
        scorer = MaskScorer(model, items, source, classes, before, batch_size)
        encoded = scorer.encode(rows_of[SELECT])
        with measuring(work, goal, runner) as measure, scoring(scorer, encoded, runner) as pieces:
            measured = losses_on(goal, plan.train_index(seed), starts.best, measure)
            measured.remember(best[None], np.array([starts.best_loss]), 0)
            search = Rounds(
                measured,
                lambda masks: np.concatenate(
                    [part for [part] in scorer.scores(encoded, masks, pieces).values()], axis=1
                ),
                labelings,
                starts.best_loss + starts.epsilon,
                starts.best_loss + SCORED_TO * starts.epsilon,
                seed,
                folder,
            )
            with stage("searching extremes", rounds + 1) as progress:
                known = search.run(starts.masks.numpy(), best, rounds, progress)
        ends = {BEST: best, LOW: known.masks[known.end(0, -1)], HIGH: known.masks[known.end(0, 1)]}
        nets = {label: _subnetwork(mask, items) for label, mask in ends.items()}
        with stage("reporting extremes", len(rows_of) + 1) as progress:
            scores = {}
            for part, blocks in rows_of.items():
                cases = tuple(tuple(case for case in kind if case in blocks) for kind in task.heuristics[name])
                scores[part] = scorer.report(blocks, {name: (cases[0], cases[1])}, ends, level, seed)
                progress.advance()
            about = {name: task.heuristics[name]}
            others = _beside(groups, goal, plan.train_index(seed), scorer, rows_of, about, level)
            evaluation = _in_domain(model, task, in_domain, nets, source, before, level, seed)
            progress.advance()
    of_ends = np.stack([known.end(labeling, sign) for labeling in range(len(labelings)) for sign in (-1, 1)])
    lows, highs = (known.separations[of_ends[i::2], np.arange(len(labelings))] for i in (0, 1))
    at_best = known.separations[[mask.tobytes() for mask in known.masks].index(best.tobytes())]
    return Extremes(
        universe=items,
        sparsity=share,
        heuristic=name,
        epsilon=starts.epsilon,
        best_loss=starts.best_loss,
        best=nets[BEST],
        low=nets[LOW],
        high=nets[HIGH],
        full_loss=float(goal.full_loss(plan.train_index(seed)).double().mean()),
        masks=torch.from_numpy(known.masks.copy()),
        losses=torch.from_numpy(measured(known.masks)),  # all are known
        separations=torch.from_numpy(known.separations[:, 0].copy()),
        control_low=lows,
        control_high=highs,
        control_best=at_best,
        scores=scores,
        beside=others,
        in_domain=evaluation,
        settings=settings
        | {
            "rounds": int(rounds), "fresh": int(fresh), "rows": len(plan.train[seed]), "batch_size": int(batch_size),
            "chosen_by": starts.chosen_by, "masks_measured": len(measured.known), "within_patterns": labelings.within,
            "rows_of": {part: {case: len(block) for case, block in blocks.items()} for part, blocks in rows_of.items()},
        },
        provenance=provenance(model, fingerprint(parts), task=task.name, means=source, interventions=list(before),
                              **settings),
    )  # fmt: skip


def _heuristic(model: HookedModel, task: Any, heuristic: str | None) -> tuple[str, Classes]:
    if not isinstance(task, Task):
        raise DataError(
            f"search_extremes was given a {type(task).__name__} as its task. Expected a Task with the cases of a "
            "heuristic: hc.load_task(...) or hc.Task(..., cases=..., heuristic=..., heuristic_label=...)."
        )
    classes = heuristic_classes(model, task)
    return heuristic_named(task, heuristic), classes


def _blocks(model: HookedModel, task: Task, heuristic: str, classes: Classes) -> Blocks:
    cases = [case for kind in task.heuristics[heuristic] for case in kind]
    return {case: examples_block(model, task.case(case), classes) for case in cases}


def held_out_cases(
    task: Task, heuristic: str, held_out: Sequence[str] | None, blocks: Blocks, seed: int
) -> tuple[str, ...]:
    """The cases that no objective sees: those named, or one of three, and then twins together where there are any.

    Raises `SearchError` for a choice that leaves a part without a kind of case.
    """
    kinds = task.heuristics[heuristic]
    if held_out is None:
        n = [len(cases) // HELD_OUT_SHARE for cases in kinds]
        rng = np.random.default_rng([seed, 6])
        right, wrong = ([blocks[case].units for case in cases] for cases in kinds)
        pairs = rng.permutation(np.array(twins(right, wrong)))[: min(n)]
        others = [rng.permutation(np.setdiff1d(np.arange(len(cases)), pairs[:, i])) for i, cases in enumerate(kinds)]
        chosen = [[*pairs[:, i], *others[i][: n[i] - len(pairs)]] for i in range(len(kinds))]
        return tuple(cases[i] for cases, index in zip(kinds, chosen, strict=True) for i in index) if all(n) else ()
    if isinstance(held_out, str):
        raise SearchError(f"held_out={held_out!r} was given. Expected a list of cases, like [{held_out!r}].")
    named = tuple(dict.fromkeys(task.case_id(case) for case in held_out))
    if other := [case for case in named if not any(case in cases for cases in kinds)]:
        raise SearchError(
            f"held_out= names {other[0]!r}, which is no case of the heuristic {heuristic!r}. Expected some of "
            f"{', '.join(case for cases in kinds for case in cases)}."
        )
    for kind, cases in zip(("right", "wrong"), kinds, strict=True):
        n_out = sum(case in named for case in cases)
        if named and not 0 < n_out < len(cases):
            raise SearchError(
                f"held_out= names {n_out} of the {len(cases)} cases where the heuristic is {kind}. Expected at least "
                "one of each kind, and at least one of each left for the search; or [] to hold out none."
            )
    return named


def _fresh(task: Task, parts: Sequence[DataPart], used: np.ndarray, n: int, seed: int) -> Examples:
    """At most `n` validation examples of sources that define neither the loss nor epsilon."""
    if task.validation is None:
        raise DataError(
            f"Task {task.name!r} has no validation split, on which the ends are compared in domain. Give it one: "
            "Task(..., validation=examples)."
        )
    sources = np.array(sources_of(parts))[used].tolist()
    known = set(sources)
    left = [i for i, source in enumerate(task.validation.source) if source not in known]
    if len({task.validation.source[i] for i in left}) < 2:
        raise DataError(
            f"Of the {len(task.validation)} validation examples of task {task.name!r}, {len(left)} are of sources that "
            "data= does not have. Expected at least two other sources: give data= another split of the task."
        )
    return task.validation.rows(left).sample(n, seed)


def _groups(
    beside: Mapping[str, Subnetworks | SubnetworkSample], items: tuple[Component, ...]
) -> dict[str, tuple[Subnetwork, ...]]:
    """The subnetworks of each group. Raises `SearchError` for those of other components."""
    groups = {}
    for name, given in beside.items():
        nets = given.draws(DRAWS) if isinstance(given, SubnetworkSample) else named_subnetworks(given).values()
        groups[name] = tuple(nets)
        if any(set(net.universe) != set(items) for net in nets):
            raise SearchError(
                f"beside= has subnetworks {name!r} of other components than the {len(items)} that are searched. "
                "Expected subnetworks of the same model and the same components=."
            )
    return groups


def _beside(
    groups: Mapping[str, tuple[Subnetwork, ...]],
    goal: Objective,
    rows: Int[torch.Tensor, " n"],
    scorer: MaskScorer,
    rows_of: Mapping[str, Blocks],
    heuristics: Mapping[str, tuple[tuple[str, ...], ...]],
    level: float,
) -> pd.DataFrame:
    """A row per subnetwork: group, components, loss, and its separation on each part."""
    names = [name for name, nets in groups.items() for _ in nets]
    nets = [net for group in groups.values() for net in group]
    masks = np.array([[item in net.kept for item in goal.universe] for net in nets], dtype=bool)
    frame = pd.DataFrame({"group": names, "components": [len(net) for net in nets]})
    if not nets:
        return frame
    frame["loss"] = row_losses(goal, torch.from_numpy(masks), rows).mean(1).numpy()
    for part, blocks in rows_of.items():
        (name, kinds), *_ = heuristics.items()
        right, wrong = (tuple(case for case in kind if case in blocks) for kind in kinds)
        labelled = {str(i): mask for i, mask in enumerate(masks)}
        scores = scorer.report(blocks, {name: (right, wrong)}, labelled, level, 0)
        frame[part] = np.asarray(scores.interval(scores.separation(name)).value)[1:]
    return frame


def _in_domain(
    model: HookedModel,
    task: Task,
    examples: Examples,
    subnetworks: Mapping[str, Subnetwork],
    source: Source,
    before: Sequence[Intervention],
    level: float,
    seed: int,
) -> Evaluation:
    only = replace(task, validation=examples)
    return evaluate(
        model, only, subnetworks, source, interventions=before, cases=[], pull_pairs=0, seed=seed, level=level
    )


def _subnetwork(mask: Bool[np.ndarray, " component"], items: tuple[Component, ...]) -> Subnetwork:
    return Subnetwork(frozenset(item for item, kept in zip(items, mask.tolist(), strict=True) if kept), items)
