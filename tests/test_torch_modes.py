"""Whatever torch modes the caller is in, every public function measures what it measures outside of them."""

import inspect
from contextlib import contextmanager
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
import torch
from built_reading import CLASSES, CORE, READER, built_model, examples, pairs

import hc_interp as hc
from hc_interp.data.overlap import concatenate
from hc_interp.data.task import Task

SIGNS = concatenate([examples(12, word, label, seed=label, prefix=word) for label, word in enumerate("pn")])
PAIRS = pairs(12)
TEXT_PAIRS = replace(SIGNS, second=SIGNS.first)
BY_SIGN = np.repeat([0.0, 1.0], 12)
SEARCH = {"sparsity": 0.5, "seeds": (0,), "steps": 4, "batch_size": 8}
TASK = Task(
    "signs",
    train=SIGNS,
    validation=SIGNS,
    cases={"shifted": SIGNS},
    groups=SIGNS.groups,
    classes=CLASSES,
    pairs={("shifted", "order"): pairs(30, split=None)},
)
JUDGED = replace(
    TASK,
    cases={"shifted": SIGNS, "other": SIGNS.rows(range(12))},
    heuristic={"shifted": False, "other": True},
    heuristic_label=0,
)

OTHERS = concatenate([examples(24, word, label, seed=7 + label, prefix=f"x{word}") for label, word in enumerate("pn")])
EXTREME = replace(JUDGED, validation=OTHERS, cases={"shifted": OTHERS, "other": OTHERS})

# Every public function that takes a model, called on (model, means).
CALLS = {
    "attention_profile": lambda m, means: hc.attention_profile(m, TEXT_PAIRS),
    "attribution_patching": lambda m, means: hc.attribution_patching(m, SIGNS, means=means),
    "encode_pairs": lambda m, means: hc.encode_pairs(m, PAIRS),
    "evaluate": lambda m, means: hc.evaluate(m, TASK, means=means),
    "faithfulness": lambda m, means: hc.faithfulness(m, SIGNS, [half(m)], means=means),
    "faithfulness_curve": lambda m, means: hc.faithfulness_curve(m, SIGNS, list(m.components), means=means),
    "fit_probe": lambda m, means: hc.fit_probe(m, SIGNS, hc.Site(2, "v", 0), BY_SIGN),
    "generalizing_heads": lambda m, means: hc.generalizing_heads(m, TASK, core=CORE),
    "gradient_importance": lambda m, means: hc.gradient_importance(m, SIGNS),
    "leave_one_out": lambda m, means: hc.leave_one_out(m, SIGNS, means=means),
    "mean_activations": lambda m, means: hc.mean_activations(m, SIGNS),
    "path_effects": lambda m, means: hc.path_effects(m, PAIRS, CORE, [READER], "each", method="auto"),
    "premises": lambda m, means: hc.premises(m, JUDGED, CORE, [READER], means, n_sets=3, n_disjoint=1, n_donors=1),
    "probe_map": lambda m, means: hc.probe_map(m, SIGNS, BY_SIGN, sites=[hc.Site(2, "v", 0)]),
    "probe_paths": lambda m, means: hc.probe_paths(m, SIGNS, [READER], BY_SIGN, senders=CORE, source=means, n_random=1),
    "reads_from": lambda m, means: hc.reads_from(
        m, PAIRS, core=CORE, generalizing=[READER], means=means, n_permutations=5, n_size_controls=2
    ),
    "sample_subnetworks": lambda m, means: hc.sample_subnetworks(
        m, SIGNS, 0.5, 1.0, 2, means, rows=16, warm_up=10, sweeps=10, steps=2
    ),
    "search_extremes": lambda m, means: hc.search_extremes(
        m, SIGNS, EXTREME, None, 0.5, 1.0, means, rows=16, rounds=1, steps=2
    ),
    "search_masks": lambda m, means: hc.search_masks(m, SIGNS, means=means, exchanges=1, **SEARCH),
}
ELSEWHERE = {"run": "tests/experiment/test_run.py: its parts are the functions above"}


def half(model) -> hc.Subnetwork:
    return hc.Subnetwork(frozenset(model.components[::2]), model.components)


@contextmanager
def grad_off():
    before = torch.is_grad_enabled()
    torch.set_grad_enabled(False)
    try:
        yield
    finally:
        torch.set_grad_enabled(before)


