"""Interventions on components: `Keep`, `Ablate`, `SoftMask`, `Scale`.

All but `Keep` also take components at a role, like `L2H9@subject`: they act at the positions of the role alone.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hc_interp.components import At, Head, Part, by_component, components, whole
from hc_interp.data.batch import Batch
from hc_interp.data.roles import check_roles, role_mask, roles_mask
from hc_interp.errors import InterventionError
from hc_interp.interventions.sources import Source, check_source, site_of, source_values
from hc_interp.models.forward import SiteEdit
from hc_interp.models.hooked import HookedModel, Intervention
from hc_interp.models.site import Site
from hc_interp.subnetwork import Subnetwork
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
    """Replace `components` by the source `with_`; all other components stay, and so do other positions than a role's.

    Raises `ComponentError` for components that the model lacks, `InterventionError` for a source that is none, and
    `DataError` for a row without a position of a role.
    """

    components: str | Part | Iterable[str | Part]
    with_: Source

    def check(self, model: HookedModel, before: Sequence[Intervention]) -> None:
        check_parts(model, components(self.components, model.components))
        check_source(self.with_, model, before)

    def check_batch(self, model: HookedModel, batch: Batch) -> None:
        check_roles(model.tokenizer, batch, components(self.components, model.components))

    def edits(self, model: HookedModel, batch: Batch, before: Sequence[Intervention]) -> list[SiteEdit]:
        return replace_components(components(self.components, model.components), self.with_, model, batch, before)


@dataclass(frozen=True, eq=False)
class SoftMask(Intervention):
    """Replace the value of each component by `m * value + (1 - m) * source`; gradients flow to `mask`.

    `mask` is `[component]` in the order of `components` (default: all components of the model), or
    `[batch, component]` with a separate mask for each row of the batch. A component may stand at a role. Where several
    roles of one component meet, their masks multiply.

    Raises `InterventionError` for a mask of another type or shape and for a source that is none, `ComponentError` for
    components that the model lacks, and `DataError` for a row without a position of a role.
    """

    mask: Tensor
    source: Source
    components: str | Part | Iterable[str | Part] | None = None

    def check(self, model: HookedModel, before: Sequence[Intervention]) -> None:
        items = self._components(model)
        check_parts(model, items)
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

    def _components(self, model: HookedModel) -> tuple[Part, ...]:
        return model.components if self.components is None else components(self.components, model.components)

    def check_batch(self, model: HookedModel, batch: Batch) -> None:
        if self.mask.ndim == 2 and self.mask.shape[0] != len(batch):
            raise InterventionError(
                f"SoftMask has {self.mask.shape[0]} rows of masks for a batch of {len(batch)}; give one for each row."
            )
        check_roles(model.tokenizer, batch, self._components(model))

    def edits(self, model: HookedModel, batch: Batch, before: Sequence[Intervention]) -> list[SiteEdit]:
        items = self._components(model)
        columns: dict[Part, int] = {item: index for index, item in enumerate(items)}
        members_of = _by_site(items)
        values = source_values(self.source, model, batch, members_of, before)
        if values is None:
            return []
        mask = usable(self.mask).to(model.device)
        return [
            SiteEdit(site, _blend(_site_mask(mask, members, columns, model, batch), values[site]))
            for site, members in members_of.items()
        ]


@dataclass(frozen=True, eq=False)
class Scale(Intervention):
    """Multiply the value of a component, or of several, by `factor`: a number, or a tensor that holds one number.

    A component may stand at a role; where several roles of one component meet, it is multiplied for each. Raises
    `InterventionError` for any other factor, `ComponentError` for components that the model lacks, and `DataError` for
    a row without a position of a role.
    """

    component: str | Part | Iterable[str | Part]
    factor: float | Tensor

    def check(self, model: HookedModel, before: Sequence[Intervention]) -> None:
        check_parts(model, components(self.component, model.components))
        number = isinstance(self.factor, int | float) and not isinstance(self.factor, bool)
        if not number and not (isinstance(self.factor, Tensor) and self.factor.numel() == 1):
            raise InterventionError(
                f"Scale of {self.component} was given the factor {self.factor!r}; expected one number, or a tensor "
                "that holds one."
            )

    def check_batch(self, model: HookedModel, batch: Batch) -> None:
        check_roles(model.tokenizer, batch, components(self.component, model.components))

    def edits(self, model: HookedModel, batch: Batch, before: Sequence[Intervention]) -> list[SiteEdit]:
        factor = usable(self.factor).to(model.device) if isinstance(self.factor, Tensor) else self.factor
        edits = []
        for item in components(self.component, model.components):
            where = role_mask(model.tokenizer, batch, item.role)[:, :, None] if isinstance(item, At) else None
            edits.append(SiteEdit(site_of(item), _scale(factor, where)))
        return edits


def check_parts(model: HookedModel, parts: Iterable[Part]) -> None:
    """Raise `ComponentError` for a component that the model lacks, at a role or at all positions."""
    for part in parts:
        model.check_component(whole(part))


def replace_components(
    items: Iterable[Part], source: Source, model: HookedModel, batch: Batch, before: Sequence[Intervention]
) -> list[SiteEdit]:
    """Edits that replace the components' values by the source's: one for all heads of a layer, one for each MLP."""
    items = tuple(items)
    values = component_values(items, source, model, batch, before)
    return [] if values is None else replacements(items, values, model, batch)


def component_values(
    items: Iterable[Part], source: Source, model: HookedModel, batch: Batch, before: Sequence[Intervention]
) -> dict[Site, Tensor] | None:
    """The source's values at the sites of the components; None where there is nothing to replace."""
    sites = _by_site(items)
    return source_values(source, model, batch, sites, before) if sites else None


