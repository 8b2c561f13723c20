"""Batches are a permutation of the data with nothing lost, and labels follow names, not positions."""

from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hc_interp.data.batch import Batch
from hc_interp.data.encode import batches, buckets, in_order
from hc_interp.data.examples import Examples
from hc_interp.data.labels import check_labels, normalise, resolve_groups
from hc_interp.errors import DataError, LabelError

WORD_COUNTS = st.lists(st.integers(1, 9), min_size=1, max_size=20)


def examples_of(counts, **fields):
    return Examples(["red " * n for n in counts], ["the doctor ."] * len(counts), [n % 2 for n in counts], **fields)


@given(lengths=st.lists(st.integers(0, 50)), size=st.integers(1, 9))
def test_buckets_are_a_permutation_in_order_of_length(lengths, size):
    found = buckets(lengths, size)
    flat = [i for bucket in found for i in bucket]
    assert sorted(flat) == list(range(len(lengths)))
    assert [lengths[i] for i in flat] == sorted(lengths)
    assert all(len(bucket) == size for bucket in found[:-1])


@settings(deadline=None, max_examples=30)
@given(counts=WORD_COUNTS, size=st.integers(1, 7))
def test_batches_hold_every_example_once_with_its_own_tokens(model, counts, size):
    data = examples_of(counts, id=[f"e{i}" for i in range(len(counts))])
    found = batches(model, data, batch_size=size)
    whole = model.tokenize(data.first, data.second)
    for item in found:
        for row, place in enumerate(item.index.tolist()):
            n = int(whole.attention_mask[place].sum())
            assert item.batch.ids[row] == data.id[place]
            assert item.batch.labels[row] == data.label[place]
            assert item.batch.attention_mask[row].sum() == n
            assert torch.equal(item.batch.input_ids[row, :n], whole.input_ids[place, :n])
            assert torch.equal(item.batch.token_type_ids[row, :n], whole.token_type_ids[place, :n])
        assert item.batch.attention_mask.sum(1).max() == item.batch.input_ids.shape[1]  # no column is all padding
    restored = in_order([item.batch.attention_mask.sum(1) for item in found], [item.index for item in found])
    assert torch.equal(restored, whole.attention_mask.sum(1))


def test_batch_and_iterables_count_on(model):
    batch = Batch(torch.arange(10).reshape(5, 2), labels=torch.arange(5), ids=list("abcde"))
    found = batches(model, iter([batch, examples_of([2, 1])]), batch_size=2)
    assert [len(item) for item in found] == [2, 2, 1, 2]
    assert [item.index.tolist() for item in found] == [[0, 1], [2, 3], [4], [6, 5]]
    assert [label for item in found[:3] for label in item.batch.labels.tolist()] == [0, 1, 2, 3, 4]


def test_labels_are_demanded_or_left_out(model):
    bare = Examples(["the doctor saw"])
    with pytest.raises(DataError, match="has no labels"):
        batches(model, bare)
    assert batches(model, bare, with_labels=False)[0].batch.labels is None
    assert batches(model, examples_of([1]), with_labels=False)[0].batch.labels is None


def test_too_long_names_ids_length_and_limit(model, short_model):
    data = examples_of([1, 9, 2], id=["one", "nine", "two"])
    with pytest.raises(DataError, match=r"1 of 3 examples .* 12 positions \(up to 15 tokens; ids nine\).*drop them"):
        batches(short_model, data)
    with pytest.raises(DataError, match=r"1 of 1 examples .* ids nine\)"):  # a model that does not refuse by itself
        batches(SimpleNamespace(**{**vars(short_model), "tokenize": model.tokenize}), data.rows([1]))
    with pytest.raises(DataError, match="12 positions"):
        batches(short_model, Batch(torch.ones(1, 13, dtype=torch.long), labels=torch.tensor([0])))


@pytest.mark.parametrize("data", [Examples([]), [], Batch(torch.ones(0, 3, dtype=torch.long), labels=torch.ones(0))])
def test_empty_data_is_refused(model, data):
    with pytest.raises(DataError, match=r"no examples|empty iterable"):
        batches(model, data, with_labels=False)


@pytest.mark.parametrize("data", ["text", pd.DataFrame({"first": ["a"]}), ["text"], 3, {"a": 1}])
def test_other_data_is_refused_with_what_would_do(model, data):
    with pytest.raises(DataError, match=r"expected a split of a task"):
        batches(model, data)


