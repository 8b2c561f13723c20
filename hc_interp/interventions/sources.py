"""Sources: where the values come from that replace a component's own. `source_values` serves every kind of source."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from hc_interp.components import MLP, End, Head, Part, whole
from hc_interp.data.batch import Batch
from hc_interp.data.contrast import ContrastPairs
from hc_interp.data.encode import pad, token_rows
from hc_interp.data.examples import Examples
from hc_interp.data.roles import with_roles_of
from hc_interp.errors import InterventionError
from hc_interp.interventions.donors import Donors
from hc_interp.interventions.means import MeanActivations
from hc_interp.models.hooked import HookedModel, Intervention
from hc_interp.models.site import Site

Source = MeanActivations | Donors | ContrastPairs | int | float


def site_of(item: Part) -> Site:
    """The site of a component's value: a head's `z`, an MLP's output, and for `embed` the input of layer 0.

    It has the values at all positions, also for a component at a role. Raises `InterventionError` for `output`, which
    has no value of its own.
    """
    match whole(item):
        case Head(layer, head):
            return Site(layer, "z", head)
        case MLP(layer):
            return Site(layer, "mlp_out")
        case End("embed"):
            return Site.embed()
    raise InterventionError(f"{item} has no value that could be replaced; it only receives.")


def check_source(source: Any, model: HookedModel, before: Sequence[Intervention] = ()) -> None:
    """Raise `InterventionError` unless `source` can replace values of this model after the interventions `before`.

    Donors cannot come after pairs. A donor's run is made under `before`, and pairs have no values for a donor.
    """
    if isinstance(source, Donors):
        earlier = [getattr(item, "source", getattr(item, "with_", None)) for item in before]
        if any(isinstance(other, ContrastPairs) for other in earlier):
            raise InterventionError(
                f"The list replaces values by {source!r} after others by contrast pairs, but a donor is another text, "
                "which is no row of the pairs. Put the donors first, or use means or 0 for one of the two."
            )
    if isinstance(source, MeanActivations):
        source.check_model(model)
    elif isinstance(source, Donors):
        if source.model.fingerprint != model.fingerprint:
            raise InterventionError(
                f"These donors were encoded for {source.model.name}, another model than {model.name}. "
                "Build them with the model that you intervene on: hc.Donors(model, data, seed)."
            )
    elif not (isinstance(source, ContrastPairs) or (isinstance(source, int | float) and source == 0)):
        described = f"a tensor of shape {tuple(source.shape)}" if isinstance(source, Tensor) else repr(source)
        raise InterventionError(
            f"{described} is not a source. Use means from hc.mean_activations(model, data), 0, "
            "hc.Donors(model, data, seed) or ContrastPairs. A value of your own goes in by hc.Patch(component, tensor) "
            "or hc.Edit(site, function)."
        )


def check_rows(source: Source, model: HookedModel, batch: Batch) -> None:
    """Raise, before any pass is made, the `HCError` that a pass with `source` would raise on one of these rows.

    It also raises `InterventionError` where the rows are the corrupt side of the pairs that are the source.
    """
    if isinstance(source, MeanActivations):
        source.value(Site(0, "z"), batch)
    elif isinstance(source, Donors):
        source.batch_for(batch)
    elif isinstance(source, ContrastPairs) and corrupt_side(source, model, batch) is None:
        raise InterventionError(
            "The data are the corrupt side of the pairs, so replacing by these would change nothing. Pass pairs.clean."
        )


def source_values(
    source: Source, model: HookedModel, batch: Batch, sites: Iterable[Site], before: Sequence[Intervention] = ()
) -> dict[Site, Tensor] | None:
    """The source's value at each site, of a shape that broadcasts over `batch`.

    The runs that pairs and donors need are made under `before`. The result is None where the batch is itself the
    corrupt side of the pairs: then there is nothing to replace.
    """
    sites = list(dict.fromkeys(sites))
    if isinstance(source, MeanActivations):
        return {site: source.value(site, batch) for site in sites}
    if isinstance(source, Donors):
        return model.run(source.batch_for(batch), before, capture=sites).captured
    if isinstance(source, ContrastPairs):
        corrupt = corrupt_side(source, model, batch)
        return None if corrupt is None else model.run(corrupt, before, capture=sites).captured
    return {site: torch.zeros((), dtype=model.dtype, device=model.device) for site in sites}


def corrupt_side(pairs: ContrastPairs, model: HookedModel, batch: Batch) -> Batch | None:
    """The corrupt side of a batch's rows, found by their ids; None if the batch is itself that corrupt side.

    Raises `InterventionError` for a batch without ids, for rows that are not of the clean side, and for sides of
    different lengths.
    """
    if batch.ids is None:
        raise InterventionError(
            "The batch has no ids, so its rows cannot be found among the pairs. Pass Batch(..., ids=pairs.ids of its "
            "rows), or data that carries ids."
        )
    index_of = {name: index for index, name in enumerate(pairs.ids or ())}
    if unknown := [name for name in batch.ids if name not in index_of]:
        raise InterventionError(
            f"Row {unknown[0]!r} of the batch is not among the {len(pairs)} pairs. Such a source needs a batch "
            "of rows of its clean side: pass pairs.clean as the data, or other pairs."
        )
    rows = [index_of[name] for name in batch.ids]
    corrupt = _encode(pairs.corrupt, model, rows, batch)
    if _same_tokens(corrupt, batch):
        return None
    if not _same_tokens(_encode(pairs.clean, model, rows, batch), batch):
        raise InterventionError(
            "The batch has the ids of the pairs' clean side but other tokens. Encode pairs.clean with this model's "
            "tokenizer, or give your rows ids of their own."
        )
    if not torch.equal(corrupt.attention_mask, batch.attention_mask):
        row = int((corrupt.attention_mask != batch.attention_mask).any(1).nonzero()[0])
        raise InterventionError(
            f"Pair {batch.ids[row]} has sides of different lengths under this tokenizer. Use pairs.aligned(model)."
        )
    return corrupt


def _same_tokens(left: Batch, right: Batch) -> bool:
    """Whether two batches hold the same texts; the tokens at padded positions may differ."""
    return torch.equal(left.attention_mask, right.attention_mask) and torch.equal(
        left.input_ids * left.attention_mask, right.input_ids * right.attention_mask
    )


def _encode(side: Examples | Batch, model: HookedModel, rows: list[int], like: Batch) -> Batch:
    """These rows of a side, padded to the length of `like`, with its roles where the side names none."""
    batch = side.rows(rows) if isinstance(side, Batch) else pad(model, token_rows(model, side.rows(rows)))
    width = like.input_ids.shape[1]
    if batch.input_ids.shape[1] > width:
        batch = batch.trim()
    if batch.input_ids.shape[1] > width:
        raise InterventionError(
            "A corrupt side is longer than the batch that it should replace. Use pairs.aligned(model)."
        )
    batch = replace(batch.padded_to(width, 0), labels=None, ids=like.ids).to(like.input_ids.device)
    return with_roles_of(batch, like)
