"""Half precision is said wherever a number is, and a warning where numbers are small differences."""

import warnings

import pytest
import torch
from path_pairs import make_pairs
from tiny import LABELS, tiny_batch, tiny_module

import hc_interp as hc
from hc_interp.models.load import load


@pytest.fixture(scope="module")
def half():
    return load(tiny_module(dtype=torch.bfloat16), labels=LABELS)


@pytest.mark.parametrize("family", ["bert", "roberta", "electra", "distilbert"])
def test_a_folder_that_says_half_precision_is_loaded_so_and_said(family, tmp_path):
    module = tiny_module(family, dtype=torch.float16)
    module.config.id2label, module.config.label2id = dict(enumerate(LABELS)), {n: i for i, n in enumerate(LABELS)}
    module.save_pretrained(tmp_path)
    model = load(tmp_path, device="cpu")
    assert model.dtype == torch.float16
    assert "float16" in repr(model)
    assert "float64" in repr(load(tmp_path, device="cpu", dtype="float64"))


@pytest.mark.parametrize("dtype", ["float64", torch.float64])
def test_a_type_by_its_name_is_the_type(dtype):
    assert load(tiny_module(dtype=torch.float32), labels=LABELS, dtype=dtype).dtype == torch.float64


@pytest.mark.parametrize("dtype", ["float8", "int64", torch.int64, 32, "Tensor", "nn"])
def test_what_is_no_floating_type_is_refused(dtype):
    with pytest.raises(hc.ModelError, match="cannot hold weights"):
        load(tiny_module(), labels=LABELS, dtype=dtype)


def test_path_effects_say_the_type_and_warn_of_a_coarse_one(half, tiny_bert):
    with pytest.warns(hc.HCWarning, match="path_effects was asked of .* computes in bfloat16") as caught:
        effects = hc.path_effects(half, make_pairs(12), ["L0H0"], ["L2H1"])
    assert caught[0].filename == __file__
    assert effects.to_frame()["dtype"].tolist() == ["bfloat16"]
    assert effects.provenance["dtype"] == "bfloat16"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert hc.path_effects(tiny_bert, make_pairs(12), ["L0H0"], ["L2H1"]).dtype == "float64"


def test_the_verdict_says_the_type_and_warns_once(half):
    with pytest.warns(hc.HCWarning) as caught:
        verdict = hc.reads_from(half, make_pairs(12), core=["L0H0", "L0H1"], generalizing=["L2H1"], n_permutations=3)
    assert ["reads_from was asked" in str(item.message) for item in caught] == [True]
    assert caught[0].filename == __file__
    assert set(verdict.to_frame()["dtype"]) == {"bfloat16"}
    assert verdict.edges is not None
    assert verdict.edges.dtype == "bfloat16"


def test_other_results_carry_it_too(half):
    ranking = hc.gradient_importance(half, tiny_batch(), 0)
    assert ranking.provenance["dtype"] == "bfloat16"
