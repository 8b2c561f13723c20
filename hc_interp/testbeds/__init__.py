"""Models whose circuit is known because it was built in: real BERTs with weights set by hand, their data and truth.

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
