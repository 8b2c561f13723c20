"""`World`: a model whose circuit was built in, with the data and the true edges."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

from hc_interp.components import MLP, OUTPUT, Component, End, Head
from hc_interp.data.contrast import ContrastPairs
from hc_interp.data.task import Task
from hc_interp.interventions.means import MeanActivations, mean_activations
from hc_interp.models.hooked import HookedModel
from hc_interp.testbeds import language
from hc_interp.testbeds.true_reading import TrueReading

EdgeEnd = Component | End  # also `embed`, where the residual stream starts, and `output`
Route = Literal["direct", "mlps", "all"]
PAIR_KINDS = tuple(language.PAIR_SIDES)
ALL_HOLD: dict[str, str] = dict.fromkeys(("model_generalizes", "core_is_heuristic", "heads_generalize"), "holds")


@dataclass(frozen=True)
class Edge:
    """`receiver` reads from `sender` through one input: "q", "k" or "v" of a head, "in" of an MLP or the output.

    `kinds` are the kinds of contrast pairs on which patching this edge has an effect. They are empty for an edge that
    carries only the premise, which both sides of a pair share. `route` is the shortest route on which patching has this
    effect: "direct" for an edge of the circuit itself, "mlps" for a path through MLPs, "all" for one through heads.
    """

    sender: EdgeEnd
    receiver: EdgeEnd
    through: str
    kinds: tuple[str, ...] = PAIR_KINDS
    route: Route = "direct"

    def __str__(self) -> str:
        return f"{self.sender} -> {self.receiver} ({self.through})"


@dataclass(frozen=True, eq=False)
class World:
    """A built model, its data, and its true circuit.

    `truth` are all direct edges that carry information to the answer (before noise); `reach` adds longer paths. `core`
    are the heads of the heuristic. `generalizing` are the heads that check the word order, and the relays, which lead
    to these without a core head upstream. `decoys` are all other heads: some worlds have a part of the circuit among
    them, which the world's own description says. `circuit` are the components of all direct edges.

    `premises` says of each premise of a verdict (`hc.premises`) whether it "holds" or "fails" by construction, or stays
    "open" by its definition. `reading` has the built numbers for each kind of pairs on which the generalizing heads
    have an effect. Both are empty for a model in which nothing was built.
    """

    kind: str
    settings: Mapping[str, Any]
    model: HookedModel
    task: Task
    truth: tuple[Edge, ...]
    core: tuple[Head, ...]
    generalizing: tuple[Head, ...]
    decoys: tuple[Head, ...]
    premises: Mapping[str, str] = field(default_factory=dict)
    reading: Mapping[str, TrueReading] = field(default_factory=dict)

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in self.settings.items())
        return f"World({self.kind}: {settings}; {len(self.core)} core, {len(self.generalizing)} generalizing heads)"

    @property
    def circuit(self) -> tuple[Component, ...]:
        """The components of all direct edges, in the model's order."""
        ends = {item for edge in self.truth for item in (edge.sender, edge.receiver)}
        return tuple(item for item in self.model.components if item in ends)

    @cached_property
    def means(self) -> MeanActivations:
        """Mean activations over the task's training split."""
        return mean_activations(self.model, self.task.train)

    @property
    def pairs(self) -> dict[str, ContrastPairs]:
        """The test pairs of both kinds. The label changes in both."""
        cases = {"order": language.CASE, "overlap": language.RIGHT_CASE}
        return {kind: self.task.contrast_pairs(case, kind, split="test") for kind, case in cases.items()}

    def population(self, kind: str, n: int, seed: int) -> ContrastPairs:
        """`n` new pairs of the same distribution as `pairs`, as two `Batch`es."""
        return language.encoded_pairs(n, kind, seed, f"fresh {kind}")

    def reach(self, route: Route) -> tuple[Edge, ...]:
        """All edges along which patching has an effect on this route.

        These are the direct edges and, for "mlps", paths whose middle components are MLPs; for "all", paths through any
        components. A path has an effect on the kinds of pairs on which all of its edges have one.
        """
        if route == "direct":
            return self.truth
        between: type | tuple[type, ...] = MLP if route == "mlps" else (Head, MLP)
        paths: dict[tuple[EdgeEnd, EdgeEnd, str], tuple[set[str], Route]] = {
            (e.sender, e.receiver, e.through): (set(e.kinds), "direct") for e in self.truth
        }
        grown = True
        while grown:
            grown = False
            for (sender, middle, _), (kinds, _) in list(paths.items()):
                if not isinstance(middle, between):
                    continue
                for edge in self.truth:
                    if edge.sender != middle:
                        continue
                    key = (sender, edge.receiver, edge.through)
                    old_kinds, old_route = paths.get(key, (set(), route))
                    new_kinds = old_kinds | (kinds & set(edge.kinds))
                    if key not in paths or new_kinds != old_kinds:
                        paths[key] = (new_kinds, old_route)
                        grown = True
        return tuple(
            Edge(sender, receiver, through, tuple(kind for kind in PAIR_KINDS if kind in kinds), shortest)
            for (sender, receiver, through), (kinds, shortest) in paths.items()
        )


def reaching_output(truth: Iterable[Edge]) -> tuple[Edge, ...]:
    """The edges, each with only those kinds on which its receiver's change reaches the output."""
    edges = list(truth)
    while True:
        onward: dict[EdgeEnd, set[str]] = {OUTPUT: set(PAIR_KINDS)}
        for edge in edges:
            onward.setdefault(edge.sender, set()).update(edge.kinds)
        cut = [replace(e, kinds=tuple(k for k in e.kinds if k in onward.get(e.receiver, ()))) for e in edges]
        if cut == edges:
            return tuple(edges)
        edges = cut
