"""`Erase`: the probe goes blind, the mean stays, and LEACE leaves nothing linear."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from linear_fit import fit_linear
from tiny import tiny_batch

from hc_interp.errors import ComponentError, InterventionError
from hc_interp.interventions.erase import ERASE_METHODS, Erase
from hc_interp.models.site import Site
from hc_interp.probing.concept import Concept


def fake_probe(model, site: Site, x: torch.Tensor, value: np.ndarray):
    """A probe on the rows of `x`, with no data behind it."""
    fit = fit_linear(x.numpy(), value, kind="binary", penalty=1e-3)
    return SimpleNamespace(
        site=site,
        weights=torch.from_numpy(fit.weights),
        concept=Concept.of(x.numpy(), value),
        provenance={"model": model.fingerprint},
    )


SITES = [Site(1, "z", 2), Site(1, "q_in", 0), Site(0, "resid_post"), Site.pooled(), Site.embed()]


@pytest.fixture(params=SITES, ids=str)
def case(request, tiny_bert):
    """A site's values on a batch whose rows have no padding, with a label for each vector."""
    site, batch = request.param, tiny_batch(rows=60, length=4)
    batch = type(batch)(batch.input_ids)
    value = tiny_bert.run(batch, capture=site).captured[site]
    x = value.reshape(-1, value.shape[-1])
    along = x @ torch.linspace(-1, 2, x.shape[-1]).double()
    label = (along > along.median()).double().numpy()
    return SimpleNamespace(site=site, batch=batch, x=x, label=label, probe=fake_probe(tiny_bert, site, x, label))


@pytest.mark.parametrize("method", ERASE_METHODS)
def test_the_mean_stays_and_the_probe_says_the_same_everywhere(tiny_bert, case, method) -> None:
    after = tiny_bert.run(case.batch, Erase(case.probe, method), capture=case.site).captured[case.site]
    after = after.reshape(case.x.shape)
    torch.testing.assert_close(after.mean(0), case.x.mean(0), atol=1e-9, rtol=1e-9)
    assert not torch.allclose(after, case.x)
    if method == "direction":
        said = after @ case.probe.weights
        torch.testing.assert_close(said, said.mean().expand_as(said), atol=1e-9, rtol=1e-9)
        moved = after - case.x
        along = (moved @ case.probe.weights)[:, None] * case.probe.weights / case.probe.weights.square().sum()
        torch.testing.assert_close(moved, along, atol=1e-9, rtol=1e-9)


def test_after_leace_the_best_linear_probe_is_a_constant(tiny_bert, case) -> None:
    """The theorem: no covariance is left, so least squares and logistic regression find nothing, on these places."""
    after = tiny_bert.run(case.batch, Erase(case.probe, "leace"), capture=case.site).captured[case.site]
    after = after.reshape(case.x.shape).numpy()
    left = (after - after.mean(0)).T @ (case.label - case.label.mean()) / len(after)
    before = (case.x.numpy() - case.x.numpy().mean(0)).T @ (case.label - case.label.mean()) / len(after)
    assert np.abs(left).max() < 1e-9 < 1e-3 < np.abs(before).max()
    again = fit_linear(after, case.label, kind="binary", penalty=1e-3)(after)
    assert np.ptp(again) < 1e-3
    kept = fit_linear(case.x.numpy(), case.label, kind="binary", penalty=1e-3)(case.x.numpy())
    assert np.ptp(kept) > 1


def test_leace_is_the_smallest_change_that_leaves_no_covariance() -> None:
    """Against the definition: P = W^+ P_(W c) W with W = cov(x)^(-1/2), written out."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 5)) @ rng.normal(size=(5, 5)) + 3
    value = (x[:, 0] + rng.normal(size=500) > 3).astype(float)
    concept = Concept.of(x, value)
    spread = np.cov(x.T, bias=True)
    sizes, axes = np.linalg.eigh(spread)
    whiten = axes @ np.diag(sizes**-0.5) @ axes.T
    c = (x - x.mean(0)).T @ (value - value.mean()) / 500
    u = whiten @ c / np.linalg.norm(whiten @ c)
    twin = np.linalg.inv(whiten) @ np.outer(u, u) @ whiten
    own = np.outer(concept.covariance, concept.regression) / float(concept.covariance @ concept.regression)
    np.testing.assert_allclose(own, twin, atol=1e-8)
    assert list(concept.to_frame().columns) == ["mean", "covariance", "regression"]


def test_directions_without_variance_are_left_alone() -> None:
    rng = np.random.default_rng(0)
    x = np.hstack([rng.normal(size=(200, 2)), np.full((200, 1), 7.0)]).astype(np.float32)
    concept = Concept.of(x, (x[:, 0] > 0).astype(float))
    assert concept.regression[2] == 0
    assert concept.covariance[2] == 0


def test_what_cannot_be_erased(tiny_bert, any_model) -> None:
    batch, site = tiny_batch(), Site(1, "z", 2)
    x = torch.randn(40, 8, dtype=torch.float64)
    label = (x[:, 0] > 0).double().numpy()
    probe = fake_probe(tiny_bert, site, x, label)
    with pytest.raises(InterventionError, match="given a str; expected a probe"):
        tiny_bert.run(batch, Erase("L1H2"))  # type: ignore[arg-type]
    with pytest.raises(InterventionError, match="choose one of direction, leace"):
        tiny_bert.run(batch, Erase(probe, "inlp"))  # type: ignore[arg-type]
    probe.provenance = {"model": "other"}
    with pytest.raises(InterventionError, match="fitted on a model with fingerprint other"):
        tiny_bert.run(batch, Erase(probe))
    with pytest.raises(ComponentError, match="layers 0 to 2"):
        tiny_bert.run(batch, Erase(fake_probe(tiny_bert, Site(9, "z", 0), x, label)))
    with pytest.raises(InterventionError, match="found nothing to erase"):
        tiny_bert.run(batch, Erase(fake_probe(tiny_bert, site, torch.ones(40, 8).double(), label)))


def test_it_works_on_every_family_and_under_a_list(any_model) -> None:
    site, batch = Site(1, "z", 0), tiny_batch()
    value = any_model.run(batch, capture=site).captured[site]
    x = value.reshape(-1, value.shape[-1])
    probe = fake_probe(any_model, site, x, (x[:, 0] > x[:, 0].median()).double().numpy())
    erased = Erase(probe)
    once = any_model.run(batch, erased, capture=site)
    twice = any_model.run(batch, [erased, erased], capture=site)
    torch.testing.assert_close(once.captured[site], twice.captured[site])  # a projection
    assert not torch.allclose(once.logits, any_model.logits(batch))
