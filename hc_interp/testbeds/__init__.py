"""Testbeds: BERT models whose weights were set by hand, so that their circuit is known, with data that shows it.

world = hc.testbeds.heuristic_core(seed=0, through="v", noise=0.05)
verdict = hc.reads_from(world.model, world.pairs, core=world.core, generalizing=world.generalizing, means=world.means)
"""

from hc_interp.testbeds.answer_carriers import answer_carriers
from hc_interp.testbeds.chance_core import chance_core
from hc_interp.testbeds.competing_subnetworks import competing_subnetworks
from hc_interp.testbeds.constant_answer import constant_answer
from hc_interp.testbeds.exchangeable import exchangeable
from hc_interp.testbeds.generalizing_core import generalizing_core
from hc_interp.testbeds.graded import graded
from hc_interp.testbeds.half_trunk import half_trunk
from hc_interp.testbeds.heuristic_core import THROUGH, heuristic_core
from hc_interp.testbeds.mixed import mixed
from hc_interp.testbeds.moved_threshold import moved_threshold
from hc_interp.testbeds.null import null
from hc_interp.testbeds.random_bert import random_bert
from hc_interp.testbeds.redundant_heads import redundant_heads
from hc_interp.testbeds.true_reading import TrueReading
from hc_interp.testbeds.trunk import trunk
from hc_interp.testbeds.world import Edge, World

__all__ = [
    "THROUGH", "Edge", "TrueReading", "World", "answer_carriers", "chance_core", "competing_subnetworks",
    "constant_answer", "exchangeable", "generalizing_core", "graded", "half_trunk", "heuristic_core", "mixed",
    "moved_threshold", "null", "random_bert", "redundant_heads", "trunk",
]  # fmt: skip
