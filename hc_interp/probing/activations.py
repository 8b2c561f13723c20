"""Activations at chosen tokens, for many sites in one pass over the data."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from hc_interp.data.encode import batches
from hc_interp.data.examples import Examples
from hc_interp.errors import ComponentError, DataError
from hc_interp.models.hooked import HookedModel, Intervention
from hc_interp.models.site import HEAD_KINDS, Site
from hc_interp.progress import stage


def check_readable(model: HookedModel, sites: Sequence[Site], *, by_token: bool) -> None:
    """Raise `ComponentError` for a site that the model lacks or that has no one vector per token (or per example)."""
    for site in sites:
        if not isinstance(site, Site):
            raise ComponentError(
                f"{site!r} is not a site. Pass hc.Site(layer, kind, head=...), for one hc.Site(3, 'z')."
            )
        model.check_site(site)
        if site.kind == "pattern":
            raise ComponentError(
                f"{site} is an attention pattern, whose size changes with the text, so a linear probe cannot read it. "
                "Probe q, k, v or z of the head instead."
            )
        if site.kind in HEAD_KINDS and site.head is None:
            raise ComponentError(
                f"{site} holds one vector for each head; a probe reads one. Name a head, hc.Site({site.layer}, "
                f"{site.kind!r}, head=0), or probe all of them with hc.probe_map."
            )
        if site.kind == "pooled" and by_token:
            raise ComponentError(
                "pooled is one vector for the whole input, so a token-level feature cannot be read from it. Choose a "
                "site with a position axis, or a pair-level feature."
            )


@torch.no_grad()
def collect(
    model: HookedModel,
    examples: Examples,
    sites: Sequence[Site],
    row: Int[np.ndarray, " place"],
    position: Int[np.ndarray, " place"],
    interventions: Sequence[Intervention] = (),
    batch_size: int = 64,
) -> dict[Site, Float[Tensor, "place d"]]:
    """The vector of each site at token `position[i]` of example `row[i]`, on the CPU; `pooled` has one per example.

    Every example is run once, whatever the number of sites, and only if some place asks for it. Values are those after
    all edits of `interventions`. Raises `ComponentError` for sites that do not exist, `DataError` for a position
    outside its example.
    """
    check_readable(model, sites, by_token=False)
    row, position = np.asarray(row), np.asarray(position)
    used, place_row = np.unique(row, return_inverse=True)
    encoded = batches(model, examples.rows(used), batch_size, with_labels=False)
    end = _last_needed(sites)
    parts: dict[Site, list[Tensor]] = {site: [] for site in sites}
    order = []
    with stage("reading activations", len(encoded)) as progress:
        for item in encoded:
            local = np.full(len(used), -1)
            local[item.index.numpy()] = np.arange(len(item))
            places = np.flatnonzero(local[place_row] >= 0)
            where = torch.as_tensor(local[place_row[places]]), torch.as_tensor(position[places])
            _check_positions(item.batch.attention_mask, *where)
            edits = model.compile(item.batch, interventions)
            captured = model.run_edits(item.batch, edits, sites, stop_after=end).captured
            for site in sites:
                value = captured[site]
                index = (where[0],) if site.kind == "pooled" else where
                parts[site].append(value[tuple(i.to(value.device) for i in index)].cpu())
            order.append(places)
            progress.advance()
    back = torch.as_tensor(np.argsort(np.concatenate(order)))
    return {site: torch.cat(found)[back] for site, found in parts.items()}


def _last_needed(sites: Sequence[Site]) -> Site | None:
    """Where a pass that reads these sites may end; None where the last one is behind all layers."""
    if any(site.kind == "pooled" for site in sites):
        return None
    return Site(max(site.layer or 0 for site in sites), "resid_post")


def _check_positions(mask: Tensor | None, row: Tensor, position: Tensor) -> None:
    lengths = mask.sum(1).cpu()[row]  # type: ignore[union-attr]
    if bool(((position < 0) | (position >= lengths)).any()):
        worst = int((position - lengths).argmax())
        raise DataError(
            f"Position {int(position[worst])} was asked of an example with {int(lengths[worst])} tokens. Take "
            "positions from hc.features.feature_values(model, examples, feature) with the same examples and model."
        )
