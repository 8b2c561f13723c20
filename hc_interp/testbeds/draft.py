"""`Draft`: a world under construction. Heads take random indices in their layer; the unused heads become decoys."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from hc_interp.components import EMBED, MLP, OUTPUT, Head
from hc_interp.errors import HCError
from hc_interp.models.load import load
from hc_interp.testbeds import language
from hc_interp.testbeds.parts import HYPOTHESIS_SLOTS, collector, decoy, live_decoy, matcher
from hc_interp.testbeds.true_reading import BuiltHead, true_reading
from hc_interp.testbeds.wiring import ONE, HeadPlan, LookupPlan, Wiring
from hc_interp.testbeds.world import ALL_HOLD, PAIR_KINDS, Edge, EdgeEnd, World, reaching_output

N_LAYERS, N_HEADS = 3, 10
N_MATCHERS = 3
CORE = "core "  # the prefix of the names of the core's matchers
MOVING_DECOYS = (N_HEADS, 4, 2)  # by layer: at most so many decoys write something; others have no weights but noise

# The answer is entailment if a sum is positive. The heuristic adds FOUND for each noun of the hypothesis that is in the
# premise and -FOUND for each other noun, and BIAS. Each checker of the noun order adds the value of its answer here.
# The heuristic alone is right in domain, and answers "entailment" on every swap.
FOUND, BIAS = 2.0, -2.0
CHECKER_VALUES = {"wrong": -2.0, "missing": -1.0}


class Draft:
    """Collects the heads, lookups and edges of a circuit; `world` adds the decoys and builds the model.

    `live_decoys` is a number of decoys of each layer after the first. So many read a core head of layer 0, and all
    other decoys, of all layers, read a noun; every decoy's output changes on pairs of both kinds. With None, most
    decoys write nothing or do not change on order pairs (`MOVING_DECOYS`, `parts.decoy`).
    """

    def __init__(self, kind: str, seed: int, noise: float, live_decoys: int | None = None, **settings: Any) -> None:
        if not noise >= 0 or seed != int(seed) or seed < 0:
            raise HCError(
                f"seed={seed!r} and noise={noise!r} were given. Expected a whole number and a size, both from 0."
            )
        if live_decoys is not None and not 0 <= live_decoys <= N_HEADS:
            raise HCError(f"live_decoys={live_decoys!r} was given. Expected None or a number from 0 to {N_HEADS}.")
        self.kind, self.seed, self.noise, self.live_decoys = kind, seed, noise, live_decoys
        self.settings = {**settings, "live_decoys": live_decoys, "seed": seed, "noise": noise}
        self.rng = np.random.default_rng(seed)
        order = self.rng.permuted(np.tile(np.arange(N_HEADS), (N_LAYERS, 1)), axis=1)
        self._free = [[Head(layer, int(i)) for i in order[layer]] for layer in range(N_LAYERS)]
        self.wiring = Wiring(N_LAYERS, N_HEADS, language.word_terms(self.rng), language.position_terms())
        self.truth: list[Edge] = []
        self.answer: dict[str, float] = {ONE: BIAS}
        self._built: dict[Head, BuiltHead] = {}
        self._responses: dict[str, float] = {}  # of the writer of "name: answer" features, by name

    def head(
        self,
        layer: int,
        plan: HeadPlan,
        response: float = 0.0,
        kinds: tuple[str, ...] = PAIR_KINDS,
        extent: float = language.LENGTH,
    ) -> Head:
        """Give the plan one of the unused heads of this layer.

        `response`, `kinds` and `extent` are those of `BuiltHead`. The default extent is that of a head which writes one
        of several answers at every position.
        """
        head = self._free[layer].pop()
        self._use(head, plan, response, kinds, extent)
        return head

    def _use(
        self, head: Head, plan: HeadPlan, response: float, kinds: tuple[str, ...], extent: float = language.LENGTH
    ) -> None:
        self.wiring.heads[head] = plan
        self._built[head] = BuiltHead(response, kinds, extent)
        self._responses |= {name.split(":")[0]: response for _, write in plan.moves for name in write}

    def lookup(self, layer: int, plan: LookupPlan, response: float = 1.0) -> MLP:
        """Give the plan the MLP of this layer; `response` is to the core."""
        self.wiring.lookups[layer] = plan
        self._responses |= {name.split(":")[0]: response for _, write in plan.neurons for name in write}
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
        """Heads that find the nouns of the hypothesis in the premise, by the name of the features that they write.

        Those with the prefix `CORE` are the core.
        """
        slots = len(HYPOTHESIS_SLOTS)  # the positions at which their answers change
        response = float(prefix == CORE)
        matchers = {f"{prefix}{i}": self.head(layer, matcher(f"{prefix}{i}"), response, extent=slots) for i in range(n)}
        self.edges([EMBED], matchers.values(), "q")
        self.edges([EMBED], matchers.values(), "k", kinds=())
        return matchers

    def heuristic(
        self, matchers: Mapping[str, Head], layer: int = N_LAYERS - 1, n: int = 2, response: float = 1.0
    ) -> list[Head]:
        """`n` heads of a layer ("collectors") that move to the first position whether each noun was found.

        The answer reads them. They take turns in the two nouns of the hypothesis. `response` is 1 if the matchers are
        the core.
        """
        slots = [HYPOTHESIS_SLOTS[i % 2] for i in range(n)]
        names = [f"found {slot}" if i < 2 else f"found {slot} {i // 2}" for i, slot in enumerate(slots)]
        collectors = [
            self.head(layer, collector(name, slot, list(matchers)), response, ("overlap",))
            for name, slot in zip(names, slots, strict=True)
        ]
        self.answer |= {name: FOUND / slots.count(slot) for name, slot in zip(names, slots, strict=True)}
        self.edges(matchers.values(), collectors, "v", kinds=("overlap",))
        self.edges(collectors, [OUTPUT], "in", kinds=("overlap",))
        return collectors

    def world(
        self,
        core: Iterable[Head],
        generalizing: Iterable[Head],
        orders: Sequence[str] = (),
        premises: Mapping[str, str] | None = None,
    ) -> World:
        """Add decoys and build the model.

        `orders` name the checkers whose features the answer reads. `premises` are those that do not hold, by name.
        """
        core, generalizing = tuple(sorted(core)), tuple(sorted(generalizing))
        self._add_decoys()
        written = self.wiring.features()
        values = {f"{checker}: {word}": v for checker in orders for word, v in CHECKER_VALUES.items()}
        answer = self.answer | {feature: v for feature, v in values.items() if feature in written}
        generator = torch.Generator().manual_seed(self.seed)
        module = self.wiring.module(answer, self.noise, generator).float()
        name = f"testbed {self.kind}, seed {self.seed}"
        model = load(module, tokenizer=language.tokenizer(), labels=language.LABELS)
        truth = reaching_output(self.truth)
        told = [kind for kind in PAIR_KINDS if any(e.sender in generalizing and kind in e.kinds for e in truth)]
        return World(
            kind=self.kind,
            settings=self.settings,
            model=model,
            task=language.task(name, self.seed),
            truth=truth,
            core=core,
            generalizing=generalizing,
            decoys=tuple(sorted(head for free in self._free for head in free)),
            premises={**ALL_HOLD, **(premises or {})},
            reading={kind: true_reading(kind, self._built, core, generalizing, N_HEADS) for kind in told},
        )

    def _add_decoys(self) -> None:
        """Give plans to heads that are left."""
        matchers = [name.split(":")[0] for name in self.wiring.features() if name.endswith(": nowhere")]
        first = [name for name in matchers if name.startswith(CORE)]
        for layer, free in enumerate(self._free):
            for number, head in enumerate(free):
                name = f"decoy {layer}.{number}"
                if self.live_decoys is not None and layer > 0:
                    reads = number < self.live_decoys
                    sender = first[int(self.rng.integers(len(first)))] if reads else None
                    self._use(head, live_decoy(name, sender, self.rng), float(reads), PAIR_KINDS)
                elif number < MOVING_DECOYS[layer]:
                    plan, sender = decoy(name, layer, matchers, self.rng)
                    kinds = ("overlap",) if sender else PAIR_KINDS
                    self._use(head, plan, self._responses.get(sender or "", 0.0), kinds)
