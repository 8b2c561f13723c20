"""A tiny random classifier of 12 components, and a task of four cases whose rows are random words."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from texts import word_tokenizer
from tiny import LABELS, tiny_batch, tiny_module

from hc_interp.data.examples import Examples
from hc_interp.data.parts import pick
from hc_interp.data.task import Task
from hc_interp.interventions.means import mean_activations
from hc_interp.models.load import load
from hc_interp.search.objective import Objective
from hc_interp.search.plan import draw_plan
from hc_interp.search.sampling.starts import BATCH_SIZE
from hc_interp.search.swaps import row_losses

N, KEPT, ROWS = 12, 6, 24
NOUNS = [f"n{i}" for i in range(16)]
VERBS = [f"v{i}" for i in range(12)]
CASES = {"r1": True, "r2": True, "r3": True, "w1": False, "w2": False, "w3": False}
ALL = np.array([[i in chosen for i in range(N)] for chosen in combinations(range(N), KEPT)])


def rows_of(case: str, n: int, rng: np.random.Generator, templates: int = 2) -> Examples:
    """Two nouns, a verb and a mark of the template each; the words say nothing about the label."""
    first, second, verbs, nouns, marks = [], [], [], [], []
    for _ in range(n):
        (a, b), verb = rng.choice(NOUNS, 2, replace=False).tolist(), str(rng.choice(VERBS))
        mark = int(rng.integers(templates))
        first.append(f"{'t' * (mark + 1)} {a} {verb} {b}")
        second.append(f"{a} {verb}" if CASES[case] else f"{b} {verb}")
        verbs.append([verb])
        nouns.append([a, b])
        marks.append(f"premise {mark} -> {case}")
    units = {"verb": verbs, "noun": nouns, "template": marks}
    label = [0 if CASES[case] else 1] * n
    groups = [[0], [1, 2]]
    return Examples(first, second, label, groups=groups, classes=LABELS, units=units)


def made_task(n: int = 200, seed: int = 0) -> Task:
    rng = np.random.default_rng(seed)
    cases = {case: rows_of(case, n, rng) for case in CASES}
    labels = rng.integers(0, 3, 60).tolist()
    firsts = [" ".join(rng.choice(NOUNS, 3).tolist()) for _ in labels]
    validation = Examples(firsts, [text[:5].strip() for text in firsts], labels, classes=LABELS)
    return Task("words", validation=validation, cases=cases, heuristic=CASES, heuristic_label=0)


@dataclass
class World:
    """The model with its data, and the loss of every mask on the rows that define it."""

    model: object
    task: Task
    data: object
    means: object
    losses: np.ndarray
    epsilon: float


def made_world(seed: int) -> World:
    tokenizer = word_tokenizer([" ".join([*NOUNS, *VERBS, "t", "tt", "ttt"])])
    model = load(tiny_module("bert", seed=seed), tokenizer=tokenizer, labels=LABELS)
    data = tiny_batch(80, 9)
    means = mean_activations(model, data)
    plan = draw_plan([data], [0], ROWS, BATCH_SIZE)
    parts = [part for group in plan.groups for part in pick([data], group)]
    goal = Objective.of(model, parts, means, "heads+mlps", "kl", (), 16)
    losses = row_losses(goal, torch.from_numpy(ALL), plan.train_index(0)).mean(1).numpy()
    return World(model, made_task(), data, means, losses, float(np.quantile(losses, 0.125) - losses.min()))
