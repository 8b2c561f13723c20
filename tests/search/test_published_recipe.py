"""The benchmark's baseline: its packed model is the hooked one, and a run that was stopped goes on as if it had not."""

import sys
from pathlib import Path

import pytest
import torch
from tiny import LABELS, tiny_batch, tiny_module

from hc_interp.interventions.means import mean_activations
from hc_interp.interventions.nodes import SoftMask
from hc_interp.models.load import load
from hc_interp.search.pool import build_pool

FOLDER = Path(__file__).parents[2] / "experiments" / "benchmarks"


@pytest.fixture(scope="module")
def recipe():
    sys.path.insert(0, str(FOLDER))
    try:
        import published_recipe
    finally:
        sys.path.remove(str(FOLDER))
    return published_recipe


@pytest.fixture(scope="module")
def setup(recipe):
    model = load(tiny_module("bert", dtype=torch.float32), labels=LABELS)
    rows = tiny_batch(200, 10)
    pool = build_pool(model, [rows], with_gold=False, interventions=(), size=64)
    return recipe.Setup(model, mean_activations(model, rows), pool, torch.arange(150), torch.arange(150, 200))


def test_packed_rows_are_the_padded_ones_under_the_same_gates(recipe, setup):
    bert = recipe.PackedBert(setup.model, setup.means)
    batch = setup.pool.take(torch.arange(20))
    lengths = batch.attention_mask.sum(1).tolist()
    ids, types = ([x[i, :n] for i, n in enumerate(lengths)] for x in (batch.input_ids, batch.token_type_ids))
    gates = torch.rand(12, requires_grad=True)
    packed, padded = bert.logits(ids, types, gates), setup.model.logits(batch, SoftMask(gates, setup.means))
    assert torch.allclose(packed, padded, atol=1e-5)
    slopes = [torch.autograd.grad(logits.square().sum(), gates)[0] for logits in (packed, padded)]
    assert torch.allclose(*slopes, rtol=1e-3, atol=1e-5)


def test_goes_on_as_if_it_had_not_stopped(recipe, setup, tmp_path):
    worker = recipe.Worker(setup, torch.float32)

    def steps(run, n):
        for _ in range(n):
            alpha = run.log_alpha.detach().clone()
            run.update([worker.gradient(alpha, u, setup.train[rows]) for u, rows in run.draws(len(setup.train))])

    whole, first, second = (recipe.Recipe(12, steps=400) for _ in range(3))
    steps(whole, 4)
    steps(first, 2)
    first.save(tmp_path / "state.safetensors")
    second.load(tmp_path / "state.safetensors")
    steps(second, 2)
    assert torch.equal(second.log_alpha, whole.log_alpha)
    assert torch.equal(second.l1, whole.l1)
    assert second.history == whole.history
    assert [row[0] for row in whole.history] == [0, 1, 2, 3]


def test_open_gates_have_no_gradient_and_no_pass(recipe, setup):
    worker = recipe.Worker(setup, torch.float32)
    slope, kl = worker.gradient(torch.full((12,), 20.0), torch.full((12,), 0.5), torch.arange(4))
    assert kl == 0
    assert not slope.any()
