"""The kinds of worlds of `calibration.py`: what is true in them, and which heads a verdict is asked about."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hc_interp import testbeds
from hc_interp.testbeds import World

BUILT, SEARCHED, LARGEST = "built", "searched", "largest"
ARMS = (BUILT, SEARCHED, LARGEST)
S_GRID = (0.0, 0.15, 0.3, 0.45, 0.7)
R_G_TURNS = (0.2, 0.5, 0.95)  # graded worlds take turns in R(G)
RANDOM_SCALES = (4.0, 8.0, 12.0)  # random BERTs take turns in the size of their weights
SOME = 40  # worlds of a kind and arm of which no share is asked for
QUICK_WORLDS = 8  # of each kind and arm in the quick form
LOWER, UPPER = 200, 400  # worlds of a kind of which an answer is asked in at least, or in at most, a share of them
GRADED = {0.3: UPPER, 0.7: 300}  # S = delta, and two of three with R(G) of at least .5


@dataclass(frozen=True)
class Kind:
    """`make(seed, noise)` builds a world. `arms` say who names the core and the generalizing heads, in how many worlds.

    "built": the world itself. "searched": the core by mask search, the generalizing heads by contrast. "largest": the
    core by mask search, and as generalizing heads those with the largest node effects among the other heads.
    """

    make: Callable[[int, float], World]
    built: int = SOME
    searched: int = 0
    largest: int = 0

    @property
    def arms(self) -> dict[str, int]:
        """The worlds of each arm that has any."""
        return {arm: n for arm in ARMS if (n := getattr(self, arm))}


def turn(choices: tuple[Any, ...], seed: int) -> Any:
    return choices[seed % len(choices)]


def graded(s: float, **settings: Any) -> Callable[[int, float], World]:
    return lambda seed, noise: testbeds.graded(seed, noise, S=s, R_G=turn(R_G_TURNS, seed), **settings)


KINDS: dict[str, Kind] = {
    "heuristic core": Kind(
        lambda seed, noise: testbeds.heuristic_core(seed, turn(testbeds.THROUGH, seed), noise), LOWER, SOME
    ),
    "competing subnetworks": Kind(lambda seed, noise: testbeds.competing_subnetworks(seed, noise), UPPER, SOME),
    "mixed": Kind(lambda seed, noise: testbeds.mixed(seed, noise), SOME, SOME),
    "exchangeable": Kind(lambda seed, noise: testbeds.exchangeable(seed, noise), UPPER, SOME),
    "null": Kind(lambda seed, noise: testbeds.null(seed, noise), LOWER, SOME),
    "trunk": Kind(lambda seed, noise: testbeds.trunk(seed, noise), UPPER, SOME),
    "trunk, one other head": Kind(lambda seed, noise: testbeds.trunk(seed, noise, others=1)),
    "trunk, relays": Kind(lambda seed, noise: testbeds.trunk(seed, noise, relays=True)),
    "half trunk": Kind(lambda seed, noise: testbeds.half_trunk(seed, noise)),
    **{f"graded, S = {s:g}": Kind(graded(s), GRADED.get(s, SOME)) for s in S_GRID},
    "graded, one other head": Kind(graded(0.7, others=1)),
    "graded, relays": Kind(graded(0.7, relays=True)),
    "weak but exclusive": Kind(lambda seed, noise: testbeds.graded(seed, noise, S=1.0, R_G=0.2)),
    "still decoys": Kind(
        lambda seed, noise: testbeds.heuristic_core(seed, turn(testbeds.THROUGH, seed), noise, live_decoys=None)
    ),
    "three others read": Kind(
        lambda seed, noise: testbeds.heuristic_core(seed, turn(testbeds.THROUGH, seed), noise, live_decoys=3)
    ),
    "moved threshold": Kind(lambda seed, noise: testbeds.moved_threshold(seed, noise), SOME, SOME),
    "constant answer": Kind(lambda seed, noise: testbeds.constant_answer(seed, noise)),
    "chance core": Kind(lambda seed, noise: testbeds.chance_core(seed, noise)),
    "answer carriers": Kind(lambda seed, noise: testbeds.answer_carriers(seed, noise)),
    "redundant heads": Kind(lambda seed, noise: testbeds.redundant_heads(seed, noise)),
    "generalizing core": Kind(lambda seed, noise: testbeds.generalizing_core(seed, noise)),
    "random BERT": Kind(lambda seed, noise: testbeds.random_bert(seed, turn(RANDOM_SCALES, seed)), 0, SOME, UPPER),
}
