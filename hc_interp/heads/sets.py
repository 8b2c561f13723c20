"""Sets of heads as users give them, and the two roles that a head outside the core can have: reader or relay."""

from typing import Any

from hc_interp.components import Head, components, execution_order, heads_of
from hc_interp.errors import ComponentError
from hc_interp.models.hooked import HookedModel

Heads = tuple[Head, ...]


def head_set(model: HookedModel, given: Any, role: str) -> Heads:
    """Heads in execution order: of a result or subnetwork its `.heads`, else the heads named, as `Head`s or texts.

    Raises `ComponentError` for anything that is not a head of this model.
    """
    found = components(heads_of(given), model.components)
    for item in found:
        if not isinstance(item, Head):
            raise ComponentError(
                f"{role} holds {item}, which is not an attention head. This test is about heads: leave it out, or pass "
                "a result whose .heads are meant."
            )
        model.check_component(item)
    return tuple(sorted((item for item in found if isinstance(item, Head)), key=execution_order))


def all_heads(model: HookedModel) -> Heads:
    return tuple(item for item in model.components if isinstance(item, Head))


def n_upstream(head: Head, core: Heads) -> int:
    """How many core heads `head` could read from: those in earlier layers."""
    return sum(item.layer < head.layer for item in core)


def split_relay(heads: Heads, core: Heads) -> tuple[Heads, Heads]:
    """Heads with a core head upstream, and those without one, which cannot read from the core."""
    readers = tuple(head for head in heads if n_upstream(head, core))
    return readers, tuple(head for head in heads if head not in readers)
