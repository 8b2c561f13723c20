"""The table of families: its parts are where it says, sizes too, and what has no head to classify with says so."""

from dataclasses import fields
from operator import attrgetter

import pytest
import torch
from tiny import FAMILIES as TINY
from tiny import LANGUAGE_MODELS, WINDOWED, tiny_batch, tiny_module

from hc_interp.errors import ModelError
from hc_interp.models.families import FAMILIES, family_of, unsupported
from hc_interp.models.families.family import Family
from hc_interp.models.geometry import Geometry

PATHS = {*"qkvo", "block", "norm_1", "mlp_in", "mlp_out", "norm_2", "head", "norm_final", "rotary", "q_norm", "k_norm"}
EVERY = sorted({**TINY, **WINDOWED, **LANGUAGE_MODELS})


@pytest.mark.parametrize("name", EVERY)
def test_every_part_of_a_family_is_in_its_module(name) -> None:
    geometry = Geometry.of(tiny_module(name))
    assert {field.name for field in fields(Family)} > PATHS
    for layer in range(geometry.n_layers):
        for part in PATHS:
            if getattr(geometry.family, part) is not None:
                assert isinstance(geometry.part(part, layer), torch.nn.Module), part


@pytest.mark.parametrize("name", EVERY)
def test_the_width_of_an_mlp_is_that_of_its_weights(name) -> None:
    geometry = Geometry.of(tiny_module(name))
    weight = geometry.part("mlp_out", 0).weight
    assert geometry.d_mlp == 32
    assert sorted(weight.shape) == sorted((geometry.d_mlp, geometry.d_model))


def test_without_a_width_in_its_config_gpt2_has_four_times_its_stream() -> None:
    module = tiny_module("gpt2")
    module.config.n_inner = None
    assert Geometry.of(module).d_mlp == 4 * 24


@pytest.mark.parametrize("name", ["bert", "roberta", "electra", "distilbert", "DebertaV2ForSequenceClassification"])
def test_an_encoder_classifies_by_its_first_position_alone(name) -> None:
    """`classify` of the last stream at the first position is what the module answers."""
    module, batch = tiny_module(name), tiny_batch(4)
    geometry = Geometry.of(module)
    classify = geometry.family.classify
    assert classify is not None
    seen = {}
    last = geometry.part("norm_2", geometry.n_layers - 1)
    with torch.no_grad(), last.register_forward_hook(lambda module, given, value: seen.update(stream=value)):
        logits = module(batch.input_ids, **geometry.inputs(batch)).logits
        torch.testing.assert_close(classify(module, seen["stream"][:, 0]), logits)
        assert callable(attrgetter(geometry.path("activation", 0))(module))


def test_only_encoders_with_a_classifier_classify() -> None:
    able = {name for name, family in FAMILIES.items() if family.classify is not None}
    others = {"ModernBertForSequenceClassification"}  # it may read the mean over all positions
    assert able | others == {name for name, family in FAMILIES.items() if family.readout == "classifier"}


def test_a_class_of_no_family_is_an_error_that_names_it() -> None:
    with pytest.raises(ModelError, match=r"probe is a Linear, which hc_interp cannot wrap. If its layers.*hc\.Family"):
        family_of(torch.nn.Linear(2, 2), "probe")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("T5ForConditionalGeneration", "two stacks"),
        (
            "DebertaV2ForMultipleChoice",
            "DebertaV2ForSequenceClassification or DebertaV2ForMaskedLM or DebertaV2ForTokenClassification",
        ),
        ("RobertaForMultipleChoice", "RobertaForSequenceClassification or RobertaForMaskedLM"),
        ("BertModel", "BertForSequenceClassification or BertForMaskedLM or BertForTokenClassification"),
        ("GPT2DoubleHeadsModel", "GPT2"),
    ],
)
def test_a_refusal_is_short_and_about_the_class(name, why) -> None:
    said = unsupported(f"mine is a {name}", name)
    assert said.startswith(f"mine is a {name}, which hc_interp cannot wrap")
    assert why in said
    assert len(said) < 240
