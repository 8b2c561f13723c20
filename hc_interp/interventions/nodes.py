"""Interventions on whole components: `Keep`, `Ablate`, `SoftMask`, `Scale`."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool
from torch import Tensor

from hc_interp.components import Component, End, Head, Subnetwork, components
from hc_interp.data.batch import Batch
from hc_interp.errors import InterventionError
from hc_interp.interventions.sources import Source, check_source, site_of, source_values
from hc_interp.models.forward import SiteEdit
from hc_interp.models.hooked import HookedModel, Intervention
from hc_interp.models.site import Site
from hc_interp.torch_modes import usable


@dataclass(frozen=True, eq=False)
class Keep(Intervention):
    """Keep the components of a subnetwork; all others of its universe are replaced by `source`.

    Raises `InterventionError` for an object that is no `Subnetwork` and for a source that is none, `ComponentError`
    for a universe with components that the model lacks.
    """

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
    """Replace `components` by the source `with_`; all other components stay.

    Raises `ComponentError` for components that the model lacks, and `InterventionError` for a source that is none.
    """

    components: str | Component | Iterable[str | Component]
    with_: Source

    def check(self, model: HookedModel, before: Sequence[Intervention]) -> None:
        for item in components(self.components, model.components):
            model.check_component(item)
        check_source(self.with_, model, before)

    def edits(self, model: HookedModel, batch: Batch, before: Sequence[Intervention]) -> list[SiteEdit]:
        return replace_components(components(self.components, model.components), self.with_, model, batch, before)


@dataclass(frozen=True, eq=False)
class SoftMask(Intervention):
    """Replace the value of each component by `m * value + (1 - m) * source`; gradients flow to `mask`.

    `mask` is `[component]` in the order of `components` (default: all components of the model), or
    `[batch, component]` with a separate mask for each row of the batch.

    Raises `InterventionError` for a mask of another type or shape and for a source that is none, `ComponentError` for
    components that the model lacks.
    """

    mask: Tensor
    source: Source
    components: str | Component | Iterable[str | Component] | None = None

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
        columns: dict[Component | End, int] = {item: index for index, item in enumerate(items)}
        members_of = _by_site(items)
        values = source_values(self.source, model, batch, members_of, before)
        if values is None:
            return []
        mask = usable(self.mask).to(model.device)
        return [
            SiteEdit(site, _blend(_site_mask(mask, members, columns, model, site), values[site]))
            for site, members in members_of.items()
        ]


@dataclass(frozen=True, eq=False)
class Scale(Intervention):
    """Multiply the value of a component, or of several, by `factor`: a number, or a tensor that holds one number.

    Raises `InterventionError` for any other factor, and `ComponentError` for components that the model lacks.
    """

    component: str | Component | Iterable[str | Component]
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
            SiteEdit(site_of(item), lambda value: value * factor)
            for item in components(self.component, model.components)
        ]


def replace_components(
    items: Iterable[Component | End], source: Source, model: HookedModel, batch: Batch, before: Sequence[Intervention]
) -> list[SiteEdit]:
    """Edits that replace the components' values by the source's: one for all heads of a layer, one for each MLP."""
    values = component_values(items, source, model, batch, before)
    return [] if values is None else replacements(items, values, model)


def component_values(
    items: Iterable[Component | End], source: Source, model: HookedModel, batch: Batch, before: Sequence[Intervention]
) -> dict[Site, Tensor] | None:
    """The source's values at the sites of the components; None where there is nothing to replace."""
    sites = _by_site(items)
    return source_values(source, model, batch, sites, before) if sites else None


def replacements(items: Iterable[Component | End], values: Mapping[Site, Tensor], model: HookedModel) -> list[SiteEdit]:
    """Edits that replace the components' values by `values`: one for all heads of a layer, one for each MLP."""
    edits = []
    for site, members in _by_site(items).items():
        replaced = torch.ones((), dtype=torch.bool, device=model.device)
        if site.kind == "z":
            replaced = chosen_heads(members, model)
        edits.append(SiteEdit(site, _replace(replaced, values[site])))
    return edits


def chosen_heads(items: Iterable[Component | End], model: HookedModel) -> Bool[Tensor, "head 1"]:
    """True at the heads among `items`, which are of one layer; the last axis broadcasts over `d_head`."""
    chosen = torch.zeros(model.n_heads, 1, dtype=torch.bool, device=model.device)
    chosen[[item.head for item in items if isinstance(item, Head)]] = True
    return chosen


def _by_site(items: Iterable[Component | End]) -> dict[Site, list[Component | End]]:
    grouped: dict[Site, list[Component | End]] = {}
    for item in items:
        grouped.setdefault(site_of(item).whole, []).append(item)
    return grouped


def _replace(replaced: Tensor, source: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda value: torch.where(replaced, source.to(value.dtype), value)


def _blend(mask: Tensor, source: Tensor) -> Callable[[Tensor], Tensor]:
    """The function `mask * value + (1 - mask) * source` in one kernel; exactly `value` where the mask is 1."""

    def blend(value: Tensor) -> Tensor:
        wide = torch.promote_types(value.dtype, mask.dtype)
        return torch.lerp(source.to(wide), value.to(wide), mask.to(wide))

    return blend


def _site_mask(
    mask: Tensor,
    members: Sequence[Component | End],
    columns: Mapping[Component | End, int],
    model: HookedModel,
    site: Site,
) -> Tensor:
    """The mask of one site's components, of a shape that broadcasts over the site's value.

    `mask` is `[component]` or `[batch, component]`, and `columns` maps a component to its column there. Heads of the
    site that have no column get 1.
    """
    batched = mask.ndim == 2
    if site.kind != "z":
        column = mask[..., columns[members[0]]]
        return column[:, None, None] if batched else column
    factors = {item.head: mask[..., columns[item]] for item in members if isinstance(item, Head)}
    one = mask.new_ones(mask.shape[:-1])
    heads = torch.stack([factors.get(head, one) for head in range(model.n_heads)], dim=-1)
    return heads[:, None, :, None] if batched else heads[:, None]
