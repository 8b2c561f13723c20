"""The half-trunk world: half of the other heads of the last layer read from the core as the generalizing heads do."""

from hc_interp.testbeds.graded import MOST_OTHERS, compared
from hc_interp.testbeds.world import World


def half_trunk(seed: int = 0, noise: float = 0.0, relays: bool = False) -> World:
    """A world in which three of six other heads read the core exactly as the generalizing heads do.

    It is the trunk world, but three of the other heads of layer 2 read two heads of layer 1 instead, which find the
    nouns themselves. So S is .5, but many of the heads that could be called generalizing read the core as much.
    `relays` is that of `graded`, `seed` and `noise` those of `heuristic_core`.
    """
    half = MOST_OTHERS // 2
    return compared("half trunk", seed, noise, 1.0, [1.0] * half + [0.0] * (MOST_OTHERS - half), relays)
