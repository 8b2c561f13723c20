"""Interventions on whole components: `Keep`, `Ablate`, `SoftMask`, `Scale`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hc_interp.components import Component, Head, Subnetwork, components
from hc_interp.data.batch import Batch
from hc_interp.errors import InterventionError
from hc_interp.interventions.sources import Source, check_source, site_of, source_values
from hc_interp.models.forward import SiteEdit
from hc_interp.models.hooked import HookedModel, Intervention
from hc_interp.models.site import Site


@dataclass(frozen=True, eq=False)
class Keep:
    """Keep a subnetwork's components; every other one of its universe is replaced by `source`."""

    subnetwork: Subnetwork
    source: Source

    def check(self, model: HookedModel, before: Sequence[Intervention]) -> None:
        for item in self.subnetwork.universe:
            model.check_component(item)
        check_source(self.source, model)

    def edits(self, model: HookedModel, batch: Batch, before: Sequence[Intervention]) -> list[SiteEdit]:
        return replace_components(self.subnetwork.removed, self.source, model, batch, before)


@dataclass(frozen=True, eq=False)
class Ablate:
    """Replace the named components by `with_`; all others stay."""

    components: Any
    with_: Source

    def check(self, model: HookedModel, before: Sequence[Intervention]) -> None:
        for item in components(self.components):
            model.check_component(item)
        check_source(self.with_, model)

    def edits(self, model: HookedModel, batch: Batch, before: Sequence[Intervention]) -> list[SiteEdit]:
        return replace_components(components(self.components), self.with_, model, batch, before)


@dataclass(frozen=True, eq=False)
class SoftMask:
    """`m * value + (1 - m) * source` for each component; gradients flow to `mask`.

    `mask` is `[component]` in the order of `components` (default: all of the model's), or `[batch, component]` for a
    mask of its own in each row.
    """

    mask: Tensor
    source: Source
    components: tuple[Component, ...] | None = None

    def check(self, model: HookedModel, before: Sequence[Intervention]) -> None:
        items = self._components(model)
        for item in items:
            model.check_component(item)
        if self.mask.ndim not in (1, 2) or self.mask.shape[-1] != len(items):
            raise InterventionError(
                f"SoftMask has a mask of shape {tuple(self.mask.shape)} for {len(items)} components. "
                "Give [component] or [batch, component], in the order of model.components."
            )
        check_source(self.source, model)

    def _components(self, model: HookedModel) -> tuple[Component, ...]:
        return model.components if self.components is None else components(self.components)  # type: ignore[return-value]

    def edits(self, model: HookedModel, batch: Batch, before: Sequence[Intervention]) -> list[SiteEdit]:
        if self.mask.ndim == 2 and self.mask.shape[0] != len(batch):
            raise InterventionError(
                f"SoftMask has {self.mask.shape[0]} rows of masks for a batch of {len(batch)}; give one for each row."
            )
        items = self._components(model)
        place = {item: index for index, item in enumerate(items)}
        layers = _by_site(items)
        values = source_values(self.source, model, batch, layers, before)
        if values is None:
            return []
        return [
            SiteEdit(site, _blend(_expand(self.mask, members, place, model, site), values[site]))
            for site, members in layers.items()
        ]


@dataclass(frozen=True, eq=False)
class Scale:
    """Multiply a component's value by `factor`."""

    component: Any
    factor: float | Tensor

    def check(self, model: HookedModel, before: Sequence[Intervention]) -> None:
        for item in components(self.component):
            model.check_component(item)

    def edits(self, model: HookedModel, batch: Batch, before: Sequence[Intervention]) -> list[SiteEdit]:
        return [
            SiteEdit(site_of(item).whole, on_head(site_of(item), lambda value: value * self.factor))
            for item in components(self.component)
        ]


def replace_components(
    items: Iterable[Any], source: Source, model: HookedModel, batch: Batch, before: Sequence[Intervention]
) -> list[SiteEdit]:
    """Edits that put the source's values in place of the components'; one for each layer's heads, one for each MLP."""
    layers = _by_site(items)
    values = source_values(source, model, batch, layers, before) if layers else None
    if values is None:
        return []
    edits = []
    for site, members in layers.items():
        replaced = torch.ones((), dtype=torch.bool, device=model.device)
        if site.kind == "z":
            replaced = torch.zeros(model.n_heads, 1, dtype=torch.bool, device=model.device)
            replaced[[item.head for item in members]] = True
        edits.append(SiteEdit(site, _replace(replaced, values[site])))
    return edits


def on_head(site: Site, fn: Any) -> Any:
    """Lift a function of one head's value to all heads' (for a site without `head`, the function itself)."""
    if site.head is None:
        return fn

    def lifted(value: Tensor) -> Tensor:
        edited = value.clone()
        edited.select(site.head_axis, site.head).copy_(fn(value.select(site.head_axis, site.head)))
        return edited

    return lifted


def _by_site(items: Iterable[Any]) -> dict[Site, list[Any]]:
    grouped: dict[Site, list[Any]] = {}
    for item in items:
        grouped.setdefault(site_of(item).whole, []).append(item)
    return grouped


def _replace(replaced: Tensor, value: Tensor) -> Any:
    return lambda own: torch.where(replaced, value.to(own.dtype), own)


def _blend(mask: Tensor, value: Tensor) -> Any:
    return lambda own: mask * own + (1 - mask) * value


def _expand(mask: Tensor, members: list[Any], place: Mapping[Any, int], model: HookedModel, site: Site) -> Tensor:
    """A mask over components as a factor of one site's value: heads that are not masked get 1."""
    if site.kind != "z":
        own = mask[..., place[members[0]]]
        return own if mask.ndim == 1 else own[:, None, None]
    if len(members) == model.n_heads and [m.head for m in members] == list(range(model.n_heads)):
        heads = mask[..., place[members[0]] : place[members[0]] + model.n_heads]
        if [place[m] for m in members] == list(range(place[members[0]], place[members[0]] + model.n_heads)):
            return heads[:, None] if mask.ndim == 1 else heads[:, None, :, None]
    columns = [
        mask[..., place[Head(site.layer, head)]] if Head(site.layer, head) in place else mask.new_ones(mask.shape[:-1])
        for head in range(model.n_heads)
    ]
    heads = torch.stack(columns, dim=-1)
    return heads[:, None] if mask.ndim == 1 else heads[:, None, :, None]
