"""Activations at chosen tokens, for many sites in one pass over the data."""

from collections.abc import Sequence
from tempfile import TemporaryFile

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from hc_interp.data.examples import Examples
from hc_interp.errors import ComponentError, DataError
from hc_interp.models.hooked import HookedModel, Intervention
from hc_interp.models.site import HEAD_KINDS, Site
from hc_interp.probing.encoded_words import Encoded, encode
from hc_interp.progress import stage

MEMORY_GIB = 2.0  # memory that activations may take before they are kept in a file
D_HEAD_KINDS = frozenset({"q", "k", "v", "z"})  # kinds of width d_head; all others have d_model


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
    examples: Examples | Encoded,
    sites: Sequence[Site],
    row: Int[np.ndarray, " place"],
    position: Int[np.ndarray, " place"],
    interventions: Sequence[Intervention] = (),
    batch_size: int = 64,
    memory_gib: float = MEMORY_GIB,
) -> dict[Site, Float[np.ndarray, "place d"]]:
    """The vector of each site at each place, on the CPU. Place i is token `position[i]` of example `row[i]`.

    The site `pooled` has one vector per example, whatever the position. Each example with a place is run once for all
    sites. Values are those after all edits of `interventions`, in the model's precision (half precision: float32). If
    they need more than `memory_gib` gibibytes, they are kept in a temporary file, which is deleted with the last array.
    Raises `ComponentError` for sites that do not exist, `DataError` for a position outside its example.
    """
    check_readable(model, sites, by_token=False)
    row, position = np.asarray(row), np.asarray(position)
    used, used_row = np.unique(row, return_inverse=True)
    encoded = encode(model, examples.rows(used), batch_size)
    last = _last_needed(sites)
    values = _empty_arrays(model, sites, len(row), memory_gib)
    with stage("reading activations", len(encoded)) as progress:
        for item in encoded:
            batch_row = np.full(len(used), -1)  # of each used row; -1: the row is in another batch
            batch_row[item.index.numpy()] = np.arange(len(item))
            places = np.flatnonzero(batch_row[used_row] >= 0)
            tokens = torch.as_tensor(batch_row[used_row[places]]), torch.as_tensor(position[places])
            _check_positions(item.batch.attention_mask, *tokens)
            edits = model.compile(item.batch, interventions)
            captured = model.run_edits(item.batch, edits, sites, stop_after=last).captured
            for site in sites:
                value = captured[site]
                index = tokens[:1] if site.kind == "pooled" else tokens
                picked = value[tuple(i.to(value.device) for i in index)]
                values[site][places] = picked.to("cpu", _precision(model)).numpy()
            progress.advance()
    return values


def _empty_arrays(
    model: HookedModel, sites: Sequence[Site], n_places: int, memory_gib: float
) -> dict[Site, Float[np.ndarray, "place d"]]:
    """An empty array per site, all in memory or all in one temporary file."""
    if isinstance(memory_gib, bool) or not isinstance(memory_gib, int | float) or not memory_gib >= 0:
        raise DataError(f"memory_gib={memory_gib!r} was given; expected a number of gibibytes from 0.")
    dtype = np.dtype(str(_precision(model)).removeprefix("torch."))
    widths = _widths(model, sites)
    size = n_places * sum(widths)
    if size * dtype.itemsize <= memory_gib * 2**30:
        whole = np.empty(size, dtype)
    else:
        with TemporaryFile(prefix="hc_interp-activations-") as file:  # the mapping outlives the file's name
            whole = np.memmap(file, dtype, mode="w+", shape=(size,))
    ends = np.cumsum([n_places * width for width in widths])[:-1]
    return {
        site: part.reshape(n_places, width)
        for site, width, part in zip(sites, widths, np.split(whole, ends), strict=True)
    }


def n_bytes(model: HookedModel, sites: Sequence[Site], n_places: int) -> int:
    """The bytes of the vectors of these sites at so many places."""
    return n_places * sum(_widths(model, sites)) * _precision(model).itemsize


def _widths(model: HookedModel, sites: Sequence[Site]) -> list[int]:
    return [model.d_head if site.kind in D_HEAD_KINDS else model.d_model for site in sites]


def _precision(model: HookedModel) -> torch.dtype:
    return torch.float64 if model.dtype == torch.float64 else torch.float32


def _last_needed(sites: Sequence[Site]) -> Site | None:
    """The site after which a pass that captures these sites may stop; None if it must run to the end."""
    if any(site.kind == "pooled" for site in sites):
        return None
    return Site(max(site.layer or 0 for site in sites), "resid_post")


def _check_positions(
    mask: Int[Tensor, "batch pos"] | None, row: Int[Tensor, " place"], position: Int[Tensor, " place"]
) -> None:
    lengths = mask.sum(1).cpu()[row]  # type: ignore[union-attr]
    if bool(((position < 0) | (position >= lengths)).any()):
        worst = int((position - lengths).argmax())
        raise DataError(
            f"Position {int(position[worst])} was given for an example with {int(lengths[worst])} tokens. Take "
            "positions from hc.features.feature_values(model, examples, feature) with the same examples and model."
        )
