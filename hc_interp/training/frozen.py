"""`FrozenWeights`: the weights of components that stand still while the rest is trained."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn

from hc_interp.components import Component, Head
from hc_interp.models.component_weights import WeightSlice, component_weights, other_calls, sharing
from hc_interp.models.hooked import HookedModel


@dataclass(frozen=True, eq=False)
class FrozenWeights:
    """The slices of parameters that belong to the frozen components, and their values.

    A gradient of 0 leaves the optimizer's moments at 0. Weight decay moves a weight all the same. So the values are put
    back after each step.
    """

    items: tuple[Component, ...]
    slices: tuple[WeightSlice, ...]
    values: tuple[Tensor, ...]

    @classmethod
    def of(cls, model: HookedModel, items: Iterable[Component]) -> Self:
        """The weights of these components as they are now."""
        items = tuple(items)
        slices = tuple(component_weights(model.own_geometry, items))
        return cls(items, slices, tuple(part.of(model.module).clone() for part in slices))

    def mask_gradients(self, module: nn.Module) -> None:
        """Set the gradients of the frozen weights to 0."""
        for part in self.slices:
            if (gradient := part.gradient(module)) is not None:
                gradient.zero_()

    @torch.no_grad()
    def restore(self, module: nn.Module) -> None:
        """Put the frozen weights back to their values."""
        for part, value in zip(self.slices, self.values, strict=True):
            part.of(module).copy_(value)


def freeze_record(model: HookedModel, items: Iterable[Component]) -> list[dict[str, Any]]:
    """The frozen components in a card. Each names the heads that share its keys and values, and the components of other
    layers that share all its weights: these do not train either.
    """
    records: list[dict[str, Any]] = []
    for item in items:
        record: dict[str, Any] = {"component": str(item)}
        if isinstance(item, Head) and len(group := sharing(model.geometry, item)) > 1:
            record["keys_and_values_shared_with"] = [str(head) for head in group if head != item]
        if others := other_calls(model.own_geometry, item):
            record["weights_shared_with"] = [str(other) for other in others]
        records.append(record)
    return records
