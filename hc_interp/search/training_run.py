"""One run of a search: training, swaps, and the score of the binary mask on held-out data."""

from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hc_interp.errors import SearchError
from hc_interp.interventions.nodes import Keep
from hc_interp.metrics import kl_divergence
from hc_interp.progress import Stage, stage
from hc_interp.search.hard_concrete import top_indices
from hc_interp.search.objective import Objective
from hc_interp.search.plan import Plan, RandomStreams
from hc_interp.search.ranking import binary
from hc_interp.search.result import HISTORY, ROUNDS
from hc_interp.search.store import FinishedRun
from hc_interp.search.swaps import Round, swap_components
from hc_interp.search.training import Training
from hc_interp.shares import kept_count
from hc_interp.subnetwork import Subnetwork

EVAL_SIZE = 64  # examples of one pass without gradients


def run_once(
    goal: Objective, plan: Plan, sparsity: float, streams: RandomStreams, settings: dict[str, Any], progress: Stage
) -> FinishedRun:
    """Train one mask, improve it by swaps and score it on the held-out rows.

    At sparsity 0 nothing is trained or swapped. Raises `SearchError` for a loss or a score that is not finite.
    """
    rows = plan.train_index(streams.run_seed("data"))
    steps = settings["steps"] if sparsity > 0 else 0
    training = Training(goal, rows, sparsity, streams, steps, settings["batch_size"])
    log_alpha = training.run(progress)
    rounds: list[Round] = []
    if sparsity > 0 and settings["exchanges"]:
        rng = np.random.default_rng(streams.of("exchanges"))
        with stage("swaps", settings["exchanges"]) as bar:
            log_alpha, rounds = swapped(goal, log_alpha, sparsity, rows, settings["exchanges"], rng, bar)
    kl, agrees = score(goal, binary(log_alpha, sparsity, goal.universe), plan.held_out_index)
    if n_bad := int((~torch.isfinite(kl)).sum()):
        raise SearchError(
            f"The KL of the mask that was found (seed {streams.seed}, sparsity {sparsity:g}) is not finite on {n_bad} "
            f"of {len(kl)} held-out examples. Expected finite logits under a binary mask; check the means, the model's "
            "dtype (float16 overflows where float32 does not) and the interventions."
        )
    history = pd.DataFrame(training.history, columns=HISTORY[1:])
    exchanges = pd.DataFrame([{"round": i} | asdict(item) for i, item in enumerate(rounds)], columns=ROUNDS[1:])
    return FinishedRun(sparsity, streams.seed, log_alpha, history, exchanges, kl, agrees)


def swapped(
    goal: Objective,
    log_alpha: Float[Tensor, " component"],
    sparsity: float,
    rows: Int[Tensor, " n"],
    rounds: int,
    rng: np.random.Generator,
    progress: Stage,
) -> tuple[Float[Tensor, " component"], list[Round]]:
    """`log_alpha` after the rounds of swaps, and what each round did.

    The values of removed and added components are swapped, so that the kept components again have the largest values.
    """
    n_kept = kept_count(len(log_alpha), sparsity)
    kept = torch.zeros(len(log_alpha), dtype=torch.bool)
    kept[top_indices(log_alpha, n_kept)] = True
    best, history = swap_components(goal, kept, rows, rounds, rng, progress)
    removed, added = (kept & ~best).nonzero()[:, 0], (best & ~kept).nonzero()[:, 0]
    improved = log_alpha.clone()
    improved[removed], improved[added] = log_alpha[added], log_alpha[removed]
    return improved, history


@torch.no_grad()
def score(
    goal: Objective, subnetwork: Subnetwork, rows: Int[Tensor, " row"]
) -> tuple[Float[Tensor, " row"], Bool[Tensor, " row"]]:
    """KL(full || subnetwork) in nats and whether both give the same answer, for each of these rows of the pool."""
    order = torch.argsort(goal.pool.lengths[rows], stable=True)
    keep = [*goal.interventions, Keep(subnetwork, goal.source)]
    parts = [goal.model.logits(goal.pool.take(cut), keep) for cut in rows[order].split(EVAL_SIZE)]
    logits = torch.cat(parts)[torch.argsort(order)]
    full = goal.pool.reference[rows]
    return kl_divergence(full, logits).cpu(), (full.argmax(-1) == logits.argmax(-1)).cpu()
