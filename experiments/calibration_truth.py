"""What is true in a world of `calibration.py`: T and S of the core and the generalizing heads on fresh pairs."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from calibration_tables import MARGIN
from calibration_worlds import KINDS

from hc_interp.patching.joint_effects import JointPath, PairRuns, Responses
from hc_interp.reading.reads_from import HeadRoles
from hc_interp.reading.relabelling import other_heads
from hc_interp.reading.specificity import specificity
from hc_interp.statistics.tests import Interval
from hc_interp.statistics.units import Units
from hc_interp.testbeds.language import NOUNS, VOCABULARY

NOISE = (0.005, 0.02)
TRUTH_PAIRS = (200, 1_800, 18_000)  # a further part is measured while the truth is not told from the margin
PAIRS_OF_S = 2_000
SURE = 3  # standard errors between a truth and the margin
CHUNK = 4_000  # pairs that are drawn at once
AT_ONCE = 200  # pairs of one pass


def build(kind: str, seed: int, noise: float | None = None) -> Any:
    """The world of this kind and seed."""
    size = float(np.random.default_rng([seed, 1]).uniform(*NOISE)) if noise is None else noise
    return KINDS[kind].make(seed, size)


def truth(world: Any, kind: str, core: Any, receivers: Any, sizes: tuple[int, ...]) -> dict[str, float]:
    """T on fresh pairs with its standard error, from as many as tell on which side of the margin it lies."""
    path, whole = np.empty(0), np.empty(0)
    value = error = float("nan")
    for part, n in enumerate(sizes):
        for pairs in fresh(world, kind, n, part):
            found = runs_of(world, pairs).measure([JointPath(core, receivers, "all")], [receivers])
            path, whole = np.append(path, found.paths[:, 0]), np.append(whole, found.nodes[:, 0])
        value = path.sum() / whole.sum()
        error = float(np.std(path - value * whole) / abs(whole.mean()) / len(path) ** 0.5)
        if abs(abs(value) - MARGIN) > SURE * error:
            break
    return {"truth": value, "truth_error": error, "truth_pairs": len(path)}


def truth_of_S(world: Any, kind: str, roles: HeadRoles) -> float:
    """S on fresh pairs: noise in the weights moves it from the built value. NaN where the core is not read."""
    (pairs,) = fresh(world, kind, PAIRS_OF_S, len(TRUTH_PAIRS) + 1)
    return float(S_of(responses_to(roles, runs_of(world, pairs)), roles))


def responses_to(roles: HeadRoles, runs: PairRuns) -> Responses:
    """How far the generalizing heads, and the other heads of their layers, follow the core."""
    others = other_heads(roles.generalizing, (*roles.core, *roles.unread), runs.model.n_heads)
    return runs.responses(roles.core, (*roles.generalizing, *others), "all")


def S_of(responses: Responses, roles: HeadRoles, units: Units | None = None) -> Interval:
    """S with its interval; without `units` every pair counts as independent."""
    if units is None:
        units = Units.of({"source": [(str(i),) for i in range(len(responses.explained))]})
    return specificity(responses, roles.generalizing, units, margin=MARGIN, level=0.95, seed=0).S


def fresh(world: Any, kind: str, n: int, part: int) -> Iterator[Any]:
    """`n` new pairs of the world's distribution, at most `CHUNK` at a time; each `part` has others."""
    seeds = np.random.SeedSequence([world.settings["seed"], part]).generate_state(-(-n // CHUNK))
    for seed, start in zip(seeds.tolist(), range(0, n, CHUNK), strict=True):
        yield world.population(kind, min(CHUNK, n - start), seed)


def runs_of(world: Any, pairs: Any) -> PairRuns:
    return PairRuns.of(world.model, pairs, "logit_diff", (), AT_ONCE)


def nouns_of(pairs: Any) -> list[tuple[str, ...]]:
    """The nouns of each pair."""
    tokens = torch.cat([side.input_ids for side in pairs.sides], dim=1).tolist()
    return [tuple(sorted({VOCABULARY[token] for token in row} & set(NOUNS))) for row in tokens]
