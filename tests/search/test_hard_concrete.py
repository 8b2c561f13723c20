"""The formulas of the gates and the Lagrangian, each against the definition or against simulation."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hc_interp.search.hard_concrete import (
    BETA,
    GAMMA,
    ZETA,
    expected_sparsity,
    lagrangian,
    mean_gates,
    open_probability,
    ramped_target,
    sample_gates,
    top_indices,
)
from hc_interp.shares import kept_count

alphas = st.lists(st.floats(-6, 6), min_size=1, max_size=12).map(lambda x: torch.tensor(x, dtype=torch.float64))


@given(alphas, st.floats(0.001, 0.999))
def test_sampled_gates_follow_the_published_formula(log_alpha, u):
    gates = sample_gates(log_alpha, torch.full_like(log_alpha, u))
    for value, alpha in zip(gates.tolist(), log_alpha.tolist(), strict=True):
        concrete = 1 / (1 + math.exp(-(math.log(u) - math.log(1 - u) + alpha) / (2 / 3)))
        assert value == pytest.approx(min(1, max(0, concrete * 1.2 - 0.1)), abs=1e-12)


def test_constants_are_the_published_ones():
    assert (GAMMA, ZETA, BETA) == (-0.1, 1.1, 2 / 3)


def test_open_probability_is_the_share_of_sampled_gates_above_zero():
    log_alpha = torch.tensor([-4.0, -1.6, 0.0, 1.0, 3.0], dtype=torch.float64)
    uniform = (torch.arange(200_000, dtype=torch.float64)[:, None] + 0.5) / 200_000
    share = (sample_gates(log_alpha, uniform.expand(-1, 5)) > 0).double().mean(0)
    assert torch.allclose(share, open_probability(log_alpha), atol=1e-5)


@given(alphas)
def test_expected_sparsity_is_the_mean_probability_of_a_closed_gate(log_alpha):
    shifted = log_alpha - BETA * math.log(0.1 / 1.1)
    expected = 1 - sum(1 / (1 + math.exp(-a)) for a in shifted.tolist()) / len(log_alpha)
    assert float(expected_sparsity(log_alpha)) == pytest.approx(expected, abs=1e-12)


@given(alphas)
def test_mean_gates_round_at_zero(log_alpha):
    assert torch.equal(mean_gates(log_alpha) > 0.5 + 1e-12, log_alpha > 1e-11) or bool((log_alpha.abs() < 1e-10).any())


def test_gradient_reaches_log_alpha_only_inside_the_open_interval():
    log_alpha = torch.tensor([-9.0, 0.0, 9.0], requires_grad=True)
    sample_gates(log_alpha, torch.full((3,), 0.5)).sum().backward()
    assert log_alpha.grad[0] == 0
    assert log_alpha.grad[2] == 0
    assert log_alpha.grad[1] > 0


@given(st.floats(0, 1), st.floats(0, 1), st.floats(-5, 5), st.floats(0, 5))
def test_lagrangian(sparsity, target, l1, l2):
    s, a, b = (torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (sparsity, l1, l2))
    value = lagrangian(s, target, a, b)
    gap = target - sparsity
    assert value.item() == pytest.approx(l1 * gap + l2 * gap**2)
    value.backward()
    assert (float(a.grad), float(b.grad)) == (pytest.approx(gap), pytest.approx(gap**2))
    assert float(s.grad) == pytest.approx(-l1 - 2 * l2 * gap)


def test_target_is_ramped_from_zero():
    targets = [ramped_target(step, 4, 0.6) for step in range(7)]
    assert targets == pytest.approx([0, 0.15, 0.3, 0.45, 0.6, 0.6, 0.6])
    assert ramped_target(0, 0, 0.6) == 0.6


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=30), st.floats(0, 0.99))
def test_top_indices_are_the_largest_and_the_earlier_of_equals(values, sparsity):
    n_kept = kept_count(len(values), sparsity)
    slow = sorted(range(len(values)), key=lambda i: (-values[i], i))[:n_kept]
    assert top_indices(torch.tensor(values, dtype=torch.float32), n_kept).tolist() == sorted(slow)
