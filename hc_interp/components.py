"""The components of a model (`Head` and `MLP`), the two ends of its residual stream, and `At`.

A model with L layers and H heads in each has L*H attention heads and L MLPs. `universe(L, H)` lists them in execution
order. The ends, `EMBED` (the input of layer 0) and `OUTPUT` (the logits), can be the sender or the receiver of a path.
They cannot be pruned. `At` is a component at the positions of one role only.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from hc_interp.errors import ComponentError


@dataclass(frozen=True, order=True)
class Head:
    """One attention head; its value is `z`, `[batch, pos, d_head]`, before the output projection."""

    layer: int
    head: int

    def __str__(self) -> str:
        return f"L{self.layer}H{self.head}"

    __repr__ = __str__

    def at(self, role: str) -> "At":
        """This head at the positions of a role only. Raises `ComponentError` for a text that can name no role."""
        return At(self, role)


@dataclass(frozen=True, order=True)
class MLP:
    """One feed-forward block; its value is what it adds to the stream, `[batch, pos, d_model]`."""

    layer: int

    def __str__(self) -> str:
        return f"L{self.layer}MLP"

    __repr__ = __str__

    def at(self, role: str) -> "At":
        """This MLP at the positions of a role only. Raises `ComponentError` for a text that can name no role."""
        return At(self, role)


@dataclass(frozen=True)
class End:
    """One end of the residual stream: `embed` can send on a path, `output` can receive."""

    name: str

    def __str__(self) -> str:
        return self.name

    __repr__ = __str__

    def at(self, role: str) -> "At":
        """`embed` at the positions of a role only. Raises `ComponentError` for `output`, which has no positions."""
        return At(self, role)


@dataclass(frozen=True, order=True)
class At:
    """A component at the positions of one role only: `Head(2, 9).at("subject")`, in text `L2H9@subject`.

    `whole` is a head, an MLP or `embed`. Which positions have the role is said by the data (`hc_interp.data.roles`).
    Raises `ComponentError` for `output` and for a text that can name no role.
    """

    whole: Head | MLP | End
    role: str

    def __post_init__(self) -> None:
        if not isinstance(self.whole, Head | MLP | End) or self.whole == End("output"):
            raise ComponentError(
                f"{self.whole} was given the role {self.role!r}. Expected a head, an MLP or 'embed', which have values "
                "at all positions. The output is read at one position, which the model chooses."
            )
        check_role(self.role)

    @property
    def layer(self) -> int:
        """The layer of a head or an MLP; 0 for `embed`, the input of that layer."""
        return 0 if isinstance(self.whole, End) else self.whole.layer

    def __str__(self) -> str:
        return f"{self.whole}@{self.role}"

    __repr__ = __str__


EMBED = End("embed")
OUTPUT = End("output")

Component = Head | MLP
Part = Component | End | At  # what interventions and paths take: a component, an end, or one of them at a role

_KINDS: dict[str, type] = {"heads": Head, "mlps": MLP}
_PATTERN = re.compile(r"L(\d+)(?:H(\d+)|MLP)", re.IGNORECASE)
_ROLE = re.compile(r"[^\W\d][\w-]*")


def check_role(role: Any) -> str:
    """The name of a role. Raises `ComponentError` for a text that would not be read back from `L2H9@role`."""
    if not isinstance(role, str) or not _ROLE.fullmatch(role):
        raise ComponentError(
            f"{role!r} names no role. Expected a letter, then letters, digits, '_' and '-', such as 'subject', "
            "'first_text' or 'last'."
        )
    return role


def component(name: "str | Part") -> "Part":
    """Parse a `name` like `"L3H7"`, `"L3MLP"`, `"embed"`, `"output"` or, with a role, `"L3H7@subject"`.

    A component stays as it is. The result is a `Head`, an `MLP`, an end, or one of them at a role. Raises
    `ComponentError` for anything else.
    """
    if isinstance(name, Head | MLP | End | At):
        return name
    if isinstance(name, str):
        text, at, role = (part.strip() for part in name.partition("@"))
        if at:
            return At(without_role(component(text)), role)
        if match := _PATTERN.fullmatch(text):
            layer, head = match.groups()
            return MLP(int(layer)) if head is None else Head(int(layer), int(head))
        for end in (EMBED, OUTPUT):
            if text.lower() == end.name:
                return end
    raise ComponentError(
        f"{name!r} is not a component. Expected a head like 'L3H7', an MLP like 'L3MLP', 'embed' or 'output', "
        "or the objects hc.Head(3, 7) and hc.MLP(3); at a role 'L3H7@subject', hc.Head(3, 7).at('subject')."
    )


def components(
    names: "str | Part | Iterable[str | Part]", among: "Iterable[Component] | None" = None
) -> "tuple[Part, ...]":
    """Parse one name or many into a tuple without repeats, in the order given. A text may hold several, with commas.

    "heads" means all heads in `among`, a model's components, and "mlps" all MLPs in it. Raises `ComponentError` for
    these two words without `among`, and for anything that is not a component. "heads@subject" is all heads at a role.
    """
    if isinstance(names, str):
        names = names.split(",")
    elif isinstance(names, Head | MLP | End | At) or not isinstance(names, Iterable):
        names = (names,)  # `component` refuses anything that is not a name
    parsed: list[Part] = []
    for name in names:
        word, at, role = name.partition("@") if isinstance(name, str) else ("", "", "")
        kind = _KINDS.get(word.strip().lower())
        if kind is None:
            parsed.append(component(name))
        elif among is None:
            raise ComponentError(
                f"{name!r} was given where no model says which they are. Expected names, or the components themselves: "
                f"[c for c in model.components if isinstance(c, hc.{kind.__name__})]."
            )
        else:
            chosen = [item for item in among if isinstance(item, kind)]
            parsed += [item.at(role.strip()) for item in chosen] if at else chosen
    return tuple(dict.fromkeys(parsed))


class HasHeads(Protocol):
    """A result or subnetwork that is given for its heads: a heuristic core, generalizing heads."""

    @property
    def heads(self) -> tuple[Head, ...]: ...


HeadNames = str | Head | HasHeads | Iterable[str | Head]


def heads_of(item: Any) -> Any:
    """The `.heads` of a result that has some (a heuristic core, generalizing heads). Anything else is returned."""
    return item.heads if hasattr(item, "heads") else item


def execution_order(item: Component) -> tuple[int, int, int]:
    """Sort key: by layer, and the heads of a layer before its MLP."""
    return (item.layer, 1, 0) if isinstance(item, MLP) else (item.layer, 0, item.head)


def without_role(item: Any) -> Any:
    """The item itself. Raises `ComponentError` for a component at a role, where only whole ones have a meaning."""
    if isinstance(item, At):
        raise ComponentError(
            f"{item} stands at a role. Expected a whole component here, such as {item.whole}. Ablate, SoftMask, Scale, "
            "Patch, PatchPath and path_effects take components at a role."
        )
    return item


def whole(part: Part) -> "Component | End":
    """The component without its role."""
    return part.whole if isinstance(part, At) else part


def by_component(parts: "Iterable[Part]") -> "dict[Component | End, tuple[str, ...]]":
    """The components among the parts, each with its roles, sorted; () for a component at all positions."""
    roles: dict[Component | End, set[str] | None] = {}
    for part in parts:
        item = whole(part)
        known = roles.setdefault(item, set())
        if not isinstance(part, At):
            roles[item] = None
        elif known is not None:
            known.add(part.role)
    return {item: tuple(sorted(names or ())) for item, names in roles.items()}


def is_upstream(sender: Part, receiver: Part, *, parallel: bool = False) -> bool:
    """Whether what `sender` adds to the stream can be read by `receiver`, at whatever roles the two stand.

    All later layers read a head's output, and so does the MLP of its own layer, unless heads and MLP of a layer are
    `parallel`: then both read the stream that enters the layer. All later layers read an MLP's output.
    """
    sender, receiver = whole(sender), whole(receiver)
    if sender == OUTPUT or receiver == EMBED:
        return False
    if isinstance(sender, End) or isinstance(receiver, End):
        return True
    after = not parallel and isinstance(sender, Head) and isinstance(receiver, MLP)
    return sender.layer < receiver.layer or (after and sender.layer == receiver.layer)


def universe(n_layers: int, n_heads: int, *, mlps: bool = True) -> tuple[Component, ...]:
    """All components of a model in execution order, or with `mlps=False` its heads only."""
    items: list[Component] = []
    for layer in range(n_layers):
        items.extend(Head(layer, head) for head in range(n_heads))
        if mlps:
            items.append(MLP(layer))
    return tuple(items)
