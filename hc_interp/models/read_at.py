"""`read_at` of a token classifier: which token of each row the answer is."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from hc_interp.data.batch import Batch
from hc_interp.errors import DataError, ModelError

ReadAt = int | Callable[[Batch], Tensor]  # a position, or a function that gives one for each row of a batch

_EXPECTED = "Expected a position from 0, like read_at=3, or a function that gives a batch's positions, one a row"


def checked_read_at(given: Any, readout: str, name: str) -> ReadAt | None:
    """`read_at` as it was given. Raises `ModelError` for none with a token classifier and for one with other models."""
    if readout != "token":
        if given is None:
            return None
        raise ModelError(
            f"read_at={given!r} was given for {name}, which is no token classifier: it says itself where it is read. "
            "Leave read_at out."
        )
    if given is None:
        raise ModelError(
            f"{name} puts out classes at every token, and which token is the answer was not said. {_EXPECTED}: "
            "hc.load(..., read_at=lambda batch: batch.attention_mask.sum(1) - 2)."
        )
    if not _is_rule(given):
        raise ModelError(
            f"read_at={given!r} was given for {name}. {_EXPECTED}. Write a position counted from the end as such a "
            "function: lambda batch: batch.attention_mask.sum(1) - 1."
        )
    return given


def _is_rule(given: Any) -> bool:
    return callable(given) or (isinstance(given, int) and not isinstance(given, bool) and given >= 0)


def read_positions(read_at: ReadAt, batch: Batch) -> Int[Tensor, " batch"]:
    """The position of each row of a batch. Raises `DataError` for positions that rows do not have."""
    if callable(read_at):
        positions: Any = read_at(batch)
        where = f"read_at gave {positions!r}"
    else:
        positions, where = torch.full((len(batch),), read_at), f"read_at={read_at}"
    whole = isinstance(positions, Tensor) and not positions.is_floating_point() and positions.dtype != torch.bool
    if not whole or positions.shape != (len(batch),):
        raise DataError(f"{where} for a batch of {len(batch)} rows. Expected a tensor of whole numbers, one a row.")
    positions = positions.to(batch.input_ids.device).long()
    lengths = batch.attention_mask.sum(1)
    if bool((outside := (positions < 0) | (positions >= lengths)).any()):
        row = int(outside.nonzero()[0])
        named = batch.ids[row] if batch.ids else row
        raise DataError(
            f"read_at is position {int(positions[row])} in row {named}, which has tokens 0 to "
            f"{int(lengths[row]) - 1}. Expected a position of a token in each row. Leave such rows out, or give "
            "hc.load a read_at that every row has."
        )
    return positions
