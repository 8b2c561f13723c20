"""`Subnetwork`: the components of a model that are kept, out of those that could have been removed."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, Self

from hc_interp.checksum import note_unchecked, read_checked, write_checked
from hc_interp.components import MLP, At, Component, End, Head, component, components, execution_order
from hc_interp.errors import ComponentError, ResultError


class Prunable(Protocol):
    """A `HookedModel`, as far as subnetworks know it."""

    def pruned(self, removed: Iterable[Component], means: Any) -> Any: ...


@dataclass(frozen=True)
class Subnetwork:
    """The components that are kept, out of those that could have been removed (`universe`).

    Both arguments are components or their names, in any order; `universe` and iteration are in execution order. `&`,
    `|` and `-` combine the kept components of two subnetworks of one universe. Raises `ComponentError` for a kept
    component outside the universe, and for an end of the stream.
    """

    kept: frozenset[Component]
    universe: tuple[Component, ...]

    def __init__(self, kept: Iterable[str | Component], universe: Iterable[str | Component]) -> None:
        object.__setattr__(self, "kept", frozenset(components(kept)))
        items = components(universe)
        if placed := [str(item) for item in (*self.kept, *items) if isinstance(item, At)]:
            raise ComponentError(
                f"A subnetwork was given {placed[0]}, a component at a role. Expected whole components: a subnetwork "
                "keeps or removes them at all positions. Use hc.Ablate for single roles."
            )
        removable = [item for item in items if isinstance(item, Component)]
        if ends := [str(item) for item in items if isinstance(item, End)]:
            raise ComponentError(
                f"The universe of a subnetwork holds {', '.join(ends)}, an end of the stream, which cannot be removed. "
                "Give heads and MLPs only, like model.components."
            )
        object.__setattr__(self, "universe", tuple(sorted(removable, key=execution_order)))
        if outside := self.kept - set(self.universe):
            names = ", ".join(map(str, sorted(outside, key=str)))
            raise ComponentError(
                f"The subnetwork keeps {names}, outside its universe of {len(self.universe)} components. "
                "Pass the universe of the model they come from: Subnetwork(kept, model.components)."
            )

    @property
    def sparsity(self) -> float:
        """Share of components removed, 0 to 1."""
        return 1 - len(self.kept) / len(self.universe) if self.universe else 0.0

    @cached_property
    def removed(self) -> tuple[Component, ...]:
        """The components that are not kept, in execution order."""
        return tuple(item for item in self.universe if item not in self.kept)

    @property
    def heads(self) -> tuple[Head, ...]:
        """The kept heads, in execution order."""
        return tuple(item for item in self.sorted() if isinstance(item, Head))

    @property
    def mlps(self) -> tuple[MLP, ...]:
        """The kept MLPs, in execution order."""
        return tuple(item for item in self.sorted() if isinstance(item, MLP))

    def sorted(self) -> tuple[Component, ...]:
        """The kept components in execution order."""
        return tuple(item for item in self.universe if item in self.kept)

    def _combine(self, other: "Subnetwork", how: Callable[[frozenset, frozenset], frozenset]) -> "Subnetwork":
        if not isinstance(other, Subnetwork):
            return NotImplemented
        if self.universe != other.universe:
            raise ComponentError(
                f"Two subnetworks of different universes ({len(self.universe)} and {len(other.universe)} components) "
                "cannot be combined. Combine subnetworks of the same model and component choice."
            )
        return Subnetwork(how(self.kept, other.kept), self.universe)

    def __and__(self, other: "Subnetwork") -> "Subnetwork":
        return self._combine(other, frozenset.__and__)

    def __or__(self, other: "Subnetwork") -> "Subnetwork":
        return self._combine(other, frozenset.__or__)

    def __sub__(self, other: "Subnetwork") -> "Subnetwork":
        return self._combine(other, frozenset.__sub__)

    def without(self, names: "str | Component | Iterable[str | Component]") -> "Subnetwork":
        """The subnetwork without these components. A component that is not kept anyway changes nothing.

        Raises `ComponentError` for a component outside the universe.
        """
        dropped = components(names)
        if outside := [str(item) for item in dropped if item not in self.universe]:
            raise ComponentError(
                f"{', '.join(outside)} cannot be taken out of this subnetwork: outside its universe of "
                f"{len(self.universe)} components. Name components of the model that it belongs to, like 'L0H0'."
            )
        return Subnetwork(self.kept - set(dropped), self.universe)

    def apply(self, model: "Prunable", means: Any) -> Any:
        """A plain Hugging Face module in which the removed components give their means: `means` from
        `hc.mean_activations(model, data, positional=False)`, or 0.

        Its logits are those of `model` under `hc.Keep(subnetwork, means)`, and transformers alone runs, saves and loads
        it. Raises `ComponentError` for a component that the model lacks, `InterventionError` for means by position, and
        `ModelError` where a family has no bias that could hold a mean.
        """
        return model.pruned(self.removed, means)

    def __contains__(self, item: object) -> bool:
        return (component(item) if isinstance(item, str) else item) in self.kept

    def __iter__(self) -> Iterator[Component]:
        return iter(self.sorted())

    def __len__(self) -> int:
        return len(self.kept)

    def __repr__(self) -> str:
        return f"Subnetwork({len(self.kept)} of {len(self.universe)} kept, sparsity {self.sparsity:.3f})"

    def _repr_html_(self) -> str:
        """A row per layer: a filled circle for what is kept, an empty one for what is removed, blank for neither."""
        heads = sorted({item.head for item in self.universe if isinstance(item, Head)})
        columns = [*heads, *[None] * any(isinstance(item, MLP) for item in self.universe)]
        removable = set(self.universe)

        def mark(layer: int, head: int | None) -> str:
            item = MLP(layer) if head is None else Head(layer, head)
            return "" if item not in removable else "●" if item in self.kept else "○"

        rows = [
            [f"L{layer}", *(mark(layer, head) for head in columns)]
            for layer in sorted({item.layer for item in self.universe})
        ]
        header = ["", *("MLP" if head is None else f"H{head}" for head in columns)]
        cells = "".join(f"<tr><td>{'</td><td>'.join(row)}</td></tr>" for row in rows)
        return f"<p><b>{self!r}</b></p><table><tr><th>{'</th><th>'.join(header)}</th></tr>{cells}</table>"

    def to_dict(self) -> dict[str, object]:
        """The names of the kept components and of the universe, as plain JSON: the keys "kept" and "universe"."""
        return {"kept": [str(c) for c in self.sorted()], "universe": [str(c) for c in self.universe]}

    identity = to_dict  # what digests hash in its place: the order of a frozenset is not fixed

    @classmethod
    def from_dict(cls, record: dict[str, list[str]]) -> Self:
        """The subnetwork of a record that `to_dict` gave. Raises `ComponentError` as the class does."""
        return cls(record["kept"], record["universe"])

    def save(self, path: str | Path) -> Path:
        """Write a JSON file, which appears whole or not at all. Returns its path."""
        return write_checked(path, {"kind": "Subnetwork", **self.to_dict()})

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a file that `save` wrote. Raises `ResultError` for any other file."""
        try:
            record, checked = read_checked(path, "saved Subnetwork", "Restore it from a copy, or save it again.")
            if record["kind"] != "Subnetwork":
                raise KeyError("kind")
            subnetwork = cls.from_dict(record)
        except (OSError, ValueError, KeyError, TypeError, ComponentError) as error:
            raise ResultError(
                f"{path} is not a saved Subnetwork ({type(error).__name__}: {error}). "
                "Expected the JSON file that Subnetwork.save wrote."
            ) from error
        if not checked:
            note_unchecked(path)
        return subnetwork
