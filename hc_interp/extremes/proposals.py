"""How the searches choose masks to measure: by expected improvement, and the chance to be within the bound.

All searches share what was measured. A surrogate (`search/sampling/surrogate.py`) is fitted to the log loss, and one to
each labeling's separation. A search walks by random swaps towards masks whose expected improvement over its own end,
times the probability that their loss is within the bound, is high (Gardner et al. 2014), and proposes the best ones.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import log_ndtr

from hc_interp.search.sampling.moves import uniform_swaps
from hc_interp.search.sampling.surrogate import KernelFit, LossSurrogate, swapped

WALKS = 4  # of each search in a round: half begin at its end, the others at masks among its best
AMONG = 10  # best masks of a search, at which the other walks begin
STEPS = 12  # swaps of a walk
BY_SURROGATE = 2  # masks that each search proposes in a round, besides one uniform swap of its end
LEAST_ERROR = 1e-4  # of a surrogate of separations

Masks = Bool[np.ndarray, "mask component"]
ByMask = Float[np.ndarray, " mask"]


def log_gain(
    log_loss: np.ndarray, log_bound: float, loss_error: float, value: np.ndarray, best: np.ndarray, error: np.ndarray
) -> np.ndarray:
    """log(expected improvement of `value` over `best` * probability that the loss is within the bound)."""
    z = (value - best) / error
    with np.errstate(divide="ignore", invalid="ignore"):
        near = np.log(z * np.exp(log_ndtr(z)) + np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi))
        far = -(z**2) / 2 - 2 * np.log(np.abs(z)) - np.log(2 * np.pi) / 2  # where the sum above is lost in rounding
    improvement = np.where(z > -5, near, far) + np.log(error)
    return improvement + log_ndtr((log_bound - log_loss) / loss_error)


@dataclass(frozen=True, eq=False)
class Measured:
    """Masks whose loss and separations are known: what the searches of one round begin with.

    A search is a labeling and a sign: -1 looks for the lowest separation, 1 for the highest.
    """

    masks: Masks
    within: Bool[np.ndarray, " mask"]
    separations: Float[np.ndarray, "mask labeling"]

    def end(self, labeling: int, sign: int) -> int:
        """The row of the mask within the bound that is the end of a search so far; the first of equal ones."""
        values = np.where(self.within, sign * self.separations[:, labeling], -np.inf)
        return int(values.argmax())

    def starts(self, labeling: int, sign: int, rng: np.random.Generator) -> list[int]:
        """Where the walks of a search begin."""
        inside = np.flatnonzero(self.within)
        ranked = inside[np.argsort(-sign * self.separations[inside, labeling], kind="stable")[:AMONG]]
        others = rng.choice(ranked, WALKS - WALKS // 2)
        return [self.end(labeling, sign)] * (WALKS // 2) + others.tolist()


def proposals(known: Measured, loss: LossSurrogate, bound: float, rng: np.random.Generator) -> Masks:
    """The masks that all searches propose, without repeats. Every search proposes as many as every other."""
    searches = [(labeling, sign) for labeling in range(known.separations.shape[1]) for sign in (-1, 1)]
    separation = KernelFit.fit(known.masks, known.separations, np.ones(len(known.masks)))
    labeling = np.repeat([search[0] for search in searches], WALKS)
    sign = np.repeat([search[1] for search in searches], WALKS)
    ends = [known.end(*search) for search in searches]
    best = np.repeat([known.separations[end, search[0]] for end, search in zip(ends, searches, strict=True)], WALKS)
    current = known.masks[[row for search in searches for row in known.starts(*search, rng)]]
    visited, gains = _walked(current, separation, labeling, loss, np.log(bound), sign, sign * best, rng)
    measured = {mask.tobytes() for mask in known.masks}
    chosen: dict[bytes, np.ndarray] = {}
    for number in range(len(searches)):
        rows = slice(number * WALKS, (number + 1) * WALKS)
        masks, gain = visited[:, rows].reshape(-1, visited.shape[-1]), gains[:, rows].reshape(-1)
        mine: dict[bytes, np.ndarray] = {}
        for row in np.argsort(-gain, kind="stable"):
            if len(mine) == BY_SURROGATE:
                break
            if (key := masks[row].tobytes()) not in measured:
                mine[key] = masks[row]
        chosen |= mine
    for mask in uniform_swaps(known.masks[ends], rng):
        if mask.tobytes() not in measured:
            chosen[mask.tobytes()] = mask
    return np.stack(list(chosen.values())) if chosen else known.masks[:0]


def _walked(
    current: Masks,
    separation: KernelFit,
    labeling: Int[np.ndarray, " mask"],
    loss: LossSurrogate,
    log_bound: float,
    sign: Int[np.ndarray, " mask"],
    best: ByMask,
    rng: np.random.Generator,
) -> tuple[Bool[np.ndarray, "step mask component"], Float[np.ndarray, "step mask"]]:
    """The masks that each walk visits, and their log gains. A swap is drawn with probability proportional to the gain
    where it leads."""
    visited, gains = [], []
    error = np.maximum(LEAST_ERROR, np.sqrt(np.mean(separation.left_out**2, axis=0)))[labeling]
    for _ in range(STEPS):
        table = loss.swaps(current)
        log_loss = loss.log_losses(current)[:, None] + table.values
        value = separation.changes(current, table.inside, table.outside, labeling)
        value += separation.values(current, labeling)[:, None]
        ahead = log_gain(log_loss, log_bound, loss.error, sign[:, None] * value, best[:, None], error[:, None])
        swap = (ahead + rng.gumbel(size=ahead.shape)).argmax(1)
        current = swapped(current, *table.chosen(swap))
        visited.append(current)
        gains.append(ahead[np.arange(len(swap)), swap])
    return np.stack(visited), np.stack(gains)