def test_batch_size_and_padding_token(model, no_pad_model):
    with pytest.raises(DataError, match="batch_size is 0"):
        batches(model, examples_of([1]), batch_size=0)
    with pytest.raises(DataError, match="neither a padding nor an end-of-text"):
        batches(no_pad_model, examples_of([1, 2]))
    assert len(batches(no_pad_model, examples_of([1, 2]), batch_size=1)) == 2


def test_padding_uses_the_tokenizers_token(model):
    (item,) = batches(model, examples_of([1, 3]))
    assert item.batch.input_ids[0, -1] == model.tokenizer.pad_token_id


NLI = ("entailment", "neutral", "contradiction")


@given(order=st.permutations(range(3)))
def test_groups_follow_names_through_any_order(order):
    labels = [NLI[i] for i in order]
    groups = resolve_groups(labels, ((0,), (1, 2)), NLI)
    assert [{labels[i] for i in group} for group in groups] == [{"entailment"}, {"neutral", "contradiction"}]
    singles = resolve_groups(labels, None, NLI)
    assert [labels[group[0]] for group in singles] == list(NLI)


@given(names=st.lists(st.text("abcxyz", min_size=1), min_size=2, max_size=6, unique=True), data=st.data())
def test_unknown_names_match_word_for_word(names, data):
    labels = data.draw(st.permutations(names))
    assert [labels[group[0]] for group in resolve_groups(labels, None, names)] == names


@pytest.mark.parametrize(
    ("labels", "groups", "classes", "expected"),
    [
        (("duplicate", "non-duplicate"), None, ("not_duplicate", "duplicate"), ((1,), (0,))),
        (("not equivalent", "equivalent"), None, ("not_duplicate", "duplicate"), ((0,), (1,))),
        (("yes", "no"), None, ("not_duplicate", "duplicate"), ((1,), (0,))),
        (("not_entailment", "entailment"), ((0,), (1, 2)), NLI, ((1,), (0,))),
        ((" no", " yes"), ((0,), (1, 2)), NLI, ((1,), (0,))),
        (("no", "yes", "maybe"), None, NLI, ((1,), (2,), (0,))),
        (("CONTRADICTION", "Entailment", "neutral"), None, ("entailment", "non-entailment"), ((1,), (0, 2))),
        (("a", "b", "c"), None, None, ((0,), (1,), (2,))),
        (("a", "b", "c"), ((2,), (0, 1)), None, ((2,), (0, 1))),
    ],
)
def test_aliases(labels, groups, classes, expected):
    assert resolve_groups(labels, groups, classes) == expected


def test_groups_are_taken_from_examples():
    data = Examples(["x"], label=[1], groups=((0,), (1, 2)), classes=NLI)
    assert resolve_groups(("neutral", "entailment", "contradiction"), data) == ((1,), (0, 2))


@pytest.mark.parametrize(
    ("labels", "groups", "classes", "message"),
    [
        (None, None, None, r"whole vocabulary.*labels="),
        (("label_0", "label_1", "label_2"), None, NLI, r"\['label_0', .*needs.*hc.load\(..., labels=\['entailment'"),
        (("entailment", "not_entailment"), None, NLI, "cannot be matched by name"),  # neutral is no class of its own
        (("entailment", "neutral", "contradiction"), None, ("duplicate", "not_duplicate"), "cannot be matched"),
        (("a", "b"), ((0,), (1, 2)), None, "do not partition"),
        (("a", "b", "c"), ((0,), (1,)), None, "do not partition"),
        (("a", "b"), ((0, 1), ()), None, "do not partition"),
        (NLI, ((0,), (0, 1, 2)), NLI, "do not partition"),
    ],
)
def test_groups_that_cannot_be_resolved(labels, groups, classes, message):
    with pytest.raises(LabelError, match=message):
        resolve_groups(labels, groups, classes)


def test_normalise_makes_spellings_one_name():
    assert {normalise(n) for n in ("not_duplicate", "Not Duplicate", "non-duplicate", "nonduplicate")} == {
        "not duplicate"
    }
    assert [normalise(n) for n in ("neutral", "no", "notable", "normal")] == ["neutral", "no", "notable", "normal"]


def test_check_labels_names_split_row_and_id():
    with pytest.raises(LabelError, match=r"train has label 2 in row 1 \(id b\); expected 0 to 1"):
        check_labels([0, 2], ((0,), (1,)), "train", ["a", "b"])
    with pytest.raises(LabelError, match=r"label -1 in row 0; expected 0 or more"):
        check_labels([-1], None, "train")
