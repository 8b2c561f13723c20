"""`Draft`: a world under construction. Heads take random places in their layer; the rest becomes decoys."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from hc_interp.components import EMBED, MLP, OUTPUT, Head
from hc_interp.errors import HCError
from hc_interp.models.load import load
from hc_interp.testbeds import language
from hc_interp.testbeds.parts import HYPOTHESIS_SLOTS, collector, matcher, reader_of_nothing
from hc_interp.testbeds.wiring import ONE, HeadPlan, LookupPlan, Wiring
from hc_interp.testbeds.world import Edge, World, edges, shown

N_LAYERS, N_HEADS = 3, 10
N_MATCHERS = 3
MOVING_DECOYS = (N_HEADS, 4, 2)  # by layer: decoys that move something; what is left over does nothing but for noise

# The answer: entailment if this is positive. Each noun brings FOUND or -FOUND, the heuristic; each checker adds what it
# says. In domain the heuristic alone is right, and on every swap it answers "entailment".
FOUND, BIAS = 2.0, -2.0
SAID = {"wrong": -2.0, "missing": -1.0}


class Draft:
    """Collects heads, lookups and edges; `world` builds the model and gives the decoys that fill it up."""

    def __init__(self, kind: str, seed: int, noise: float, **settings: Any) -> None:
        if not noise >= 0 or seed != int(seed) or seed < 0:
            raise HCError(
                f"seed={seed!r} and noise={noise!r} were given. Expected a whole number and a size, both from 0."
            )
        self.kind, self.seed, self.noise = kind, seed, noise
        self.settings = {**settings, "seed": seed, "noise": noise}
        self.rng = np.random.default_rng(seed)
        places = self.rng.permuted(np.tile(np.arange(N_HEADS), (N_LAYERS, 1)), axis=1)
        self._free = [[Head(layer, int(i)) for i in places[layer]] for layer in range(N_LAYERS)]
        self.wiring = Wiring(N_LAYERS, N_HEADS, language.word_terms(self.rng), language.position_terms())
        self.truth: list[Edge] = []

    def head(self, layer: int, plan: HeadPlan) -> Head:
        """Give the plan a place in this layer."""
        head = self._free[layer].pop()
        self.wiring.heads[head] = plan
        return head

    def lookup(self, layer: int, plan: LookupPlan) -> MLP:
        self.wiring.lookups[layer] = plan
        return MLP(layer)

    def edges(self, senders: Iterable[Any], receivers: Iterable[Any], through: str, **kinds: Any) -> None:
        self.truth += edges(senders, receivers, through, **kinds)

    def matchers(self, letter: str, layer: int = 0, n: int = N_MATCHERS) -> dict[str, Head]:
        """Heads that look the hypothesis' nouns up in the premise, by the name of what they write."""
        found = {f"{letter}{i}": self.head(layer, matcher(f"{letter}{i}")) for i in range(n)}
        self.edges([EMBED], found.values(), "q")
        self.edges([EMBED], found.values(), "k", kinds=())
        return found

    def heuristic(self, core: Mapping[str, Head]) -> list[Head]:
        """The collectors, which bring to the first position whether each noun was found."""
        found = [self.head(N_LAYERS - 1, collector(f"found {slot}", slot, list(core))) for slot in HYPOTHESIS_SLOTS]
        self.edges(core.values(), found, "v", kinds=("overlap",))
        self.edges(found, [OUTPUT], "in", kinds=("overlap",))
        return found

    def world(self, core: Iterable[Head], generalizing: Iterable[Head], orders: Sequence[str] = ()) -> World:
        """`orders` name the checkers whose features the answer reads."""
        matchers = [name.split(":")[0] for name in self.wiring.features() if name.endswith(": nowhere")]
        for layer, free in enumerate(self._free):
            for place, head in enumerate(free[: MOVING_DECOYS[layer]]):
                plan = reader_of_nothing(f"decoy {layer}.{place}", layer, matchers, self.rng)
                self.wiring.heads[head] = plan
        answer: dict[str, float] = {f"found {slot}": FOUND for slot in HYPOTHESIS_SLOTS}
        answer |= {ONE: BIAS}
        written = self.wiring.features()
        answer |= {f"{n}: {said}": v for n in orders for said, v in SAID.items() if f"{n}: {said}" in written}
        generator = torch.Generator().manual_seed(self.seed)
        module = self.wiring.module(answer, self.noise, generator).float()
        name = f"testbed {self.kind}, seed {self.seed}"
        model = load(module, tokenizer=language.tokenizer(), labels=language.LABELS)
        return World(
            kind=self.kind,
            settings=self.settings,
            model=model,
            task=language.task(name, self.seed),
            truth=shown(self.truth),
            core=tuple(sorted(core)),
            generalizing=tuple(sorted(generalizing)),
            decoys=tuple(sorted(head for free in self._free for head in free)),
        )
