"""What is accepted as data, and the fingerprint of data of several parts."""

import pytest
import torch

from hc_interp.data.batch import Batch
from hc_interp.data.examples import Examples
from hc_interp.data.parts import as_parts, fingerprint, label_groups
from hc_interp.errors import DataError, LabelError

TEXTS, TOKENS = Examples(["a", "b"], label=[0, 1]), Batch(torch.arange(6).view(2, 3), labels=[0, 1])


@pytest.mark.parametrize("make", [list, tuple, iter, lambda parts: (part for part in parts)])
def test_any_iterable_of_splits_and_batches_is_data(make):
    assert as_parts(make([TEXTS, TOKENS])) == [TEXTS, TOKENS]


def test_one_split_or_batch_is_one_part():
    assert as_parts(TEXTS) == [TEXTS]
    assert as_parts(TOKENS) == [TOKENS]
    assert as_parts([]) == []


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ("", "str"),
        ("text", "str"),
        ({}, "dict"),
        ({"a": TEXTS}, "dict"),
        (torch.zeros(0, 3), "Tensor"),
        (torch.zeros(2, 3), "Tensor"),
        (torch.tensor(1), "Tensor"),
        (None, "NoneType"),
        ([TEXTS, "text"], "list that holds a str"),
        ([[TEXTS]], "list that holds a list"),
    ],
)
def test_texts_dicts_tensors_and_other_things_are_refused(data, name):
    with pytest.raises(DataError, match=f"given as {name}; expected a split of a task"):
        as_parts(data)


def test_the_name_of_data_sees_every_part_and_its_labels():
    relabelled = Batch(TOKENS.input_ids, labels=[1, 1])
    named = [[TEXTS], [TOKENS], [TEXTS, TOKENS], [TOKENS, TEXTS], [TEXTS, relabelled], []]
    assert len({fingerprint(parts) for parts in named}) == len(named)
    assert fingerprint([TEXTS.rows([0, 1]), TOKENS.rows([0, 1])]) == fingerprint([TEXTS, TOKENS])


def test_labels_are_counted_by_the_parts_own_groups_and_a_batchs_are_the_models_classes():
    classes = ("entailment", "neutral", "contradiction")
    grouped = Examples(["a", "b"], label=[0, 1], groups=[[0], [1, 2]])
    for part, expected in ((grouped, ((0,), (1, 2))), (TOKENS, ((0,), (1,), (2,)))):
        groups, labels = label_groups(classes, part)
        assert (groups, labels.tolist()) == (expected, [0, 1])
    with pytest.raises(LabelError, match="label 3 in row 1"):
        label_groups(classes, Batch(TOKENS.input_ids, labels=[0, 3]))
