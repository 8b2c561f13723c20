"""`read_at` of a token classifier: which token of each row the answer is."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from hc_interp.data.batch import Batch
from hc_interp.errors import DataError, ModelError

# A position from 0, or from -1, which is a row's last token; or a function that gives one for each row of a batch.
ReadAt = int | Callable[[Batch], Tensor]

_EXPECTED = (
    "Expected a position, like read_at=3 or, counted from a row's last token, read_at=-2; or a function that gives a "
    "batch's positions, one a row"
)


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
            "hc.load(..., read_at=-2), hc.load(..., read_at=lambda batch: batch.attention_mask.sum(1) // 2)."
        )
    if not _is_rule(given):
        raise ModelError(f"read_at={given!r} was given for {name}. {_EXPECTED}.")
    return given


def _is_rule(given: Any) -> bool:
    return callable(given) or is_position(given)


def is_position(read_at: Any) -> bool:
    """Whether `read_at` is one position for all rows, which files and options of the command line can hold."""
    return isinstance(read_at, int) and not isinstance(read_at, bool)


def in_words(read_at: ReadAt | None) -> str:
    """Where a token classifier is read, for its `repr`; "" for other models."""
    if read_at is None:
        return ""
    return f" at token {read_at}" if is_position(read_at) else " at tokens that a function gives"


def read_positions(read_at: ReadAt, batch: Batch) -> Int[Tensor, " batch"]:
    """The position of each row of a batch. Raises `DataError` for positions that rows do not have."""
    lengths = batch.attention_mask.sum(1)
    if callable(read_at):
        positions: Any = read_at(batch)
        where = f"read_at gave {positions!r}"
    else:
        positions = torch.full_like(lengths, read_at) if read_at >= 0 else lengths + read_at
        where = f"read_at={read_at}"
    whole = isinstance(positions, Tensor) and not positions.is_floating_point() and positions.dtype != torch.bool
    if not whole or positions.shape != (len(batch),):
        raise DataError(f"{where} for a batch of {len(batch)} rows. Expected a tensor of whole numbers, one a row.")
    positions = positions.to(batch.input_ids.device).long()
    if bool((outside := (positions < 0) | (positions >= lengths)).any()):
        row = int(outside.nonzero()[0])
        named, n = batch.ids[row] if batch.ids else row, int(lengths[row])
        at, from_end = (int(positions[row]), False) if callable(read_at) else (read_at, read_at < 0)
        tokens = f"{-n} to -1" if from_end else f"0 to {n - 1}"
        raise DataError(
            f"read_at is position {at} in row {named}, which has tokens {tokens}. Expected a position "
            "of a token in each row. Leave such rows out, or give hc.load a read_at that every row has."
        )
    return positions
