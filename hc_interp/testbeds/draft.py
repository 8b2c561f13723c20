"""`Draft`: a world under construction. Heads take random indices in their layer; the unused heads become decoys."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from hc_interp.components import EMBED, MLP, OUTPUT, Head
from hc_interp.errors import HCError
from hc_interp.models.load import load
from hc_interp.testbeds import language
from hc_interp.testbeds.parts import HYPOTHESIS_SLOTS, collector, decoy, matcher
from hc_interp.testbeds.wiring import ONE, HeadPlan, LookupPlan, Wiring
from hc_interp.testbeds.world import PAIR_KINDS, Edge, EdgeEnd, World, reaching_output

N_LAYERS, N_HEADS = 3, 10
N_MATCHERS = 3
MOVING_DECOYS = (N_HEADS, 4, 2)  # by layer: at most so many decoys write something; others have no weights but noise

# The answer is entailment if a sum is positive. The heuristic adds FOUND for each noun of the hypothesis that is in the
# premise and -FOUND for each other noun, and BIAS. Each checker of the noun order adds the value of its answer here.
# The heuristic alone is right in domain, and answers "entailment" on every swap.
FOUND, BIAS = 2.0, -2.0
CHECKER_VALUES = {"wrong": -2.0, "missing": -1.0}


class Draft:
    """Collects the heads, lookups and edges of a circuit; `world` adds the decoys and builds the model."""

    def __init__(self, kind: str, seed: int, noise: float, **settings: Any) -> None:
        if not noise >= 0 or seed != int(seed) or seed < 0:
            raise HCError(
                f"seed={seed!r} and noise={noise!r} were given. Expected a whole number and a size, both from 0."
            )
        self.kind, self.seed, self.noise = kind, seed, noise
        self.settings = {**settings, "seed": seed, "noise": noise}
        self.rng = np.random.default_rng(seed)
        order = self.rng.permuted(np.tile(np.arange(N_HEADS), (N_LAYERS, 1)), axis=1)
        self._free = [[Head(layer, int(i)) for i in order[layer]] for layer in range(N_LAYERS)]
        self.wiring = Wiring(N_LAYERS, N_HEADS, language.word_terms(self.rng), language.position_terms())
        self.truth: list[Edge] = []

    def head(self, layer: int, plan: HeadPlan) -> Head:
        """Give the plan one of the unused heads of this layer."""
        head = self._free[layer].pop()
        self.wiring.heads[head] = plan
        return head

    def lookup(self, layer: int, plan: LookupPlan) -> MLP:
        """Give the plan the MLP of this layer."""
        self.wiring.lookups[layer] = plan
        return MLP(layer)

    def edges(
        self,
        senders: Iterable[EdgeEnd],
        receivers: Iterable[EdgeEnd],
        through: str,
        kinds: tuple[str, ...] = PAIR_KINDS,
    ) -> None:
        """Note an edge from every sender to every receiver."""
        self.truth += [Edge(sender, receiver, through, kinds) for receiver in receivers for sender in senders]

    def matchers(self, prefix: str, layer: int = 0, n: int = N_MATCHERS) -> dict[str, Head]:
        """Heads that find the nouns of the hypothesis in the premise, by the name of the features that they write."""
        matchers = {f"{prefix}{i}": self.head(layer, matcher(f"{prefix}{i}")) for i in range(n)}
        self.edges([EMBED], matchers.values(), "q")
        self.edges([EMBED], matchers.values(), "k", kinds=())
        return matchers

    def heuristic(self, core: Mapping[str, Head]) -> list[Head]:
        """Heads of the last layer ("collectors") that move to the first position whether each noun was found."""
        collectors = [
            self.head(N_LAYERS - 1, collector(f"found {slot}", slot, list(core))) for slot in HYPOTHESIS_SLOTS
        ]
        self.edges(core.values(), collectors, "v", kinds=("overlap",))
        self.edges(collectors, [OUTPUT], "in", kinds=("overlap",))
        return collectors

    def world(self, core: Iterable[Head], generalizing: Iterable[Head], orders: Sequence[str] = ()) -> World:
        """Add decoys and build the model. `orders` name the checkers whose features the answer reads."""
        matchers = [name.split(":")[0] for name in self.wiring.features() if name.endswith(": nowhere")]
        for layer, free in enumerate(self._free):
            for number, head in enumerate(free[: MOVING_DECOYS[layer]]):
                self.wiring.heads[head] = decoy(f"decoy {layer}.{number}", layer, matchers, self.rng)
        answer: dict[str, float] = {f"found {slot}": FOUND for slot in HYPOTHESIS_SLOTS}
        answer |= {ONE: BIAS}
        written = self.wiring.features()
        values = {f"{checker}: {word}": v for checker in orders for word, v in CHECKER_VALUES.items()}
        answer |= {feature: v for feature, v in values.items() if feature in written}
        generator = torch.Generator().manual_seed(self.seed)
        module = self.wiring.module(answer, self.noise, generator).float()
        name = f"testbed {self.kind}, seed {self.seed}"
        model = load(module, tokenizer=language.tokenizer(), labels=language.LABELS)
        return World(
            kind=self.kind,
            settings=self.settings,
            model=model,
            task=language.task(name, self.seed),
            truth=reaching_output(self.truth),
            core=tuple(sorted(core)),
            generalizing=tuple(sorted(generalizing)),
            decoys=tuple(sorted(head for free in self._free for head in free)),
        )