MODES = {
    "no_grad": torch.no_grad,
    "grad off": grad_off,
    "inference": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "default device": lambda: torch.device("meta"),
}


def float_model():
    """In float32, which autocast rounds; float64 it would leave alone."""
    built = built_model("direct")
    return hc.load(built.module, dtype="float32", tokenizer=built.tokenizer, labels=CLASSES)


def numbers(result) -> pd.DataFrame:
    if hasattr(result, "batches"):
        tensors = [getattr(batch, side).input_ids for batch in result.batches for side in ("clean", "corrupt")]
        return pd.DataFrame({"tokens": torch.cat([ids.flatten() for ids in tensors])})
    return result.to_frame()


@pytest.fixture(scope="module")
def model():
    return float_model()


@pytest.fixture(scope="module")
def means(model):
    return hc.mean_activations(model, SIGNS)


@pytest.fixture(scope="module")
def expected(model, means):
    """What a call gives outside of all modes, made once."""
    return cache(lambda name: numbers(CALLS[name](model, means)))


def test_every_public_function_that_takes_a_model_has_a_call() -> None:
    functions = {name: item for name in hc.__all__ if inspect.isfunction(item := getattr(hc, name))}
    takes = {name for name, item in functions.items() if "model" in inspect.signature(item).parameters}
    assert takes == {*CALLS, *ELSEWHERE}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", CALLS)
def test_a_mode_of_the_caller_changes_nothing(name, mode, model, means, expected) -> None:
    with MODES[mode]():
        result = CALLS[name](model, means)
    pd.testing.assert_frame_equal(numbers(result), expected(name), check_exact=True)


@pytest.fixture(scope="module")
def made_inside():
    """A model and its means that were made in inference mode from a module that was made there too."""
    with torch.inference_mode():
        model = float_model()
        return model, hc.mean_activations(model, SIGNS)


@pytest.mark.parametrize("name", CALLS)
def test_what_was_made_in_inference_mode_serves_outside(name, made_inside, expected) -> None:
    pd.testing.assert_frame_equal(numbers(CALLS[name](*made_inside)), expected(name), check_exact=True)


@pytest.mark.parametrize(
    "make",
    [
        lambda m: hc.Steer(hc.Site(1, "resid_pre"), torch.ones(m.d_model)),
        lambda m: hc.Patch(hc.Site(0, "z", 1), torch.ones(()).expand(4, 6, m.d_head).clone()),
        lambda m: hc.SoftMask(torch.full((len(m.components),), 0.5), 0),
        lambda m: hc.Scale("L0H1", torch.tensor(0.5)),
        lambda m: hc.Ablate("L0H1", hc.mean_activations(m, SIGNS)),
    ],
    ids=["Steer", "Patch", "SoftMask", "Scale", "Ablate"],
)
def test_an_intervention_made_in_inference_mode_lets_gradients_pass(make, model) -> None:
    tokens = torch.randint(4, 30, (4, 6))
    outside = make(model)
    with torch.inference_mode():
        inside, batch = make(model), hc.Batch(tokens.clone())
    gates = torch.ones(len(model.components), requires_grad=True)
    slopes = [
        torch.autograd.grad(model.logits(given, [hc.SoftMask(gates, 0), item]).square().sum(), gates)[0]
        for given, item in ((batch, inside), (hc.Batch(tokens), outside))
    ]
    assert slopes[0].abs().max() > 0
    assert torch.equal(*slopes)


def test_a_run_of_ones_own_is_not_rounded_by_autocast(model) -> None:
    batch = model.tokenize(list(SIGNS.first[:4]))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        run = model.run(batch, capture=hc.Site(1, "z"))
    assert torch.equal(run.logits, model.logits(batch))
    assert run.captured[hc.Site(1, "z")].dtype == torch.float32


def test_gradients_are_still_the_callers_choice(model) -> None:
    batch, gates = model.tokenize(list(SIGNS.first[:4])), torch.ones(len(model.components), requires_grad=True)
    assert model.logits(batch, hc.SoftMask(gates, 0)).requires_grad
    with torch.no_grad():
        assert not model.logits(batch, hc.SoftMask(gates, 0)).requires_grad
