"""The trunk world: all heads of the last layer read from the core alike."""

from hc_interp.testbeds.graded import MOST_OTHERS, check_others, compared
from hc_interp.testbeds.world import World


def trunk(seed: int = 0, noise: float = 0.0, others: int = MOST_OTHERS, relays: bool = False) -> World:
    """A world in which other heads read the core exactly as the generalizing heads do.

    Two generalizing heads of layer 2 read from the three core heads of layer 0 whether the nouns are in the premise's
    order. All `others` of layer 2 read the same, and what they write is read by no one. So T is 1, S is 0, and the core
    is what every later head reads. `others` and `relays` are those of `graded`, `seed` and `noise` those of
    `heuristic_core`.
    """
    check_others(others)
    return compared("trunk", seed, noise, 1.0, [1.0] * others, relays, others=others)
