"""Do the verdict's intervals hold what is true of a world's population of pairs and examples?

A population of pairs is cut into as many test sets as it holds. For T and S the rows are pairs, and the truth is the
statistic of the whole population. For the separation they are examples of both cases, and the system is the core alone,
since the whole model separates all of them. The words of a testbed are few and fixed: what is new are sentences.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from calibration_truth import TRUTH_PAIRS, S_of, build, fresh, nouns_of, responses_to, runs_of
from plain_hooks import use_plain_hooks

import hc_interp as hc
from hc_interp.evaluation.score_data import Block
from hc_interp.evaluation.scores import ScoreRows, Scores
from hc_interp.patching.joint_effects import JointPath, Responses
from hc_interp.reading.premise_measure import Sample
from hc_interp.reading.premise_pieces import Measure, measured
from hc_interp.reading.reads_from import HeadRoles
from hc_interp.records.pieces import Runner
from hc_interp.statistics.units import Units
from hc_interp.testbeds.language import CASE, LABELS, RIGHT_CASE, examples

PAIRS = 2_000
ROWS = 40  # of one test set
LEAST_NODE_EFFECT = 0.05  # the test refuses such pairs
SYSTEM = "core alone"


def coverage(job: tuple[str, int]) -> list[dict[str, Any]]:
    """A row for each statistic and kind of pairs: how many intervals hold the population's value."""
    torch.set_num_threads(1)
    kind, seed = job
    world = build(kind, seed)
    use_plain_hooks(world.model)
    rows = []
    for statistic, of, truth, found in (*of_pairs(world), *of_examples(world)):
        values = np.array([float(item) for item in found])
        low, high = (np.array([float(getattr(item, end)) for item in found]) for end in ("low", "high"))
        known = np.isfinite(low)
        if not known.any():
            continue
        row = {"kind": kind, "seed": seed, "statistic": statistic, "of": of, "truth": truth, "intervals": known.sum()}
        row |= {"inside": int(((low <= truth) & (truth <= high))[known].sum())}
        row |= {"width": float((high - low)[known].mean()), "spread": float(np.std(values[known]))}
        rows.append(row)
    return rows


Found = tuple[str, str, float, list[Any]]  # statistic, kind of pairs, truth, intervals


def of_pairs(world: Any) -> Iterator[Found]:
    """T and S on both kinds of pairs."""
    roles = HeadRoles.of(world.model, world.core, world.generalizing)
    cuts = [slice(start, start + ROWS) for start in range(0, PAIRS, ROWS)]
    for kind in world.reading:
        (pairs,) = fresh(world, kind, PAIRS, len(TRUTH_PAIRS))
        runs = runs_of(world, pairs)
        base = runs.measure([JointPath(roles.core, roles.generalizing, "all")], [roles.generalizing])
        path, node, nouns = base.paths[:, 0], base.nodes[:, 0], nouns_of(pairs)
        if abs(node.mean()) < LEAST_NODE_EFFECT:
            continue
        units = [Units.of({"source": [(str(i),) for i in range(ROWS)], "noun": nouns[cut]}) for cut in cuts]
        both = zip(units, cuts, strict=True)
        yield "T", kind, float(path.sum() / node.sum()), [part.ratio(path[cut], node[cut]) for part, cut in both]
        whole = responses_to(roles, runs)
        truth = float(S_of(whole, roles))
        if np.isfinite(truth):
            parts = [Responses(whole.heads, whole.explained[cut], whole.extent[cut]) for cut in cuts]
            yield "S", kind, truth, [S_of(part, roles, of) for part, of in zip(parts, units, strict=True)]


def of_examples(world: Any) -> Iterator[Found]:
    """The separation of the core alone."""
    means = hc.mean_activations(world.model, world.task.train, batch_size=256)
    seeds = np.random.SeedSequence([world.settings["seed"], 9]).generate_state(2).tolist()
    shares = {CASE: {"swap": 1.0}, RIGHT_CASE: {"same": 1.0}}
    blocks = {
        f"case {case}": Block(examples(PAIRS, shares[case], seed, case), np.full(PAIRS, case == RIGHT_CASE))
        for case, seed in zip(shares, seeds, strict=True)
    }
    sample = Sample.of(world.model, blocks, (LABELS.index("entailment"),), (), 512)
    kept = {*world.core, *(item for item in world.model.components if isinstance(item, hc.MLP))}
    systems = {SYSTEM: frozenset(world.model.components) - kept}
    about: dict[str, Any] = {"heuristics": {"overlap": ((RIGHT_CASE,), (CASE,))}, "level": 0.95, "seed": 0}
    whole = measured({"coverage": Measure(sample, systems, [means])}, None, Runner(), about)["coverage"]
    found = []
    for start in range(0, PAIRS, ROWS):
        cut = slice(start, start + ROWS)
        rows = {name: _rows(part, cut) for name, part in whole.rows.items()}
        scores = Scores(names=whole.names, rows=rows, **about)
        found.append(scores.interval(scores.separation("overlap")[0]))
    yield "separation", SYSTEM, float(whole.separation("overlap").value[0]), found


def _rows(part: ScoreRows, cut: slice) -> ScoreRows:
    levels = {unit: rows[cut] for unit, rows in part.levels.items()}
    return ScoreRows(part.s[:, cut], part.gold[cut], levels, part.ids[cut])
