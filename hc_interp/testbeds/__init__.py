"""Testbeds: BERT models whose weights were set by hand, so that their circuit is known, with data that shows it.

world = hc.testbeds.heuristic_core(seed=0, through="v", noise=0.05)
verdict = hc.reads_from(world.model, world.pairs, core=world.core, generalizing=world.generalizing, means=world.means)
"""

from hc_interp.testbeds.competing_subnetworks import competing_subnetworks
from hc_interp.testbeds.exchangeable import exchangeable
from hc_interp.testbeds.heuristic_core import THROUGH, heuristic_core
from hc_interp.testbeds.mixed import mixed
from hc_interp.testbeds.null import null
from hc_interp.testbeds.world import Edge, World

__all__ = [
    "THROUGH", "Edge", "World", "competing_subnetworks", "exchangeable", "heuristic_core", "mixed", "null",
]  # fmt: skip
