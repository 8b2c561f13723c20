"""`Batch`: what it accepts, what it refuses, its rows."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hc_interp.data.batch import Batch
from hc_interp.errors import DataError

IDS = torch.arange(12).view(4, 3)
MASK = torch.tensor([[1, 1, 1], [1, 1, 0], [1, 0, 0], [1, 1, 0]])


def full() -> Batch:
    return Batch(IDS, MASK, MASK * 0, labels=[0, 1, 1, 0], ids=["a", "b", "c", "d"])


def test_defaults() -> None:
    batch = Batch(IDS)
    assert batch.attention_mask.tolist() == [[1] * 3] * 4
    assert (batch.token_type_ids, batch.labels, batch.ids) == (None, None, None)
    assert len(batch) == 4
    assert repr(batch) == "Batch(4 x 3 tokens)"
    assert full().ids == ("a", "b", "c", "d")
    assert full().labels.tolist() == [0, 1, 1, 0]


@pytest.mark.parametrize("dtype", [torch.bool, torch.float32, torch.int32, torch.uint8, torch.int64], ids=str)
def test_masks_of_any_type_are_kept_as_integers(dtype) -> None:
    found = Batch(IDS, MASK.to(dtype)).attention_mask
    assert found.dtype == torch.int64
    assert torch.equal(found, MASK)


@pytest.mark.parametrize(
    "labels",
    [
        [1, 0, 1, 0],
        (1, 0, 1, 0),
        np.array([1, 0, 1, 0]),
        torch.tensor([True, False, True, False]),
        torch.tensor([1.0, 0, 1, 0]),
    ],
)
def test_labels_are_whole_numbers(labels) -> None:
    found = Batch(IDS, labels=labels).labels
    assert found.dtype == torch.int64
    assert found.tolist() == [1, 0, 1, 0]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Batch(IDS[0]), r"shape \(3,\); expected \[batch, pos\]"),
        (lambda: Batch([[1, 2]]), "is a list; expected a tensor"),
        (lambda: Batch(np.ones((2, 2), int)), "is a ndarray; expected a tensor"),
        (lambda: Batch(IDS.float()), "holds torch.float32; expected whole numbers"),
        (lambda: Batch(IDS > 3), "holds torch.bool; expected whole numbers"),
        (lambda: Batch(IDS, MASK.tolist()), "attention_mask is a list"),
        (lambda: Batch(IDS, MASK[:2]), r"attention_mask has shape \(2, 3\), input_ids \(4, 3\)"),
        (lambda: Batch(IDS, MASK, MASK[:, :2]), r"token_type_ids has shape \(4, 2\)"),
        (lambda: Batch(IDS, MASK, MASK.float()), "token_type_ids holds torch.float32"),
        (lambda: Batch(IDS, MASK.flip(1)), "is not right padding"),
        (lambda: Batch(IDS, MASK * 0), "is not right padding"),
        (lambda: Batch(IDS, MASK * 2), "is not right padding"),
        (lambda: Batch(IDS, MASK * 0.5), "is not right padding"),
        (lambda: Batch(IDS, torch.tensor([[1, 0, 1]] * 4)), "is not right padding"),
        (lambda: Batch(IDS[:, :0]), "is not right padding"),
        (lambda: Batch(IDS, labels=[0, 1]), "labels has 2 entries for 4 rows"),
        (lambda: Batch(IDS, ids=["a"]), "ids has 1 entries for 4 rows"),
        (lambda: Batch(IDS, labels=[0.5, 0, 0, 0]), "expected one whole number"),
        (lambda: Batch(IDS, labels=[float("nan"), 0, 0, 0]), "expected one whole number"),
        (lambda: Batch(IDS, labels=[[0], [1], [0], [1]]), "expected one whole number"),
        (lambda: full().rows([4]), "Row 4 was asked for, but there are 4 rows"),
        (lambda: full().rows([-5]), "Row -5 was asked for"),
        (lambda: full().rows(1), r"Rows were asked for by 1; .* For one row write \[i\]"),
        (lambda: full().rows([0.5]), "an array of float64"),
        (lambda: full().rows(torch.tensor([True, False])), "a boolean mask of 4 entries"),
        (lambda: full().rows(torch.ones(2, 2, dtype=torch.long)), r"shape \(2, 2\)"),
    ],
)  # fmt: skip
def test_what_does_not_fit(make, message) -> None:
    with pytest.raises(DataError, match=message):
        make()


@settings(deadline=None)
@given(st.lists(st.integers(-4, 3)), st.sampled_from([list, np.array, torch.tensor]))
def test_rows_are_those_places(index, kind) -> None:
    picked = full().rows(kind(index))
    assert picked.ids == tuple("abcd"[i] for i in index)
    assert picked.input_ids.tolist() == [IDS[i].tolist() for i in index]
    assert picked.attention_mask.tolist() == [MASK[i].tolist() for i in index]
    assert picked.labels.tolist() == [[0, 1, 1, 0][i] for i in index]


@settings(deadline=None)
@given(st.lists(st.booleans(), min_size=4, max_size=4), st.sampled_from([list, np.array, torch.tensor]))
def test_a_boolean_mask_picks_where_it_is_true(chosen, kind) -> None:
    expected = tuple(name for name, taken in zip("abcd", chosen, strict=True) if taken)
    assert full().rows(kind(chosen)).ids == expected


def test_slices_and_missing_fields() -> None:
    assert full().rows(slice(None, None, -2)).ids == ("d", "b")
    picked = Batch(IDS).rows(slice(1, 3))
    assert (len(picked), picked.labels, picked.ids, picked.token_type_ids) == (2, None, None, None)
    assert len(full().rows([])) == 0


def test_to() -> None:
    batch = full()
    assert batch.to("cpu") is batch
    moved = batch.to("meta")
    tensors = (moved.input_ids, moved.attention_mask, moved.token_type_ids, moved.labels)
    assert {tensor.device.type for tensor in tensors} == {"meta"}
    assert moved.ids == batch.ids


@st.composite
def batches_of_rows(draw, columns: bool | None = None) -> Batch:
    """Any batch, with or without superfluous padding; `columns` says whether types, labels and ids are there."""
    lengths = draw(st.lists(st.integers(1, 6), min_size=1, max_size=5))
    width = max(lengths) + draw(st.integers(0, 2))
    mask = (torch.arange(width) < torch.tensor(lengths)[:, None]).long()
    tokens = torch.tensor(draw(st.lists(st.integers(1, 99), min_size=mask.numel(), max_size=mask.numel())))
    n, typed, labelled, named = len(lengths), *(
        draw(st.booleans()) if columns is None else columns for _ in range(3)
    )  # fmt: skip
    return Batch(
        tokens.view(n, width) * mask,
        mask,
        tokens.view(n, width) % 2 * mask if typed else None,
        draw(st.lists(st.integers(0, 2), min_size=n, max_size=n)) if labelled else None,
        [f"row {i}" for i in range(n)] if named else None,
    )


def plain_rows(batch: Batch) -> list[dict]:
    return [{name: value.tolist() for name, value in row.items()} for row in batch.token_rows()]


def same(left: Batch, right: Batch) -> bool:
    return left.fingerprint() == right.fingerprint()


@settings(deadline=None)
@given(st.lists(batches_of_rows(columns=True), min_size=1, max_size=4), st.integers(0, 9))
def test_join_keeps_every_row_with_its_types_label_and_id(parts, pad_id) -> None:
    joined = Batch.join(parts, pad_id)
    assert plain_rows(joined) == [row for part in parts for row in plain_rows(part)]
    assert joined.input_ids.shape[1] == max(part.input_ids.shape[1] for part in parts)
    assert joined.labels.tolist() == [label for part in parts for label in part.labels.tolist()]
    assert joined.ids == tuple(name for part in parts for name in part.ids)
    start = 0
    for part in parts:
        again, start = joined.rows(slice(start, start + len(part))), start + len(part)
        assert same(again.trim(), part.trim())


@settings(deadline=None)
@given(st.lists(batches_of_rows(), min_size=1, max_size=4))
def test_join_of_batches_of_which_only_some_have_a_column(parts) -> None:
    joined = Batch.join(parts, 0)
    rows = [row for part in parts for row in plain_rows(part)]
    if any(part.token_type_ids is not None for part in parts):
        rows = [{"token_type_ids": [0] * len(row["input_ids"]), **row} for row in rows]
    assert plain_rows(joined) == rows
    assert (joined.token_type_ids is None) == all(part.token_type_ids is None for part in parts)
    assert (joined.labels is None) == any(part.labels is None for part in parts)
    assert (joined.ids is None) == any(part.ids is None for part in parts)


@settings(deadline=None)
@given(batches_of_rows(), st.integers(0, 4), st.integers(0, 9))
def test_padding_then_trimming_is_the_identity(batch, more, pad_id) -> None:
    short = batch.trim()
    assert short.input_ids.shape[1] == int(batch.attention_mask.sum(1).max())
    assert plain_rows(short) == plain_rows(batch)
    wide = short.padded_to(short.input_ids.shape[1] + more, pad_id)
    assert wide.input_ids[:, short.input_ids.shape[1] :].tolist() == [[pad_id] * more] * len(batch)
    assert same(wide.trim(), short)
    assert short.trim() is short.padded_to(short.input_ids.shape[1], pad_id) is short
    Batch(wide.input_ids, wide.attention_mask, wide.token_type_ids, wide.labels, wide.ids)  # passes every check


@settings(deadline=None)
@given(batches_of_rows(), st.integers(0, 9))
def test_a_batch_is_made_of_its_rows_again(batch, pad_id) -> None:
    again = Batch.of_rows(batch.token_rows(), pad_id)
    assert plain_rows(again) == plain_rows(batch)
    assert torch.equal(again.attention_mask, batch.trim().attention_mask)
    assert bool((again.input_ids[again.attention_mask == 0] == pad_id).all())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Batch.join([], 0), "No batches were given"),
        (lambda: Batch.of_rows([], 0), "no rows was asked for"),
        (lambda: full().padded_to(2, 0), r"padded to 2 tokens; expected at least 3. Use trim\(\)"),
    ],
)
def test_what_cannot_be_joined_or_padded(make, message) -> None:
    with pytest.raises(DataError, match=message):
        make()


def test_fingerprints_see_every_column() -> None:
    columns = {"attention_mask": MASK, "token_type_ids": MASK * 0, "labels": [0, 1, 1, 0], "ids": tuple("abcd")}
    variants = [full(), Batch(IDS + 1, **columns)]
    for name, other in (
        ("attention_mask", MASK * 0 + 1), ("token_type_ids", None), ("labels", [0, 1, 1, 1]), ("ids", tuple("abce")),
    ):  # fmt: skip
        variants.append(Batch(IDS, **{**columns, name: other}))
    assert len({batch.fingerprint() for batch in variants}) == len(variants)
    assert full().fingerprint() == Batch(IDS, **columns).fingerprint() == full().rows(range(4)).fingerprint()
    assert full().rows([]).trim().input_ids.shape == (0, 3)
