"""Where chains begin, the lowest loss known before sampling, and the bound that follows from it."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hc_interp.data.units import Levels
from hc_interp.errors import SearchError
from hc_interp.progress import stage
from hc_interp.search.objective import Objective
from hc_interp.search.plan import STREAMS, Plan, RandomStreams
from hc_interp.search.ranking import binary
from hc_interp.search.sampling.evaluator import losses_on
from hc_interp.search.sampling.store import SampleFolder, SavedStarts
from hc_interp.search.swaps import mask_losses, row_losses, swap_components
from hc_interp.search.training import Training
from hc_interp.statistics.units import Units

BATCH_SIZE = 16  # of the training that finds starts
POINT = 0.01  # of in-domain accuracy, that a mask at the bound may lose
STANDARD_ERRORS = 3  # of a paired difference of two masks' losses, that the bound must at least lie above the best
BEST_ROUNDS = 16  # of swaps, at most, for the best mask
STARTS_OF_A_SEED = 1_000  # so that no two seeds of the sampler train the same start
AT_ONCE = 64  # rows of one pass
PATH_MASKS = 32  # masks between the best and random ones, on which accuracy is compared with the loss

Mask = Bool[np.ndarray, " component"]


def known_starts(
    goal: Objective,
    plan: Plan,
    units: Mapping[str, Levels],
    settings: dict[str, Any],
    folder: SampleFolder | None,
    train: Callable[[Sequence[RandomStreams]], list[Float[Tensor, " component"]]] | None = None,
) -> SavedStarts:
    """Starts, the best mask and epsilon, from the folder where they are.

    `units` are those of the rows of the sample. `settings` has chains, seed, steps, sparsity and epsilon, which is
    chosen where it is None. `train` gives the trained `log_alpha` of each start (None: they are trained here).
    """
    if folder is not None and (saved := folder.starts()) is not None:
        return saved
    chains, seed, steps, sparsity = (settings[name] for name in ("chains", "seed", "steps", "sparsity"))
    streams = [start_streams(seed, i) for i in range(n_trained(chains))]
    trained = trained_here(goal, plan, sparsity, seed, streams, steps) if train is None else train(streams)
    masks, best, best_loss = draw_starts(goal, plan, sparsity, chains, seed, trained)
    epsilon, chosen = settings["epsilon"], {}
    if epsilon is None:
        epsilon, chosen = chosen_epsilon(goal, best, plan.train_index(seed), plan.held_out_index, seed, units)
    starts = SavedStarts(torch.from_numpy(masks), torch.from_numpy(best), best_loss, epsilon, chosen)
    if folder is not None:
        folder.write_starts(starts)
    return starts


def start_streams(seed: int, number: int) -> RandomStreams:
    """The random streams of a trained start; all starts of a sample train on its rows."""
    return RandomStreams(STARTS_OF_A_SEED * seed + number, seed, tuple(name for name in STREAMS if name != "data"))


def trained_here(
    goal: Objective, plan: Plan, sparsity: float, seed: int, streams: Sequence[RandomStreams], steps: int
) -> list[Float[Tensor, " component"]]:
    """The trained `log_alpha` of each start."""
    rows, found = plan.train_index(seed), []
    with stage("starts", steps * len(streams)) as progress:
        for i, own in enumerate(streams):
            found.append(Training(goal, rows, sparsity, own, steps, BATCH_SIZE).run(progress))
            progress.part(f"start {i}")
    return found


def draw_starts(
    goal: Objective, plan: Plan, sparsity: float, chains: int, seed: int, trained: Sequence[Float[Tensor, " component"]]
) -> tuple[Bool[np.ndarray, "chain component"], Mask, float]:
    """A mask for each chain, the best mask, and its loss on the rows of the sample.

    Half of the starts are what training finds, the others are random masks. The best mask is the best of the trained
    ones after rounds of swaps on all rows. Its loss is measured as the chains measure losses, so that it is within
    every bound.
    """
    rows = plan.train_index(seed)
    kept = [binary(log_alpha, sparsity, goal.universe).kept for log_alpha in trained]
    found = torch.tensor([[item in mask for item in goal.universe] for mask in kept])
    first = found[int(mask_losses(goal, found, rows).argmin())]
    rng = np.random.default_rng([seed, 0])
    best, _ = swap_components(goal, first, rows, BEST_ROUNDS, rng)
    random = random_masks(chains - len(trained), len(goal.universe), int(best.sum()), rng)
    loss = float(losses_on(goal, rows, best)(best.numpy()[None])[0])
    return np.concatenate([found.numpy(), random]), best.numpy(), loss


def n_trained(chains: int) -> int:
    """How many chains begin at what training finds."""
    return -(-chains // 2)


def random_masks(n_masks: int, n: int, n_kept: int, rng: np.random.Generator) -> Bool[np.ndarray, "mask component"]:
    """Masks that each keep `n_kept` of `n` components, drawn uniformly."""
    masks = np.zeros((n_masks, n), dtype=bool)
    for mask in masks:
        mask[rng.choice(n, n_kept, replace=False)] = True
    return masks


def swaps_away(mask: Mask, n: int, rng: np.random.Generator) -> Mask:
    """The mask after `n` random swaps of different components."""
    after = mask.copy()
    after[rng.choice(np.flatnonzero(mask), n, replace=False)] = False
    after[rng.choice(np.flatnonzero(~mask), n, replace=False)] = True
    return after


@torch.no_grad()
def chosen_epsilon(
    goal: Objective,
    best: Mask,
    rows: Int[Tensor, " n"],
    fresh: Int[Tensor, " m"],
    seed: int,
    units: Mapping[str, Levels],
) -> tuple[float, dict[str, float]]:
    """How far the loss may lie above the best, and the two numbers it is the larger of.

    "by_accuracy": the loss at which accuracy on `fresh` rows falls by a point, on masks that are up to a quarter of all
    swaps from the best one: mean fall over mean rise. In data without labels it is "by_agreement", with the full
    model's answers. "by_error": `STANDARD_ERRORS` standard errors of the difference between two such masks' losses on
    the rows of the sample, whose `units` are counted. Raises `SearchError` if accuracy has not fallen by a point on
    any of these masks.
    """
    rng = np.random.default_rng([seed, 1])
    most = max(1, min(int(best.sum()), int((~best).sum())) // 4)
    masks = np.stack([best, *(swaps_away(best, 1 + i * most // PATH_MASKS, rng) for i in range(PATH_MASKS))])
    kept = torch.from_numpy(masks)
    losses = row_losses(goal, kept, fresh).mean(1).numpy()
    right = np.array([float(_right(goal, mask, fresh).double().mean()) for mask in kept])
    rise, fall = losses[1:] - losses[0], right[0] - right[1:]
    slope = float(fall.sum() / rise.sum()) if rise.sum() > 0 else 0.0
    near = 1 + np.argsort(rise)[: PATH_MASKS // 2]
    pairs = row_losses(goal, kept[[0, *near.tolist()]], rows).numpy()
    error = float(np.median(errors_of_means(pairs[1:] - pairs[:1], units)))
    by = "by_accuracy" if goal.pool.scored else "by_agreement"
    found = {by: POINT / slope if slope > 0 else math.inf, "by_error": STANDARD_ERRORS * error}
    epsilon = max(found.values())
    if not found[by] <= rise.max():
        raise SearchError(
            "epsilon was not given, and accuracy falls by less than a point on the masks of the largest loss that were "
            "measured for it, so that no loss can be named at which it has fallen by a point. Give epsilon=, how far "
            "the loss of a mask may lie above the best."
        )
    return epsilon, found


def errors_of_means(by_row: Float[np.ndarray, "mask row"], units: Mapping[str, Levels]) -> Float[np.ndarray, " mask"]:
    """The standard error of the mean over rows; rows that share a level of a unit are not independent."""
    influence = (by_row - by_row.mean(1, keepdims=True)) / by_row.shape[1]
    return np.sqrt(np.asarray(Units.of(units).variance(influence.T)))


def _right(goal: Objective, mask: Tensor, rows: Int[Tensor, " m"]) -> Bool[Tensor, " m"]:
    """Whether each row is answered right under the mask (`Pool.right`)."""
    gates = mask.to(goal.model.dtype)
    return torch.cat([goal.pool.right(goal.logits(gates, part), part) for part in rows.split(AT_ONCE)]).cpu()
