"""The heuristic core world: the generalizing heads read from the heuristic heads, and check word order."""

from hc_interp.components import OUTPUT
from hc_interp.errors import HCError
from hc_interp.testbeds.draft import CORE, Draft
from hc_interp.testbeds.language import LENGTH
from hc_interp.testbeds.parts import HYPOTHESIS_SLOTS, checker, key_checker, lookup, query_checker, relay
from hc_interp.testbeds.world import PAIR_KINDS, World

THROUGH = ("v", "q", "k", "two hops", "mlp")


def heuristic_core(seed: int = 0, through: str = "v", noise: float = 0.0, live_decoys: int | None = 0) -> World:
    """A world in which the generalizing heads read from the core.

    Three core heads of layer 0 find each noun of the hypothesis in the premise and write which noun of the premise it
    is. Two core heads of layer 2 move to the first position whether it was found: this is the heuristic. The
    generalizing heads read from the core heads of layer 0 whether the nouns are in the premise's order, by the route
    `through`:

    - "v": two heads of layer 2 move what the core wrote.
    - "k": two heads of layer 2 attend to a noun if the core wrote that it is in the other position of the premise.
    - "q": two heads of layer 1 attend to the noun of the premise that the core wrote; two heads of layer 2 move what
      these write.
    - "two hops": two heads of layer 1 move what the core wrote; two heads of layer 2 move what these write.
    - "mlp": the MLP of layer 0 copies what the core wrote; two heads of layer 2 move what it writes.

    `seed` draws the index of each head in its layer, the codes of the words, the noise and the data. `noise` is
    the size of random weights added to every head and MLP, relative to the weights that read and write one feature.
    `live_decoys` makes the output of all other heads change on all pairs, and so many of them in each later layer read
    a core head (None: most decoys do not change on order pairs).
    Raises `HCError` for another `through`.
    """
    if through not in THROUGH:
        raise HCError(f"through={through!r} was given. Expected one of {', '.join(map(repr, THROUGH))}.")
    draft = Draft("heuristic core", seed, noise, live_decoys, through=through)
    core = draft.matchers(CORE)
    collectors = draft.heuristic(core)
    generalizing, last, kinds = [], [], ("order",) if through == "k" else PAIR_KINDS
    if through == "mlp":
        mlp = draft.lookup(0, lookup("seen", list(core)))
        draft.edges(core.values(), [mlp], "in")
    for slot in HYPOTHESIS_SLOTS:
        name = f"order {slot}"
        if through in ("v", "mlp"):
            last.append(draft.head(2, checker(name, slot, ["seen"] if through == "mlp" else list(core)), 1.0))
            draft.edges([mlp] if through == "mlp" else core.values(), last[-1:], "v")
        elif through == "k":
            last.append(draft.head(2, key_checker(name, slot, list(core)), 1.0, kinds))
            draft.edges(core.values(), last[-1:], "k", kinds)
        else:
            plan = query_checker if through == "q" else checker
            extent = len(HYPOTHESIS_SLOTS) if through == "q" else LENGTH  # a query changes at the slots alone
            first = draft.head(1, plan(f"first {slot}", slot, list(core)), 1.0, extent=extent)
            last.append(draft.head(2, relay(name, slot if through == "q" else "end", f"first {slot}"), 1.0))
            draft.edges(core.values(), [first], "q" if through == "q" else "v")
            draft.edges([first], last[-1:], "v")
            generalizing.append(first)
    draft.edges(last, [OUTPUT], "in", kinds)
    return draft.world(
        [*core.values(), *collectors], [*generalizing, *last], [f"order {slot}" for slot in HYPOTHESIS_SLOTS]
    )
