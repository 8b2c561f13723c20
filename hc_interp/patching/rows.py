"""`Row`: one path to be measured, and how arguments become rows."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from hc_interp.components import Component, Head, Subnetwork, components, heads_of, is_upstream
from hc_interp.errors import InterventionError
from hc_interp.interventions.path_steps import INPUTS
from hc_interp.interventions.paths import path_ends, path_inputs
from hc_interp.patching.effects import label

Members = tuple[Any, ...]


@dataclass(frozen=True)
class Row:
    """One path: from all of `senders` at once into all of `receivers` at once."""

    senders: Members
    receivers: Members
    through: tuple[str, ...]

    @cached_property
    def active(self) -> Members:
        """The receivers that are downstream of some sender; the others cannot change."""
        return tuple(r for r in self.receivers if any(is_upstream(s, r) and s != r for s in self.senders))

    @cached_property
    def name(self) -> tuple[str, str, str]:
        heads = any(isinstance(item, Head) for item in self.receivers)
        return _label(self.senders), _label(self.receivers), "".join(self.through) if heads else "in"


@cache
def _label(members: Members) -> str:
    return label(members)


def rows_of(senders: Any, receivers: Any, through: Any, joint: bool, among: Sequence[Component]) -> list[Row]:
    """Every sender with every receiver (with `joint`, one row of all), by each input where `through` is "each".

    `among` are the model's components, which "heads" and "mlps" stand for.

    Raises `InterventionError` for no senders or receivers and for inputs that there are not.
    """
    sending, receiving = _members(senders, "senders", among), _members(receivers, "receivers", among)
    each = isinstance(through, str) and through == "each"
    together = INPUTS if each else path_inputs(through, [item for group in receiving for item in group])
    if joint:
        sending = [tuple(dict.fromkeys(item for group in sending for item in group))]
        receiving = [tuple(dict.fromkeys(item for group in receiving for item in group))]
    rows = []
    for group in sending:
        for receiver in receiving:
            heads = any(isinstance(item, Head) for item in receiver)
            splits = [(name,) for name in INPUTS] if each and heads else [together]
            rows.extend(Row(group, receiver, split) for split in splits)
    return rows


def _members(given: Any, role: str, among: Sequence[Component]) -> list[Members]:
    """Each item as a tuple of components; a subnetwork is read as its components, another result as its heads."""
    items = given if isinstance(given, Subnetwork) else heads_of(given)
    if isinstance(items, str) or not isinstance(items, Iterable):
        items = (items,)
    found: list[Members] = []
    for item in items:
        found += [(end,) for end in components(item, among)] if isinstance(item, str) else [path_ends(item)]
    if not found:
        raise InterventionError(
            f"path_effects was given no {role} ({given!r}); a path needs at least one. Pass heads, like ['L3H7'], or a "
            "result that has some (core.heads, gen.heads)."
        )
    return found