def replacements(
    items: Iterable[Part], values: Mapping[Site, Tensor], model: HookedModel, batch: Batch
) -> list[SiteEdit]:
    """Edits that replace the components' values by `values`: one for all heads of a layer, one for each MLP."""
    return [
        SiteEdit(site, _replace(chosen(members, model, batch), values[site]))
        for site, members in _by_site(items).items()
    ]


def chosen(parts: Iterable[Part], model: HookedModel, batch: Batch) -> Bool[Tensor, "..."]:
    """Where the value of a site is that of one of these parts, which are of one site; it broadcasts over the value.

    Of heads that is `[head, 1]`, or `[batch, pos, head, 1]` if one stands at a role. Of an MLP or `embed` it is one
    true value, or `[batch, pos, 1]`.
    """
    roles_of = by_component(parts)
    heads = {item.head: roles for item, roles in roles_of.items() if isinstance(item, Head)}
    if not heads:
        (roles,) = roles_of.values()
        everywhere = torch.ones((), dtype=torch.bool, device=model.device)
        return roles_mask(model.tokenizer, batch, roles)[:, :, None] if roles else everywhere
    shape = (*batch.input_ids.shape, model.n_heads, 1) if any(heads.values()) else (model.n_heads, 1)
    where = torch.zeros(shape, dtype=torch.bool, device=model.device)
    for head, roles in heads.items():
        where[..., head, 0] = roles_mask(model.tokenizer, batch, roles) if roles else True
    return where


def _by_site(items: Iterable[Part]) -> dict[Site, list[Part]]:
    grouped: dict[Site, list[Part]] = {}
    for item in items:
        grouped.setdefault(site_of(item).whole, []).append(item)
    return grouped


def _replace(replaced: Tensor, source: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda value: torch.where(replaced, source.to(value.dtype), value)


def _scale(factor: float | Tensor, where: Tensor | None) -> Callable[[Tensor], Tensor]:
    if where is None:
        return lambda value: value * factor
    return lambda value: torch.where(where, value * factor, value)


def _blend(mask: Tensor, source: Tensor) -> Callable[[Tensor], Tensor]:
    """The function `mask * value + (1 - mask) * source` in one kernel; exactly `value` where the mask is 1."""

    def blend(value: Tensor) -> Tensor:
        wide = torch.promote_types(value.dtype, mask.dtype)
        return torch.lerp(source.to(wide), value.to(wide), mask.to(wide))

    return blend


def _site_mask(
    mask: Tensor, members: Sequence[Part], columns: Mapping[Part, int], model: HookedModel, batch: Batch
) -> Tensor:
    """The mask of one site's components, of a shape that broadcasts over the site's value.

    `mask` is `[component]` or `[batch, component]`, and `columns` maps a component to its column there. Heads of the
    site that have no column get 1.
    """
    if any(isinstance(item, At) for item in members):
        return _mask_by_position(mask, members, columns, model, batch)
    batched = mask.ndim == 2
    if not isinstance(members[0], Head):
        column = mask[..., columns[members[0]]]
        return column[:, None, None] if batched else column
    factors = {item.head: mask[..., columns[item]] for item in members if isinstance(item, Head)}
    one = mask.new_ones(mask.shape[:-1])
    heads = torch.stack([factors.get(head, one) for head in range(model.n_heads)], dim=-1)
    return heads[:, None, :, None] if batched else heads[:, None]


def _mask_by_position(
    mask: Tensor, members: Sequence[Part], columns: Mapping[Part, int], model: HookedModel, batch: Batch
) -> Float[Tensor, "batch pos *head 1"]:
    """`_site_mask` of components of which some stand at a role: 1 at all positions of which the mask says nothing."""
    one = mask.new_ones(batch.input_ids.shape)
    of_head: dict[int, Tensor] = {}
    for item in members:
        component, factor = whole(item), mask[..., columns[item]]
        factor = factor[:, None] if factor.ndim else factor
        if isinstance(item, At):
            factor = torch.where(role_mask(model.tokenizer, batch, item.role), factor, one)
        place = component.head if isinstance(component, Head) else 0
        of_head[place] = of_head.get(place, one) * factor
    if not isinstance(whole(members[0]), Head):
        return of_head[0][:, :, None]
    return torch.stack([of_head.get(head, one) for head in range(model.n_heads)], dim=-1)[..., None]
