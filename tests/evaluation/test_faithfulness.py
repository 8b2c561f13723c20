"""Faithfulness and its curve, against their definitions computed by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import LABELS, tiny_batch, tiny_module

from hc_interp.components import Head
from hc_interp.data.batch import Batch
from hc_interp.errors import HCError, LabelError
from hc_interp.evaluation.faithfulness import _halves, faithfulness, faithfulness_curve
from hc_interp.evaluation.faithfulness_results import Faithfulness, FaithfulnessCurve
from hc_interp.interventions.means import mean_activations
from hc_interp.interventions.nodes import Keep
from hc_interp.metrics import MetricRows, logit_diff
from hc_interp.models.load import load
from hc_interp.search.screens import leave_one_out
from hc_interp.subnetwork import Subnetwork

GROUPS = ((0,), (1,), (2,))


@pytest.fixture(scope="module")
def model():
    """Its classes are balanced, so that an answer that does not look at the input is often wrong."""
    module = tiny_module("bert")
    with torch.no_grad():
        module.classifier.bias -= load(module, labels=LABELS).logits(tiny_batch(40, 9)).mean(0)
        module.classifier.weight *= 20
        module.classifier.bias *= 20
    return load(module, labels=LABELS)


@pytest.fixture(scope="module")
def rows(model):
    batch = tiny_batch(40, 9)
    labels = model.logits(batch).argmax(-1)  # right answers: then the full model is far from nothing
    return Batch(batch.input_ids, batch.attention_mask, batch.token_type_ids, labels=labels, ids=batch.ids)


@pytest.fixture(scope="module")
def means(model, rows):
    return mean_activations(model, rows)


def mean_metric(model, rows, means, kept):
    logits = model.logits(rows, Keep(Subnetwork(frozenset(kept), model.components), means))
    return logit_diff(logits, MetricRows.labelled(rows.labels, GROUPS)).mean().item()


def test_numbers_are_those_of_the_definitions(model, rows, means):
    items = model.components
    kept = items[::2]
    found = faithfulness(model, rows, {"half": Subnetwork(frozenset(kept), items)}, means, n_subsets=3, minimality=True)
    full, nothing = (mean_metric(model, rows, means, s) for s in (items, ()))
    own = mean_metric(model, rows, means, kept)
    frame = found.to_frame().iloc[0]
    assert frame["faithfulness"] == pytest.approx((own - nothing) / (full - nothing))
    drops = {
        str(v): (own - mean_metric(model, rows, means, [k for k in kept if k != v])) / (full - nothing) for v in kept
    }
    assert found.drop("half").to_dict() == pytest.approx(drops)
    assert frame["least_component"] == min(drops, key=drops.__getitem__)
    halves = _halves(Subnetwork(frozenset(kept), items), 3, seed=0)
    assert len({frozenset(half) for half in halves}) == 3
    gaps = [
        abs(mean_metric(model, rows, means, set(kept) - set(k)) - mean_metric(model, rows, means, set(items) - set(k)))
        for k in halves
    ]
    assert [len(half) for half in halves] == [3, 3, 3]
    assert frame["incompleteness"] == pytest.approx(np.mean(gaps) / abs(full - nothing))
    for name in ("incompleteness", "kl", "accuracy_kept", "least_drop"):
        assert frame[f"{name}_low"] <= frame[name] <= frame[f"{name}_high"]
    assert frame["least_drop"] == pytest.approx(min(drops.values()))
    assert frame["kl"] > 0
    assert 0 <= frame["accuracy_kept"] <= 1


def test_the_full_model_is_faithful_complete_and_nothing_is_not(model, rows, means):
    items = model.components
    whole, none = (Subnetwork(frozenset(kept), items) for kept in (items, ()))
    frame = faithfulness(model, rows, [whole, none], means, n_subsets=2).to_frame()
    assert frame["faithfulness"].tolist() == pytest.approx([1, 0])
    assert frame["kl"][0] == 0
    assert frame["accuracy_kept"][0] == 1
    assert frame["incompleteness"][0] == 0


def test_where_full_model_and_nothing_are_alike_no_share_is_given(model, rows, means):
    """Labels without meaning: the full model is right as often as the model of which nothing is kept."""
    labels = torch.from_numpy(np.random.default_rng(0).permutation(rows.labels.numpy()))
    shuffled = Batch(rows.input_ids, rows.attention_mask, rows.token_type_ids, labels=labels, ids=rows.ids)
    half = Subnetwork(frozenset(model.components[::2]), model.components)
    found = faithfulness(model, shuffled, half, means, n_subsets=2, minimality=True)
    frame = found.to_frame().iloc[0]
    shares = [name for name in frame.index if name.startswith(("faith", "low", "high", "incomplete", "least_drop"))]
    assert len(shares) == 9
    assert frame[shares].isna().all()
    assert frame["least_component"] == ""
    assert found.drop(found.names[0]).isna().all()
    assert frame["kl"] > 0
    curve = faithfulness_curve(model, shuffled, model.components, means)
    assert np.isnan([curve.cpr.value, curve.cpr.low, curve.cmd.value, curve.cmd.high]).all()
    assert curve.to_frame()["faithfulness"].isna().all()


def test_curve_areas_are_trapezoids_and_empty_fractions_are_named(model, rows, means):
    ranking = leave_one_out(model, rows, means)
    curve = faithfulness_curve(model, rows, ranking, means)
    assert curve.dropped == (0.001, 0.002, 0.005, 0.01, 0.02)  # below half of 1 in 12
    assert curve.fractions == (0.05, 0.1, 0.2, 0.5, 1.0)
    frame = curve.to_frame()
    assert frame["kept"].tolist() == [1, 1, 2, 6, 12]
    assert frame["faithfulness"].iloc[-1] == pytest.approx(1)
    y, x = frame["faithfulness"].to_numpy(), np.array(curve.fractions)
    assert curve.cpr.value == pytest.approx(((y[1:] + y[:-1]) / 2 * np.diff(x)).sum())
    gap = np.abs(1 - y)
    assert curve.cmd.value == pytest.approx(((gap[1:] + gap[:-1]) / 2 * np.diff(x)).sum())
    assert curve.cmd.low <= curve.cmd.value <= curve.cmd.high
    by_hand = dict(zip(curve.fractions, curve.subnetworks, strict=True))
    listed = faithfulness_curve(model, rows, by_hand, means)
    assert listed.cpr.value == curve.cpr.value
    order = [str(item) for item in ranking.to_frame()["component"]]
    assert faithfulness_curve(model, rows, order, means).cpr.value == pytest.approx(curve.cpr.value)


def test_saved_and_loaded_alike(tmp_path, model, rows, means):
    curve = faithfulness_curve(model, rows, model.components, means)
    again = FaithfulnessCurve.load(curve.save(tmp_path / "curve.json"))
    assert again.to_frame().equals(curve.to_frame())
    assert "dropped 0.001" in repr(again)
    found = faithfulness(model, rows, Subnetwork(model.components[:5], model.components), means)
    assert Faithfulness.load(found.save(tmp_path / "f.json")).to_frame().equals(found.to_frame())


def test_bad_input(model, rows, means):
    with pytest.raises(HCError, match="Expected at least one subnetwork"):
        faithfulness(model, rows, [], means)
    with pytest.raises(HCError, match=r"fractions holds 10\."):
        faithfulness_curve(model, rows, model.components, means, fractions=[10, 50])
    items = model.components
    with pytest.raises(HCError, match=r"subnetwork of 6 of 12 components at 0\.9\. Expected the shares"):
        faithfulness_curve(model, rows, dict.fromkeys([0.5, 0.9], Subnetwork(items[:6], items)), means)
    with pytest.raises(HCError, match="an area needs"):
        faithfulness_curve(model, rows, model.components, means, fractions=[0.001, 1])
    with pytest.raises(HCError, match="kl and accuracy belong to"):
        faithfulness(model, rows, Subnetwork([], model.components), means, metric="kl")
    none = Subnetwork([], model.components)
    heads = Subnetwork([], [item for item in model.components if isinstance(item, Head)])
    with pytest.raises(HCError, match="2 different sets of components"):
        faithfulness(model, rows, [none, heads], means)
    with pytest.raises(HCError, match="name of the model without components"):
        faithfulness(model, rows, {"nothing kept": none}, means)
    unlabelled = Batch(rows.input_ids, rows.attention_mask, rows.token_type_ids)
    with pytest.raises(HCError, match="no labels"):
        faithfulness(model, unlabelled, Subnetwork([], model.components), means)
    for label in (-1, 3):
        wrong = replace(rows, labels=torch.full((len(rows),), label))
        with pytest.raises(LabelError, match=f"label {label} in row 0.*expected 0 to 2"):
            faithfulness(model, wrong, Subnetwork([], model.components), means)
    assert torch.is_grad_enabled()


def test_what_is_above_one_does_not_make_up_for_what_is_below():
    """Twice the full model's metric at one size and none of it at the other: as far from faithful on both."""
    sources, one = tuple("abcd"), np.array([1.0, 1.1, 0.9, 1.0])
    values = {"full": one, "nothing kept": 0 * one, "0.2": 0 * one, "0.4": 2 * one}
    items = (Head(0, 0), Head(0, 1))
    curve = FaithfulnessCurve((0.2, 0.4), (Subnetwork([], items), Subnetwork(items, items)), (), values, sources, 0)
    assert curve.cmd.value == pytest.approx(0.2)
    assert curve.cpr.value == pytest.approx(0.2)
