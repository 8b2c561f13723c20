"""Sets of heads: the forms in which a caller may name them, and readers and relays among the heads outside the core.

A reader has a core head in an earlier layer; a relay has none, so it cannot read from the core.
"""

from hc_interp.components import Head, HeadNames, components, execution_order, heads_of
from hc_interp.errors import ComponentError
from hc_interp.models.hooked import HookedModel

Heads = tuple[Head, ...]


def head_set(model: HookedModel, names: HeadNames, role: str) -> Heads:
    """The named heads in execution order, without repeats. `role` is the name of the argument, for the error message.

    Raises `ComponentError` for a name that is not a head of this model.
    """
    items = components(heads_of(names), model.components)
    for item in items:
        if not isinstance(item, Head):
            raise ComponentError(
                f"{role} holds {item}, which is not an attention head. This test is about heads: leave it out, or pass "
                "a result whose .heads are meant."
            )
        model.check_component(item)
    return tuple(sorted((item for item in items if isinstance(item, Head)), key=execution_order))


def all_heads(model: HookedModel) -> Heads:
    return tuple(item for item in model.components if isinstance(item, Head))


def n_upstream(head: Head, core: Heads) -> int:
    """How many core heads are in earlier layers than `head`: only these can it read from."""
    return sum(item.layer < head.layer for item in core)


def split_relay(heads: Heads, core: Heads) -> tuple[Heads, Heads]:
    """The readers and the relays among `heads`."""
    readers = tuple(head for head in heads if n_upstream(head, core))
    return readers, tuple(head for head in heads if head not in readers)
