"""`Row`: one path that is measured; `rows_of` makes rows from the arguments of `path_effects`."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any

from hc_interp.components import OUTPUT, At, Component, Head, check_role, components, heads_of, is_upstream, whole
from hc_interp.errors import InterventionError
from hc_interp.interventions.path_steps import INPUTS, PathEnd
from hc_interp.interventions.paths import EndNames, path_ends, path_inputs
from hc_interp.patching.effects import label
from hc_interp.subnetwork import Subnetwork

Members = tuple[PathEnd, ...]
EndGroups = EndNames | Iterable[EndNames]  # an item that has several components is one sender (or receiver)


@dataclass(frozen=True)
class Row:
    """One path: from all of `senders` at once into the inputs `through` of all of `receivers` at once.

    Both may stand at roles; whether a path leads from one to the other does not depend on these. `parallel`: the heads
    and the MLP of a layer read the same stream, so that no MLP reads the heads of its layer.
    """

    senders: Members
    receivers: Members
    through: tuple[str, ...]
    parallel: bool = False

    @cached_property
    def active(self) -> Members:
        """The receivers that are downstream of a sender; the values of the others cannot change."""
        return tuple(r for r in self.receivers if any(self.leads(s, r) for s in self.senders))

    def leads(self, sender: PathEnd, receiver: PathEnd) -> bool:
        """Whether a path leads from one to the other."""
        return whole(sender) != whole(receiver) and is_upstream(sender, receiver, parallel=self.parallel)

    @cached_property
    def name(self) -> tuple[str, str, str]:
        """Senders, receivers and inputs as text, like `("L0H1", "L2H0+L2H1", "qk")`."""
        heads = any(isinstance(whole(item), Head) for item in self.receivers)
        return _label(self.senders), _label(self.receivers), "".join(self.through) if heads else "in"


def only_components(members: Members) -> tuple[Component, ...]:
    """The heads and MLPs among the members without their roles, and without `embed` and `output`."""
    return tuple(item for item in dict.fromkeys(map(whole, members)) if isinstance(item, Component))


@cache
def _label(members: Members) -> str:
    return label(members)


def rows_of(
    senders: EndGroups,
    receivers: EndGroups,
    through: Sequence[str],
    joint: bool,
    among: Sequence[Component],
    *,
    parallel: bool = False,
) -> list[Row]:
    """A row for each sender and receiver; with `through="each"` a row for each input; with `joint` all in one row.

    `among` are the model's components: "heads" and "mlps" name all heads and all MLPs among them. `parallel`: its heads
    and MLP of a layer read the same stream.

    Raises `InterventionError` without senders, without receivers and for inputs other than q, k, v, and
    `ComponentError` for a name that is no component.
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
            heads = any(isinstance(whole(item), Head) for item in receiver)
            splits = [(name,) for name in INPUTS] if each and heads else [together]
            rows.extend(Row(group, receiver, split, parallel) for split in splits)
    return rows


Places = Sequence[tuple[str | None, str | None]]  # of sender and receiver; None: at all positions


def places_of(positions: Any) -> Places | None:
    """The places that `positions` names: pairs of roles, or all pairs of the roles in a list; None for "roles" itself.

    Raises `InterventionError` for anything else, and `ComponentError` for a text that can name no role.
    """
    if positions == "roles":
        return None
    items = list(positions) if isinstance(positions, Iterable) and not isinstance(positions, str) else []
    if items and all(isinstance(item, str) for item in items):
        return [(check_role(source), check_role(target)) for source in items for target in items]
    if items and all(isinstance(item, tuple | list) and len(item) == 2 for item in items):
        return [(source and check_role(source), target and check_role(target)) for source, target in items]
    raise InterventionError(
        f"positions={positions!r} was given. Expected 'roles' (all roles that all pairs have), roles, like ['subject', "
        "'last'], or pairs of the sender's and the receiver's role, like [('subject', 'last')], with None for all "
        "positions."
    )


def at_places(rows: Sequence[Row], places: Places) -> list[Row]:
    """Each row at each of the places; `output` has none.

    Raises `InterventionError` for an end that stands at a role already.
    """
    for row in rows:
        for item in (*row.senders, *row.receivers):
            if isinstance(item, At):
                raise InterventionError(
                    f"{item} stands at a role, and positions= gives roles to all ends. Expected one of the two: name "
                    f"{item.whole}, or leave positions out."
                )
    placed = [
        replace(row, senders=_placed(row.senders, source), receivers=_placed(row.receivers, target))
        for row in rows
        for source, target in places
    ]
    return list(dict.fromkeys(placed))


def _placed(members: Members, role: str | None) -> Members:
    return tuple(item if role is None or item == OUTPUT else whole(item).at(role) for item in members)


def _members(ends: Any, role: str, among: Sequence[Component]) -> list[Members]:
    """Each item of `ends` as a tuple of components; a subnetwork gives its components, another result its heads."""
    items = ends if isinstance(ends, Subnetwork) else heads_of(ends)
    if isinstance(items, str) or not isinstance(items, Iterable):
        items = (items,)
    groups: list[Members] = []
    for item in items:
        groups += [(end,) for end in components(item, among)] if isinstance(item, str) else [path_ends(item)]
    if not groups:
        raise InterventionError(
            f"path_effects was given no {role} ({ends!r}); a path needs at least one. Pass heads, like ['L3H7'], or a "
            "result that has some (core.heads, gen.heads)."
        )
    return groups
