"""Which class a logit stands for is read or given, never guessed."""

from types import SimpleNamespace

import pytest
from texts import word_tokenizer
from tiny import FAMILIES, LABELS, WINDOWED, tiny_batch, tiny_module
from torch import nn

from hc_interp.errors import LabelError, ModelError
from hc_interp.models.families import FAMILIES as HEADS
from hc_interp.models.geometry import Geometry
from hc_interp.models.labels import read_labels
from hc_interp.models.load import load
from hc_interp.models.readout import Readout


def config(*names, keys=None) -> SimpleNamespace:
    return SimpleNamespace(num_labels=len(names), id2label=dict(zip(keys or range(len(names)), names, strict=True)))


def test_order_is_that_of_the_checkpoint() -> None:
    assert read_labels(config("contradiction", "ENTAILMENT", " Neutral"), 3, None, "m") == (
        "contradiction",
        "entailment",
        "neutral",
    )
    assert read_labels(config("b", "a", keys=[1, 0]), 2, None, "m") == ("a", "b")


def test_given_labels_win() -> None:
    assert read_labels(config("LABEL_0", "LABEL_1"), 2, ["Not_Duplicate", "Duplicate"], "m") == (
        "not_duplicate",
        "duplicate",
    )
    assert isinstance(read_labels(config("a", "b"), 2, ["c", "d"], "m"), tuple)


@pytest.mark.parametrize(
    "names",
    [
        ("LABEL_0", "LABEL_1"),
        ("label_1", "label_0"),
        ("0", "1"),
        ("label 0", "label 1"),
        ("class_0", "class_1"),
        ("a", "LABEL_1"),
        ("a", ""),
        ("a", "A"),
    ],
)
def test_unnamed_labels_are_refused(names) -> None:
    with pytest.raises(LabelError, match=r"mine does not name its labels .* hc\.load\(\.\.\., labels=\["):
        read_labels(config(*names), len(names), None, "mine")


def test_missing_and_shifted_keys_are_refused() -> None:
    with pytest.raises(LabelError, match="does not name its labels"):
        read_labels(config("a", "b", keys=[1, 2]), 2, None, "m")


@pytest.mark.parametrize("labels", [["a"], ["a", "b", "c"], ["a", "a"], ["a", " A "], []])
def test_wrong_number(labels) -> None:
    with pytest.raises(LabelError, match=r"but m has 2 classes. Give one name for each logit"):
        read_labels(config("x", "y"), 2, labels, "m")


def test_one_text_is_no_list() -> None:
    with pytest.raises(LabelError, match="labels='ab' is one text"):
        read_labels(config("x", "y"), 2, "ab", "m")


CLASSIFIERS = [*FAMILIES, *WINDOWED]


def named(family: str, names, label2id=None, **settings):
    """A live module whose config names its labels."""
    module = tiny_module(family)
    module.config.id2label = dict(enumerate(names))
    module.config.label2id = label2id or {name: i for i, name in enumerate(names)}
    for setting, value in settings.items():
        setattr(module.config, setting, value)
    return module


def narrow(module, outputs: int):
    """The module with a head of so many outputs; its config stays as it is."""
    *path, last = HEADS[type(module).__name__].head.split(".")
    parent = module.get_submodule(".".join(path))
    head = getattr(parent, last)
    setattr(parent, last, nn.Linear(head.in_features, outputs, head.bias is not None, dtype=head.weight.dtype))
    return module


def both_ways(module, folder):
    """The live module, and the folder it is saved in."""
    module.save_pretrained(folder)
    word_tokenizer(["some words"]).save_pretrained(folder)
    return (module, folder)


@pytest.mark.parametrize("family", CLASSIFIERS)
@pytest.mark.parametrize(
    "labels",
    [
        ["contradiction", "neutral", "entailment"],
        ["Neutral ", "ENTAILMENT", "contradiction"],
        ["no", "maybe", "yes"],  # names that data may give the same classes
    ],
)
def test_the_checkpoints_own_names_are_not_reordered(family, labels, tmp_path) -> None:
    for source in both_ways(named(family, LABELS), tmp_path / "m"):
        with pytest.raises(LabelError, match="another order") as error:
            load(source, labels=labels, device="cpu")
        assert str(labels) in str(error.value)
        assert str(list(LABELS)) in str(error.value)
        assert "Leave labels= out" in str(error.value)


