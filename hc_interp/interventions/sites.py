"""Interventions on single sites: `Patch`, `Steer`, `Edit`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hc_interp.components import OUTPUT, components
from hc_interp.data.batch import Batch
from hc_interp.errors import InterventionError
from hc_interp.interventions.sources import Source, check_source, site_of, source_values
from hc_interp.models.forward import SiteEdit, on_head
from hc_interp.models.hooked import HookedModel, Intervention
from hc_interp.models.site import Site
from hc_interp.torch_modes import usable


def site_shape(site: Site, model: HookedModel, batch: Batch) -> tuple[int, ...]:
    """Shape of a site's value on a batch; a selected head drops its axis."""
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
    """Put a source's value at a component or site (or at several of them) in place of its own.

    The source may also be a tensor of the site's shape. Values of pairs and donors are taken from runs under the
    interventions that stand before this one.
    """

    target: Any
    source: Source | Tensor

    def _sites(self, model: HookedModel) -> tuple[Site, ...]:
        several = self.target if isinstance(self.target, list | tuple | set | frozenset) else (self.target,)
        sites: list[Site] = []
        for item in several:
            named = (item,) if isinstance(item, Site) else components(item, model.components)
            if OUTPUT in named:
                raise InterventionError(
                    "'output' cannot be patched: the logits are the result. Patch Site.pooled() instead."
                )
            sites += [part if isinstance(part, Site) else site_of(part) for part in named]
        return tuple(sites)

    def check(self, model: HookedModel, before: Sequence[Intervention]) -> None:
        for site in self._sites(model):
            model.check_site(site)
        if not isinstance(self.source, Tensor):
            check_source(self.source, model, before)

    def check_batch(self, model: HookedModel, batch: Batch) -> None:
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
        return [SiteEdit(site.whole, on_head(site, _put(values[site]))) for site in sites]


@dataclass(frozen=True, eq=False)
class Steer(Intervention):
    """Add a direction to a site's value at every position; `direction` broadcasts from the last axis."""

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
        return [SiteEdit(self.site.whole, on_head(self.site, lambda value: value + direction))]


@dataclass(frozen=True, eq=False)
class Edit(Intervention):
    """Replace a site's value by `fn(value)`, a tensor of the same shape; with `head=` it sees that head alone."""

    site: Site
    fn: Callable[[Tensor], Tensor]

    def check(self, model: HookedModel, before: Sequence[Intervention]) -> None:
        check_is_site(self.site, "Edit")
        model.check_site(self.site)
        if not callable(self.fn):
            raise InterventionError(f"Edit at {self.site} was given {self.fn!r}; expected a function of the value.")

    def edits(self, model: HookedModel, batch: Batch, before: Sequence[Intervention]) -> list[SiteEdit]:
        return [SiteEdit(self.site.whole, on_head(self.site, self._checked))]

    def _checked(self, value: Tensor) -> Tensor:
        # A copy: functions that write into what they are given, as hooks often do, must not reach other values.
        edited = self.fn(value.clone(memory_format=torch.contiguous_format))
        if not isinstance(edited, Tensor) or edited.shape != value.shape:
            got = tuple(edited.shape) if isinstance(edited, Tensor) else type(edited).__name__
            raise InterventionError(
                f"The function of Edit at {self.site} returned {got}; expected a tensor of shape {tuple(value.shape)}. "
                "Return a new tensor of the shape that it was given."
            )
        return edited


def check_is_site(site: Any, who: str) -> None:
    if not isinstance(site, Site):
        raise InterventionError(
            f"{who} was given {site!r} as its site. Name the place by layer, kind and head: hc.Site(3, 'z', head=7) is "
            "what L3H7 puts out."
        )


def _put(value: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda own: value.to(own.dtype).expand_as(own)
