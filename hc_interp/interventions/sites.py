"""Interventions on single sites: `Patch`, `Steer`, `Edit`."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hc_interp.components import OUTPUT, At, Part, components
from hc_interp.data.batch import Batch
from hc_interp.data.roles import check_roles, role_mask
from hc_interp.errors import InterventionError
from hc_interp.interventions.sources import Source, check_source, site_of, source_values
from hc_interp.models.forward import SiteEdit
from hc_interp.models.hooked import HookedModel, Intervention
from hc_interp.models.site import Site
from hc_interp.torch_modes import usable


def site_shape(site: Site, model: HookedModel, batch: Batch) -> tuple[int, ...]:
    """The shape of a site's value on a batch; a site with `head` has no head axis."""
    rows, positions = batch.input_ids.shape
    heads = () if site.head is not None else (model.n_heads,)
    match site.kind:
        case "pattern":
            return (rows, *heads, positions, positions)
        case "q" | "k" | "v" | "z":
            return (rows, positions, *heads, model.d_head)
        case "q_in" | "k_in" | "v_in" | "result":
            return (rows, positions, *heads, model.d_model)
        case "pooled":
            return (rows, model.d_model)
    return (rows, positions, model.d_model)


@dataclass(frozen=True, eq=False)
class Patch(Intervention):
    """Replace the value at a component or site, or at several of them, by the source's value there.

    A component at a role is replaced at the positions of the role alone. The source may also be a tensor of the site's
    shape. The values of pairs and donors come from runs under the interventions before this one in the list.

    Raises `ComponentError` for components and sites that the model lacks, and `InterventionError` for `output`, for a
    source that is none, and for a tensor of another shape; `DataError` for a row without a position of a role.
    """

    target: str | Part | Site | Collection[str | Part | Site]
    source: Source | Tensor

    def _targets(self, model: HookedModel) -> tuple[Part | Site, ...]:
        targets: Any = self.target
        several = targets if isinstance(targets, list | tuple | set | frozenset) else (targets,)
        parts: list[Part | Site] = []
        for item in several:
            if isinstance(item, Site):
                parts.append(item)
                continue
            named = components(item, model.components)
            if OUTPUT in named:
                raise InterventionError(
                    "'output' cannot be patched: the logits are the result. Patch Site.pooled() instead."
                )
            parts += named
        return tuple(parts)

    def _sites(self, model: HookedModel) -> tuple[Site, ...]:
        return tuple(item if isinstance(item, Site) else site_of(item) for item in self._targets(model))

    def check(self, model: HookedModel, before: Sequence[Intervention]) -> None:
        for site in self._sites(model):
            model.check_site(site)
        if not isinstance(self.source, Tensor):
            check_source(self.source, model, before)

    def check_batch(self, model: HookedModel, batch: Batch) -> None:
        check_roles(model.tokenizer, batch, [item for item in self._targets(model) if not isinstance(item, Site)])
        if not isinstance(self.source, Tensor):
            return
        for site in self._sites(model):
            if tuple(self.source.shape) != site_shape(site, model, batch):
                raise InterventionError(
                    f"Patch at {site} was given a tensor of shape {tuple(self.source.shape)}; here the site "
                    f"has shape {site_shape(site, model, batch)}. Take the value from a batch of the same shape."
                )

    def edits(self, model: HookedModel, batch: Batch, before: Sequence[Intervention]) -> list[SiteEdit]:
        sites = self._sites(model)
        values: dict[Site, Tensor] | None
        if isinstance(self.source, Tensor):
            values = dict.fromkeys(sites, usable(self.source).to(model.device))
        else:
            values = source_values(self.source, model, batch, sites, before)
        if values is None:
            return []
        edits = []
        for item, site in zip(self._targets(model), sites, strict=True):
            where = role_mask(model.tokenizer, batch, item.role)[:, :, None] if isinstance(item, At) else None
            edits.append(SiteEdit(site, _put(values[site], where)))
        return edits