@pytest.mark.parametrize(
    ("own", "given"),
    [
        (("not_duplicate", "duplicate"), ["Duplicate", "not-duplicate"]),
        (("not_duplicate", "duplicate"), ["duplicate", "non duplicate"]),
        (("Entailment", "Non-Entailment"), ["not_entailment", "entailment"]),
        (("red cat", "blue_cat"), ["blue cat", "red-cat"]),
        (("not_duplicate", "duplicate"), ["yes", "no"]),
    ],
)
def test_a_permutation_in_another_spelling_is_one(own, given) -> None:
    with pytest.raises(LabelError, match="another order"):
        read_labels(config(*own), 2, given, "m")
    assert read_labels(config(*own), 2, given[::-1], "m") == tuple(name.lower() for name in given[::-1])


def test_other_names_and_names_that_are_none_are_replaced() -> None:
    assert read_labels(config("negative", "neutral", "positive"), 3, ["neutral", "entailment", "contradiction"], "m")
    assert read_labels(config("LABEL_0", "LABEL_1"), 2, ["LABEL_1", "LABEL_0"], "m") == ("label_1", "label_0")
    assert read_labels(config("class 1", "class 0"), 2, ["b", "a"], "m") == ("b", "a")
    assert read_labels(config("a", "LABEL_1"), 2, ["LABEL_1", "a"], "m") == ("label_1", "a")


@pytest.mark.parametrize("family", CLASSIFIERS)
def test_names_that_contradict_each_other_are_refused(family, tmp_path) -> None:
    turned = {name: 2 - i for i, name in enumerate(LABELS)}
    for source in both_ways(named(family, LABELS, turned), tmp_path / "m"):
        with pytest.raises(LabelError, match=r"contradicts itself: id2label is .* label2id is .*labels=\['contradic"):
            load(source, device="cpu")
        for given in (LABELS, LABELS[::-1]):  # whoever says which is right is believed
            assert Readout.of(Geometry.of(named(family, LABELS, turned)), None, given, "m").labels == given
        with pytest.raises(LabelError, match="another order"):
            load(source, labels=["neutral", "entailment", "contradiction"], device="cpu")


@pytest.mark.parametrize(
    ("label2id", "contradicts"),
    [
        ({"a": 0, "b": 1}, False),
        ({"A": "0", "B ": "1"}, False),
        ({"LABEL_0": 1, "LABEL_1": 0}, False),
        ({"a": 0}, False),
        ({}, False),
        (None, False),
        ({"a": 1}, True),
        ({"b": 0, "c": 1}, True),
        ({"x": 0, "y": 1}, True),
    ],
)
def test_what_contradicts(label2id, contradicts) -> None:
    made = config("a", "b")
    made.label2id = label2id
    if contradicts:
        with pytest.raises(LabelError, match="contradicts itself"):
            read_labels(made, 2, None, "m")
    else:
        assert read_labels(made, 2, None, "m") == ("a", "b")


@pytest.mark.parametrize("family", CLASSIFIERS)
@pytest.mark.parametrize(("outputs", "names"), [(3, ("yes", "no")), (2, ("red", "green", "blue"))])
def test_names_are_counted_against_the_head(family, outputs, names) -> None:
    module = narrow(named(family, names), outputs)
    with pytest.raises(LabelError, match=rf"does not name its labels .* its head has {outputs} outputs"):
        load(module)
    with pytest.raises(LabelError, match=f"has {outputs} classes"):
        load(module, labels=list(names))
    right = [f"name {i}" for i in range(outputs)]
    model = load(module, labels=right)
    assert model.labels == tuple(right)
    assert model.logits(tiny_batch(2)).shape == (2, outputs)


@pytest.mark.parametrize("family", CLASSIFIERS)
@pytest.mark.parametrize("problem", ["regression", "multi_label_classification"])
def test_other_problems_are_refused(family, problem, tmp_path) -> None:
    for source in both_ways(named(family, LABELS, problem_type=problem), tmp_path / "m"):
        with pytest.raises(
            ModelError, match=rf"has problem_type='{problem}' .* does not choose one of several classes"
        ):
            load(source, device="cpu")
    assert load(named(family, LABELS, problem_type="single_label_classification")).labels == LABELS


@pytest.mark.parametrize("family", CLASSIFIERS)
@pytest.mark.parametrize("labels", [None, ["score"]])
def test_one_output_is_refused(family, labels, tmp_path) -> None:
    for source in both_ways(narrow(named(family, ["score"]), 1), tmp_path / "m"):
        with pytest.raises(ModelError, match="has 1 output, so it does not choose"):
            load(source, labels=labels, device="cpu")
