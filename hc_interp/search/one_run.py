"""One run of a search: training, trades, and the score of the binary mask on held-out data."""

from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hc_interp.components import Subnetwork, kept_count
from hc_interp.interventions.nodes import Keep
from hc_interp.progress import Stage
from hc_interp.search.exchange import exchange
from hc_interp.search.finished import FinishedRun
from hc_interp.search.found import HISTORY
from hc_interp.search.hard_concrete import top_places
from hc_interp.search.objectives import kl_divergence
from hc_interp.search.plan import Plan, seed_of
from hc_interp.search.ranking import binary
from hc_interp.search.training import Objective, Training

EXCHANGE_ROWS = 128  # examples that trades are measured on
EVAL_SIZE = 64


def run_once(
    goal: Objective, plan: Plan, sparsity: float, seed: int, settings: dict[str, Any], progress: Stage
) -> FinishedRun:
    """Train, trade and score one mask, all from its own seed."""
    rows = plan.places(plan.train[seed])
    steps = settings["steps"] if sparsity > 0 else 0
    training = Training(goal, rows, sparsity, seed, steps, settings["batch_size"])
    log_alpha = training.run(progress)
    losses: list[float] = []
    if sparsity > 0 and settings["exchanges"]:
        rng = np.random.default_rng(seed_of(seed, "exchanges"))
        own = rows[torch.from_numpy(np.sort(rng.permutation(len(rows))[:EXCHANGE_ROWS]))]
        log_alpha, losses = traded(goal, log_alpha, sparsity, own, settings["exchanges"], rng)
    kl, agrees = score(goal, binary(log_alpha, sparsity, goal.universe), plan.places(plan.held_out))
    history = pd.DataFrame(training.history, columns=HISTORY[1:])
    return FinishedRun("", sparsity, seed, log_alpha, history, tuple(losses), kl, agrees)


def traded(
    goal: Objective,
    log_alpha: Float[Tensor, " component"],
    sparsity: float,
    rows: Int[Tensor, " n"],
    rounds: int,
    rng: np.random.Generator,
) -> tuple[Float[Tensor, " component"], list[float]]:
    """`log_alpha` with the values of traded components swapped, and the mask's loss before and after each round."""
    n_kept = kept_count(len(log_alpha), sparsity)
    kept = torch.zeros(len(log_alpha), dtype=torch.bool)
    kept[top_places(log_alpha, n_kept)] = True
    best, losses = exchange(goal, kept, rows, rounds, rng)
    left, entered = (kept & ~best).nonzero()[:, 0], (best & ~kept).nonzero()[:, 0]
    found = log_alpha.clone()
    found[left], found[entered] = log_alpha[entered], log_alpha[left]
    return found, losses


@torch.no_grad()
def score(goal: Objective, subnetwork: Subnetwork, rows: Tensor) -> tuple[Float[Tensor, " row"], Bool[Tensor, " row"]]:
    """KL(full || subnetwork) and whether both give the same answer, for each of these rows of the pool."""
    order = torch.argsort(goal.pool.lengths[rows], stable=True)
    keep = [*goal.interventions, Keep(subnetwork, goal.source)]
    parts = [goal.model.logits(goal.pool.take(cut), keep) for cut in rows[order].split(EVAL_SIZE)]
    logits = torch.cat(parts)[torch.argsort(order)]
    full = goal.pool.reference[rows]
    return kl_divergence(full, logits).cpu(), (full.argmax(-1) == logits.argmax(-1)).cpu()
