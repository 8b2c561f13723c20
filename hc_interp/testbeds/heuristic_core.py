"""The heuristic core world: generalizing heads read what the heuristic heads write, and check word order with it."""

from hc_interp.components import OUTPUT
from hc_interp.errors import HCError
from hc_interp.testbeds.draft import Draft
from hc_interp.testbeds.parts import HYPOTHESIS_SLOTS, checker, key_checker, lookup, query_checker, relay
from hc_interp.testbeds.world import World

THROUGH = ("v", "q", "k", "two hops", "mlp")


def heuristic_core(seed: int = 0, through: str = "v", noise: float = 0.0) -> World:
    """A world in which the generalizing heads read from the core.

    Three core heads of layer 0 look each noun of the hypothesis up in the premise and say where it stands; two core
    heads of layer 2 bring whether it was found to the first position, which is the heuristic. The generalizing heads
    read from layer 0's core heads whether the nouns stand in the premise's order, `through`:

    - "v": two heads of layer 2 move what the core wrote;
    - "k": the same two heads attend to where the core says that a noun is out of place;
    - "q": two heads of layer 1 look at the place in the premise that the core names, two of layer 2 pass it on;
    - "two hops": two heads of layer 1 move what the core wrote, two of layer 2 pass it on;
    - "mlp": layer 0's MLP looks up what the core wrote, and two heads of layer 2 move that.

    Raises `HCError` for another `through`.
    """
    if through not in THROUGH:
        raise HCError(f"through={through!r} was given. Expected one of {', '.join(map(repr, THROUGH))}.")
    draft = Draft("heuristic core", seed, noise, through=through)
    core = draft.matchers("core ")
    collectors = draft.heuristic(core)
    generalizing, last, kinds = [], [], {"kinds": ("order",)} if through == "k" else {}
    if through == "mlp":
        mlp = draft.lookup(0, lookup("seen", list(core)))
        draft.edges(core.values(), [mlp], "in")
    for slot in HYPOTHESIS_SLOTS:
        name = f"order {slot}"
        if through in ("v", "mlp"):
            last.append(draft.head(2, checker(name, slot, ["seen"] if through == "mlp" else list(core))))
            draft.edges([mlp] if through == "mlp" else core.values(), last[-1:], "v")
        elif through == "k":
            last.append(draft.head(2, key_checker(name, slot, list(core))))
            draft.edges(core.values(), last[-1:], "k", **kinds)
        else:
            plan = query_checker if through == "q" else checker
            first = draft.head(1, plan(f"first {slot}", slot, list(core)))
            last.append(draft.head(2, relay(name, slot if through == "q" else "end", f"first {slot}")))
            draft.edges(core.values(), [first], "q" if through == "q" else "v")
            draft.edges([first], last[-1:], "v")
            generalizing.append(first)
    draft.edges(last, [OUTPUT], "in", **kinds)
    return draft.world(
        [*core.values(), *collectors], [*generalizing, *last], [f"order {slot}" for slot in HYPOTHESIS_SLOTS]
    )
