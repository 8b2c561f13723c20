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
from hc_interp.models.forward import SiteEdit, on_head
from hc_interp.models.hooked import HookedModel, Intervention
from hc_interp.models.site import Site
from hc_interp.torch_modes import usable


@dataclass(frozen=True, eq=False)
class Keep(Intervention):
    """Keep a subnetwork's components; every other one of its universe is replaced by `source`."""

    subnetwork: Subnetwork
    source: Source

    def check(self, model: HookedModel, before: Sequence[Intervention]) -> None:
        if not isinstance(self.subnetwork, Subnetwork):
            raise InterventionError(
                f"Keep was given {self.subnetwork!r}; expected a Subnetwork. Build one: hc.Subnetwork(['L0H0'], "
                "model.components), or use hc.Ablate for the heads to remove."
            )
        for item in self.subnetwork.universe:
            model.check_component(item)
        check_source(self.source, model, before)

    def edits(self, model: HookedModel, batch: Batch, before: Sequence[Intervention]) -> list[SiteEdit]:
        return replace_components(self.subnetwork.removed, self.source, model, batch, before)


@dataclass(frozen=True, eq=False)
class Ablate(Intervention):
    """Replace the named components by `with_`; all others stay."""

    components: Any
    with_: Source

    def check(self, model: HookedModel, before: Sequence[Intervention]) -> None:
        for item in components(self.components, model.components):
            model.check_component(item)
        check_source(self.with_, model, before)

    def edits(self, model: HookedModel, batch: Batch, before: Sequence[Intervention]) -> list[SiteEdit]:
        return replace_components(components(self.components, model.components), self.with_, model, batch, before)


@dataclass(frozen=True, eq=False)
class SoftMask(Intervention):
    """`m * value + (1 - m) * source` for each component; gradients flow to `mask`.

    `mask` is `[component]` in the order of `components` (default: all of the model's), or `[batch, component]` for a
    mask of its own in each row.
    """

    mask: Tensor
    source: Source
    components: Any = None

    def check(self, model: HookedModel, before: Sequence[Intervention]) -> None:
        items = self._components(model)
        for item in items:
            model.check_component(item)
        if not isinstance(self.mask, Tensor):
            raise InterventionError(
                f"SoftMask was given a mask of type {type(self.mask).__name__}; expected a tensor. Use torch.as_tensor."
            )
        if self.mask.ndim not in (1, 2) or self.mask.shape[-1] != len(items):
            raise InterventionError(
                f"SoftMask has a mask of shape {tuple(self.mask.shape)} for {len(items)} components. "
                "Give [component] or [batch, component], in the order of model.components."
            )
        check_source(self.source, model, before)

    def _components(self, model: HookedModel) -> tuple[Component, ...]:
        if self.components is None:
            return model.components
        return components(self.components, model.components)  # type: ignore[return-value]

    def check_batch(self, model: HookedModel, batch: Batch) -> None:
        if self.mask.ndim == 2 and self.mask.shape[0] != len(batch):
            raise InterventionError(
                f"SoftMask has {self.mask.shape[0]} rows of masks for a batch of {len(batch)}; give one for each row."
            )

    def edits(self, model: HookedModel, batch: Batch, before: Sequence[Intervention]) -> list[SiteEdit]:
        items = self._components(model)
        place = {item: index for index, item in enumerate(items)}
        layers = _by_site(items)
        values = source_values(self.source, model, batch, layers, before)
        if values is None:
            return []
        mask = usable(self.mask).to(model.device)
        return [
            SiteEdit(site, _blend(_expand(mask, members, place, model, site), values[site]))
            for site, members in layers.items()
        ]


@dataclass(frozen=True, eq=False)
class Scale(Intervention):
    """Multiply a component's value by `factor`."""

    component: Any
    factor: float | Tensor

    def check(self, model: HookedModel, before: Sequence[Intervention]) -> None:
        for item in components(self.component, model.components):
            model.check_component(item)
        number = isinstance(self.factor, int | float) and not isinstance(self.factor, bool)
        if not number and not (isinstance(self.factor, Tensor) and self.factor.numel() == 1):
            raise InterventionError(
                f"Scale of {self.component} was given the factor {self.factor!r}; expected one number, or a tensor "
                "that holds one."
            )

    def edits(self, model: HookedModel, batch: Batch, before: Sequence[Intervention]) -> list[SiteEdit]:
        factor = usable(self.factor).to(model.device) if isinstance(self.factor, Tensor) else self.factor
        return [
            SiteEdit(site_of(item).whole, on_head(site_of(item), lambda value: value * factor))
            for item in components(self.component, model.components)
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


def _by_site(items: Iterable[Any]) -> dict[Site, list[Any]]:
    grouped: dict[Site, list[Any]] = {}
    for item in items:
        grouped.setdefault(site_of(item).whole, []).append(item)
    return grouped


def _replace(replaced: Tensor, value: Tensor) -> Any:
    return lambda own: torch.where(replaced, value.to(own.dtype), own)


def _blend(mask: Tensor, value: Tensor) -> Any:
    """`mask * own + (1 - mask) * value` in one kernel; exactly `own` where the mask is 1."""

    def blend(own: Tensor) -> Tensor:
        wide = torch.promote_types(own.dtype, mask.dtype)
        return torch.lerp(value.to(wide), own.to(wide), mask.to(wide))

    return blend


def _expand(
    mask: Tensor, members: list[Component], place: Mapping[Component, int], model: HookedModel, site: Site
) -> Tensor:
    """A mask over components as a factor of one site's value: `[head, 1]` or `[]`, after a batch axis if it has one.

    Heads of the site that are not masked get 1.
    """
    batched = mask.ndim == 2
    if site.kind != "z":
        own = mask[..., place[members[0]]]
        return own[:, None, None] if batched else own
    factors = {item.head: mask[..., place[item]] for item in members if isinstance(item, Head)}
    one = mask.new_ones(mask.shape[:-1])
    heads = torch.stack([factors.get(head, one) for head in range(model.n_heads)], dim=-1)
    return heads[:, None, :, None] if batched else heads[:, None]
