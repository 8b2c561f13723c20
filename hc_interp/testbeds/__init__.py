"""Models whose circuit is known because it was built in: real BERTs with weights set by hand, their data and truth."""

from hc_interp.testbeds.heuristic import heuristic_core
from hc_interp.testbeds.world import Edge, World

__all__ = ["Edge", "World", "heuristic_core"]
