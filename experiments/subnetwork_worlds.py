"""Built worlds for `subnetworks.py`: what do all good subnetworks of a world share, and have they alternatives?

In `hc.testbeds.competing_subnetworks` the generalizing circuit alone is much worse in domain than the heuristic one, so
that good subnetworks have no choice between the two. In "side by side" each circuit alone gives the answer in domain.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import hc_interp as hc
from hc_interp import testbeds
from hc_interp.components import OUTPUT, Component
from hc_interp.metrics import kl_divergence
from hc_interp.testbeds import World
from hc_interp.testbeds.draft import CORE, FOUND, Draft
from hc_interp.testbeds.parts import HYPOTHESIS_SLOTS, checker, collector
from hc_interp.testbeds.wiring import ONE, LookupPlan, Terms

LEAST_EPSILON = 1e-3  # where noise makes a circuit as good without a component, which is then not shared in truth
GAIN = 1.25  # one voter alone, with the other at its mean, drives the clipped sum past its ends
CHECKER_VOTES = {"right": 1.0, "wrong": -3.0, "missing": -1.0}  # "wrong" outvotes a noun that was found
FREE, FREE_SIDE = 2, 2  # components that a good subnetwork can keep beside a circuit
TWICE = 2.0  # energy of an MLP whose inputs reach twice as far as a sign


@dataclass(frozen=True)
class SharedWorld:
    """A world, the components that all of its good subnetworks share by construction, and how many these keep.

    `circuits` are sets of components of which each alone gives the answer in domain. `needed` has, for each circuit,
    those of its components without which it does not. `groups` are two circuits that share no head, if there are any.
    """

    world: World
    shared: tuple[Component, ...]
    kept: int
    circuits: tuple[frozenset[Component], ...]
    needed: tuple[tuple[Component, ...], ...]
    groups: tuple[tuple[Component, ...], tuple[Component, ...]] | None = None

    def epsilon(self, data: hc.Batch, means: hc.MeanActivations) -> float:
        """Half of what the cheapest loss of a needed component costs: every circuit without one is above the bound."""
        full = self.world.model.logits(data)

        def loss(kept: frozenset[Component]) -> float:
            keep = hc.Keep(hc.Subnetwork(kept, self.world.model.components), means)
            return float(kl_divergence(full, self.world.model.logits(data, keep)).mean())

        broken = [
            loss(circuit - {item})
            for circuit, needed in zip(self.circuits, self.needed, strict=True)
            for item in needed
        ]
        return max(LEAST_EPSILON, (min(broken) - min(map(loss, self.circuits))) / 2)


def clipped(slot: str, votes: Terms) -> tuple[tuple[Terms, Terms], ...]:
    """Neurons that write the sum of the votes times `GAIN`, clipped at -1 and 1, as the feature of this noun."""
    name, gained = f"clipped {slot}", {feature: GAIN * vote for feature, vote in votes.items()}
    return ({**gained, ONE: 1.0}, {name: 1.0}), ({**gained, ONE: -1.0}, {name: -1.0}), ({ONE: 1.0}, {name: -1.0})


def side_by_side(seed: int, noise: float) -> SharedWorld:
    """Two circuits that share no head, and of which each alone gives the answer in domain.

    Heads of the heuristic vote for or against each noun of the hypothesis, and so do checkers of another circuit, which
    also vote against nouns in the wrong order. The last MLP clips the sum of the two votes.
    """
    draft = Draft("two circuits side by side", seed, noise, live_decoys=0)
    core, others = draft.matchers(CORE, n=2), draft.matchers("other ", n=2)
    collectors = draft.heuristic(core)
    checkers = [draft.head(2, checker(f"order {slot}", slot, list(others))) for slot in HYPOTHESIS_SLOTS]
    votes = {slot: {f"found {slot}": 1.0, **checker_votes(slot)} for slot in HYPOTHESIS_SLOTS}
    mlp = draft.lookup(2, LookupPlan(sum((clipped(slot, votes[slot]) for slot in HYPOTHESIS_SLOTS), ()), energy=TWICE))
    draft.answer = {ONE: draft.answer[ONE]} | {f"clipped {slot}": FOUND for slot in HYPOTHESIS_SLOTS}
    draft.edges(others.values(), checkers, "v")
    draft.edges([*collectors, *checkers], [mlp], "in")
    draft.edges([mlp], [OUTPUT], "in")
    first, second = (*core.values(), *collectors), (*others.values(), *checkers)
    return SharedWorld(
        draft.world(first, second),
        (mlp,),
        len(first) + 1 + FREE_SIDE,
        (frozenset({*first, mlp}), frozenset({*second, mlp})),
        ((*first, mlp), (*second, mlp)),
        (ordered(first), ordered(second)),
    )


def duplicated_head(seed: int, noise: float) -> SharedWorld:
    """A heuristic core in which one head has a duplicate, and either of the two is enough."""
    draft = Draft("heuristic core, one head twice", seed, noise, live_decoys=0)
    core = draft.matchers(CORE)
    collectors = draft.heuristic(core)
    slot = HYPOTHESIS_SLOTS[seed % 2]
    twin = draft.head(2, collector(f"found {slot} again", slot, list(core)), 1.0, ("overlap",))
    checkers = [draft.head(2, checker(f"order {name}", name, list(core)), 1.0) for name in HYPOTHESIS_SLOTS]
    votes = {f"found {slot}": 1.0, f"found {slot} again": 1.0}
    mlp = draft.lookup(2, LookupPlan(clipped(slot, votes), energy=TWICE))
    draft.answer = {name: value for name, value in draft.answer.items() if name != f"found {slot}"}
    draft.answer |= {f"clipped {slot}": FOUND}
    draft.edges(core.values(), [twin, *checkers], "v")
    draft.edges([twin, *collectors], [mlp], "in")
    draft.edges([mlp, *checkers], [OUTPUT], "in")
    twice = {twin, collectors[HYPOTHESIS_SLOTS.index(slot)]}
    world = draft.world([*core.values(), *collectors, twin], checkers, [f"order {name}" for name in HYPOTHESIS_SLOTS])
    return shared_core(world, {*core.values(), *collectors, mlp} - twice, {*core.values(), *collectors, mlp})


def checker_votes(slot: str) -> Terms:
    return {f"order {slot}: {answer}": vote for answer, vote in CHECKER_VOTES.items()}


def heuristic_core(seed: int, noise: float) -> SharedWorld:
    """The heuristic core world: the generalizing heads read the core's heads by their values."""
    world = testbeds.heuristic_core(seed, "v", noise)
    return shared_core(world, set(world.core), set(world.core))


def null(seed: int, noise: float) -> SharedWorld:
    """The null world: the heuristic core without generalizing heads."""
    world = testbeds.null(seed, noise)
    return shared_core(world, set(world.core), set(world.core))


def competing(seed: int, noise: float) -> SharedWorld:
    """The competing subnetworks world, in which the second circuit is no alternative in domain."""
    world = testbeds.competing_subnetworks(seed, noise)
    return shared_core(world, set(world.core), set(world.core))


def shared_core(world: World, shared: set[Component], circuit: set[Component]) -> SharedWorld:
    """A world of one circuit, with or without its generalizing heads, whose `shared` components cannot be spared."""
    circuits = frozenset(circuit), frozenset({*circuit, *world.generalizing})
    needed = ordered(shared)
    return SharedWorld(world, needed, len(circuit) + FREE, circuits, (needed, needed))


def ordered(items: Iterable[Component]) -> tuple[Component, ...]:
    return tuple(sorted(items, key=str))


KINDS: dict[str, Callable[[int, float], SharedWorld]] = {
    "side by side": side_by_side,
    "heuristic core": heuristic_core,
    "duplicated head": duplicated_head,
    "null": null,
    "competing subnetworks": competing,
}
