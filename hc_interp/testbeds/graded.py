"""The graded world: the generalizing heads read from the core by a given share, and other heads by a smaller one."""

from collections.abc import Sequence
from typing import Any

from hc_interp.components import OUTPUT
from hc_interp.errors import HCError
from hc_interp.testbeds.draft import CORE, N_HEADS, Draft
from hc_interp.testbeds.parts import HYPOTHESIS_SLOTS, checker, word_relay
from hc_interp.testbeds.world import World

MOST_OTHERS = N_HEADS - 2 * len(HYPOTHESIS_SLOTS)  # in layer 2, beside two collectors and two checkers
Shares = dict[str, float]


def graded(
    seed: int = 0,
    noise: float = 0.0,
    S: float = 0.7,
    R_G: float = 0.95,
    others: int = MOST_OTHERS,
    relays: bool = False,
) -> World:
    """A world with given `S` and `R_G` on both kinds of pairs: other heads read the core less than generalizing heads.

    The two generalizing heads of layer 2 check the word order. They read the share `R_G` of what they write from the
    three core heads of layer 0, and the rest from two heads of layer 1 that find the nouns themselves. The `others` are
    further heads of layer 2, which check the word order too, for no one: of what they write, the share `R_G * (1 - S)`
    comes from the core. S = 1 and a small `R_G` is weak but exclusive reading.

    Layer 2 has no further heads: with less than six `others`, the core has more collectors there. With one, the labels
    of generalizing and other heads have three permutations. With `relays`, two heads of layer 1, which are neither core
    nor generalizing, pass the core's answers on, and what is said to be read from the core is read from them. Core and
    generalizing heads alone, without the relays, then gain little. `seed` and `noise` are those of `heuristic_core`.

    Raises `HCError` for `S` or `R_G` outside 0 to 1, and for no or too many `others`.
    """
    if not (0 <= S <= 1 and 0 < R_G <= 1):
        raise HCError(f"S={S!r} and R_G={R_G!r} were given. Expected shares from 0 to 1, R_G above 0.")
    check_others(others)
    return compared("graded", seed, noise, R_G, [R_G * (1 - S)] * others, relays, S=S, R_G=R_G, others=others)


def check_others(others: int) -> None:
    """Raise `HCError` for a number of other heads that layer 2 does not have."""
    if not 1 <= others <= MOST_OTHERS:
        raise HCError(f"others={others!r} was given. Expected 1 to {MOST_OTHERS} other heads in layer 2.")


def compared(
    kind: str, seed: int, noise: float, share: float, other_shares: Sequence[float], relays: bool, **settings: Any
) -> World:
    """A world in which two checkers read `share` from the core, and the other heads of layer 2 each their own share."""
    draft = Draft(kind, seed, noise, live_decoys=0, **settings, relays=relays)
    core = draft.matchers(CORE)
    collectors = draft.heuristic(core, n=N_HEADS - len(HYPOTHESIS_SLOTS) - len(other_shares))
    late = draft.matchers("own ", layer=1, n=2)
    passed = {}
    for slot in HYPOTHESIS_SLOTS if relays else ():
        passed[slot] = draft.head(1, word_relay(f"relay {slot}", slot, list(core)), 1.0)
        draft.edges(core.values(), [passed[slot]], "v")

    def weights(slot: str, from_core: float) -> Shares:
        sources = [f"relay {slot}"] if relays else list(core)
        return dict.fromkeys(sources, from_core / len(sources)) | dict.fromkeys(late, (1 - from_core) / len(late))

    checkers = []
    for slot in HYPOTHESIS_SLOTS:
        checkers.append(draft.head(2, checker(f"order {slot}", slot, (), weights(slot, share)), share))
        draft.edges([passed[slot]] if relays else core.values(), checkers[-1:], "v")
    if share < 1:
        draft.edges(late.values(), checkers, "v")
    draft.edges(checkers, [OUTPUT], "in")
    for number, other_share in enumerate(other_shares):
        slot = HYPOTHESIS_SLOTS[number % 2]
        draft.head(2, checker(f"other {number}", slot, (), weights(slot, other_share)), other_share)
    orders = [f"order {slot}" for slot in HYPOTHESIS_SLOTS]
    return draft.world(
        [*core.values(), *collectors], checkers, orders, {"heads_generalize": "open"} if relays else None
    )
