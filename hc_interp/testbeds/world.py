"""`World`: a model whose circuit is known because it was built in, with the data that shows it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

from hc_interp.components import EMBED, MLP, OUTPUT, Component, Head
from hc_interp.data.contrast import ContrastPairs
from hc_interp.data.task import Task
from hc_interp.interventions.means import MeanActivations, mean_activations
from hc_interp.models.hooked import HookedModel
from hc_interp.testbeds import language

Route = Literal["direct", "mlps", "all"]
PAIR_KINDS = tuple(language.PAIR_SIDES)


@dataclass(frozen=True)
class Edge:
    """What `receiver` reads from `sender` through one input, "q", "k", "v" (or "in", of an MLP and the output).

    `kinds` are the kinds of contrast pairs on which the sender's change shows there; empty where only other premises
    show it, since both sides of a pair share theirs. `route` is the shortest on which patching shows it: "direct" for
    an edge of the circuit itself, "mlps" and "all" for one that runs through MLPs, or through other heads.
    """

    sender: Any
    receiver: Any
    through: str
    kinds: tuple[str, ...] = PAIR_KINDS
    route: Route = "direct"

    def __str__(self) -> str:
        return f"{self.sender} -> {self.receiver} ({self.through})"


@dataclass(frozen=True, eq=False)
class World:
    """A built model, its data, and the truth about its circuit.

    `truth` are all direct edges that carry anything to the answer (before noise); `reach` adds those of longer routes.
    `core` are the heads of the heuristic, `generalizing` those that add the check of word order (with their relays),
    `decoys` all others. `circuit` is what the answer rests on: every component of a direct edge.
    """

    kind: str
    settings: Mapping[str, Any]
    model: HookedModel
    task: Task
    truth: tuple[Edge, ...]
    core: tuple[Head, ...]
    generalizing: tuple[Head, ...]
    decoys: tuple[Head, ...]

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in self.settings.items())
        return f"World({self.kind}: {given}; {len(self.core)} core, {len(self.generalizing)} generalizing heads)"

    @property
    def circuit(self) -> tuple[Component, ...]:
        ends = {item for edge in self.truth for item in (edge.sender, edge.receiver)}
        return tuple(item for item in self.model.components if item in ends)

    @cached_property
    def means(self) -> MeanActivations:
        """Mean activations over the task's training split."""
        return mean_activations(self.model, self.task.train)

    @property
    def pairs(self) -> dict[str, ContrastPairs]:
        """The test pairs of both kinds."""
        return {kind: self.task.contrast_pairs(language.CASE, kind, split="test") for kind in PAIR_KINDS}

    def population(self, kind: str, n: int, seed: int) -> ContrastPairs:
        """`n` new pairs of the same distribution as two `Batch`es: no text is tokenized."""
        return language.encoded_pairs(n, kind, seed, f"fresh {kind}")

    def reach(self, route: Route) -> tuple[Edge, ...]:
        """All edges that patching shows on this route: the direct ones, and those that run through MLPs (or, for "all",
        through heads and MLPs) in between. A longer edge shows on the kinds on which all its steps show.
        """
        if route == "direct":
            return self.truth
        between: type | tuple[type, ...] = MLP if route == "mlps" else (Head, MLP)
        found = {(e.sender, e.receiver, e.through): (set(e.kinds), "direct") for e in self.truth}
        grown = True
        while grown:
            grown = False
            for (sender, middle, _), (kinds, _) in list(found.items()):
                if not isinstance(middle, between):
                    continue
                for edge in self.truth:
                    if edge.sender != middle:
                        continue
                    key = (sender, edge.receiver, edge.through)
                    known, how = found.get(key, (set(), route))
                    wider = known | (kinds & set(edge.kinds))
                    if key not in found or wider != known:
                        found[key] = (wider, how)
                        grown = True
        return tuple(
            Edge(s, r, through, tuple(k for k in PAIR_KINDS if k in kinds), how)  # type: ignore[arg-type]
            for (s, r, through), (kinds, how) in found.items()
        )


def edges(
    senders: Iterable[Any], receivers: Iterable[Any], through: str, kinds: tuple[str, ...] = PAIR_KINDS
) -> list[Edge]:
    """Every sender into every receiver."""
    return [Edge(s, r, through, kinds) for r in receivers for s in senders]


def shown(truth: Iterable[Edge]) -> tuple[Edge, ...]:
    """The edges with the kinds on which what they carry goes on to the output."""
    found = list(truth)
    while True:
        onward: dict[Any, set[str]] = {OUTPUT: set(PAIR_KINDS)}
        for edge in found:
            onward.setdefault(edge.sender, set()).update(edge.kinds)
        known = [replace(e, kinds=tuple(k for k in e.kinds if k in onward.get(e.receiver, ()))) for e in found]
        if known == found:
            return tuple(found)
        found = known


__all__ = ["EMBED", "OUTPUT", "Edge", "World", "edges"]