@dataclass(frozen=True, eq=False)
class Steer(Intervention):
    """Add `direction` to a site's value at every position; `direction` broadcasts to the value.

    Raises `InterventionError` for an object that is no site, for a direction that is no tensor, and for a direction
    that does not broadcast; `ComponentError` for a site that the model lacks.
    """

    site: Site
    direction: Tensor

    def check(self, model: HookedModel, before: Sequence[Intervention]) -> None:
        check_is_site(self.site, "Steer")
        model.check_site(self.site)
        if not isinstance(self.direction, Tensor):
            raise InterventionError(
                f"Steer at {self.site} was given a direction of type {type(self.direction).__name__}; expected a "
                "tensor that broadcasts to the site's value. Use torch.as_tensor(...)."
            )

    def check_batch(self, model: HookedModel, batch: Batch) -> None:
        shape = site_shape(self.site, model, batch)
        try:
            fits = torch.broadcast_shapes(shape, self.direction.shape) == shape
        except RuntimeError:
            fits = False
        if not fits:
            raise InterventionError(
                f"Steer at {self.site} was given a direction of shape {tuple(self.direction.shape)}, which does not "
                f"broadcast to the site's {shape}. Give a vector of {shape[-1]} numbers."
            )

    def edits(self, model: HookedModel, batch: Batch, before: Sequence[Intervention]) -> list[SiteEdit]:
        direction = usable(self.direction).to(model.device)
        return [SiteEdit(self.site, lambda value: value + direction)]


@dataclass(frozen=True, eq=False)
class Edit(Intervention):
    """Replace a site's value by `fn(value)`, a tensor of the same shape.

    For a site with `head`, `fn` is called with the value of that head alone, without the head axis.

    Raises `InterventionError` for an object that is no site, for an `fn` that is no function, and for an `fn` that
    returns another shape; `ComponentError` for a site that the model lacks.
    """

    site: Site
    fn: Callable[[Tensor], Tensor]

    def check(self, model: HookedModel, before: Sequence[Intervention]) -> None:
        check_is_site(self.site, "Edit")
        model.check_site(self.site)
        if not callable(self.fn):
            raise InterventionError(f"Edit at {self.site} was given {self.fn!r}; expected a function of the value.")

    def edits(self, model: HookedModel, batch: Batch, before: Sequence[Intervention]) -> list[SiteEdit]:
        return [SiteEdit(self.site, self._checked)]

    def _checked(self, value: Tensor) -> Tensor:
        # Hooks often write into their argument; `fn` gets a copy, so that it cannot change other values.
        edited = self.fn(value.clone(memory_format=torch.contiguous_format))
        if not isinstance(edited, Tensor) or edited.shape != value.shape:
            returned = tuple(edited.shape) if isinstance(edited, Tensor) else type(edited).__name__
            raise InterventionError(
                f"The function of Edit at {self.site} returned {returned}; expected a tensor of shape "
                f"{tuple(value.shape)}. Return a new tensor of the shape that it was given."
            )
        return edited


def check_is_site(site: Any, name: str) -> None:
    """Raise `InterventionError`, which names the intervention, for an object that is no site."""
    if isinstance(site, At):
        raise InterventionError(
            f"{name} was given {site}, a component at a role; it edits a site at all positions. Use Ablate, Patch or "
            "Scale at a role, or an Edit whose function leaves the other positions as they are."
        )
    if not isinstance(site, Site):
        raise InterventionError(
            f"{name} was given {site!r} as its site. Expected layer, kind and head: hc.Site(3, 'z', head=7) is the "
            "output of L3H7."
        )


def _put(source: Tensor, where: Tensor | None) -> Callable[[Tensor], Tensor]:
    if where is None:
        return lambda value: source.to(value.dtype).expand_as(value)
    return lambda value: torch.where(where, source.to(value.dtype), value)
