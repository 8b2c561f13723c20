"""Every intervention equals plain torch hooks on the plain module."""

import pytest
import torch
from tiny import tiny_batch
from twin import Twin

from hc_interp.components import MLP, OUTPUT, Head
from hc_interp.interventions.donors import Donors
from hc_interp.interventions.means import mean_activations
from hc_interp.interventions.nodes import Ablate, Keep, Scale, SoftMask
from hc_interp.interventions.path_steps import ROUTES
from hc_interp.interventions.paths import PatchPath
from hc_interp.interventions.sites import Edit, Patch, Steer
from hc_interp.models.site import Site
from hc_interp.subnetwork import Subnetwork

CLOSE = {"atol": 1e-10, "rtol": 0}


@pytest.fixture
def batch():
    return tiny_batch(5)


@pytest.fixture
def means(any_model):
    return mean_activations(any_model, [tiny_batch(4, seed=7), tiny_batch(3, length=12, seed=8)])


def replaced(heads: list[int], value):
    def edit(own):
        own = own.clone()
        for head in heads:
            own[:, :, head] = value[..., head, :]
        return own

    return edit


def test_means_ignore_padding(any_model, means) -> None:
    twin, total, seen = Twin(any_model.module), {}, 0
    for data in (tiny_batch(4, seed=7), tiny_batch(3, length=12, seed=8)):
        values = twin.run(data)[1]
        real = data.attention_mask.bool()
        seen += int(real.sum())
        for layer in range(3):
            total[layer, "z"] = total.get((layer, "z"), 0) + values[layer, "z"][real].sum(0)
            total[layer, "mlp_out"] = total.get((layer, "mlp_out"), 0) + values[layer, "mlp_out"][real].sum(0)
    for layer in range(3):
        torch.testing.assert_close(means.values["z"][layer], total[layer, "z"] / seen, **CLOSE)
        torch.testing.assert_close(means.values["mlp_out"][layer], total[layer, "mlp_out"] / seen, **CLOSE)
    assert means.n_positions == seen


def test_positional_means(tiny_bert) -> None:
    data = tiny_batch(6, seed=3)
    result = mean_activations(tiny_bert, data, positional=True)
    z, real = Twin(tiny_bert.module).run(data)[1][1, "z"], data.attention_mask.bool()
    for position in range(data.input_ids.shape[1]):
        torch.testing.assert_close(result.values["z"][1, position], z[real[:, position], position].mean(0), **CLOSE)


def test_keep_and_ablate(any_model, batch, means) -> None:
    removed = [Head(0, 0), Head(0, 2), Head(2, 1), MLP(1)]
    z, mlp = means.values["z"], means.values["mlp_out"]
    edits = {
        (0, "z"): replaced([0, 2], z[0]),
        (2, "z"): replaced([1], z[2]),
        (1, "mlp_out"): lambda own: mlp[1].expand_as(own),
    }
    expected = Twin(any_model.module).run(batch, edits)[0]
    kept = Subnetwork(frozenset(set(any_model.components) - set(removed)), any_model.components)
    torch.testing.assert_close(any_model.logits(batch, [Keep(kept, means)]), expected, **CLOSE)
    torch.testing.assert_close(any_model.logits(batch, [Ablate(removed, with_=means)]), expected, **CLOSE)
    torch.testing.assert_close(
        any_model.logits(batch, [Ablate("L0H0", means), Ablate(removed[1:], means)]), expected, **CLOSE
    )


def test_zero_ablation(any_model, batch) -> None:
    expected = Twin(any_model.module).run(batch, {(1, "z"): lambda own: own * 0})[0]
    heads = [Head(1, head) for head in range(3)]
    torch.testing.assert_close(any_model.logits(batch, [Ablate(heads, with_=0)]), expected, **CLOSE)


def test_donors(any_model, batch) -> None:
    donors = Donors(any_model, _donor_data(batch), seed=3)
    other = donors.batch_for(batch)
    assert torch.equal(other.attention_mask, batch.attention_mask)
    assert not bool((other.input_ids == batch.input_ids).all(1).any())
    value = Twin(any_model.module).run(other)[1][1, "z"]
    expected = Twin(any_model.module).run(batch, {(1, "z"): replaced([2], value)})[0]
    torch.testing.assert_close(any_model.logits(batch, [Ablate(Head(1, 2), with_=donors)]), expected, **CLOSE)
    one = batch.rows([3])
    torch.testing.assert_close(donors.batch_for(one).input_ids[0], other.input_ids[3], **CLOSE)


def _donor_data(batch):
    """For each row of the batch a few texts of its length."""
    result = []
    for seed in range(3):
        other = tiny_batch(5, seed=40 + seed)
        ids = torch.where(batch.attention_mask.bool(), other.input_ids.clamp(min=5), batch.input_ids)
        result.append(type(batch)(ids, batch.attention_mask, batch.token_type_ids))
    return result


@pytest.mark.parametrize("per_row", [False, True])
def test_soft_mask_and_its_gradient(any_model, batch, means, per_row) -> None:
    shape = (len(batch), len(any_model.components)) if per_row else (len(any_model.components),)
    generator = torch.Generator().manual_seed(1)
    ours = torch.rand(shape, generator=generator, dtype=torch.float64).requires_grad_()
    theirs = ours.detach().clone().requires_grad_()
    any_model.logits(batch, [SoftMask(ours, means)]).square().sum().backward()
    edits = {}
    for layer in range(3):
        rows = theirs if per_row else theirs.expand(len(batch), -1)
        heads = rows[:, None, layer * 4 : layer * 4 + 3, None]
        mlp = rows[:, layer * 4 + 3][:, None, None]
        z, out = means.values["z"][layer], means.values["mlp_out"][layer]
        edits[layer, "z"] = lambda own, m=heads, mu=z: m * own + (1 - m) * mu
        edits[layer, "mlp_out"] = lambda own, m=mlp, mu=out: m * own + (1 - m) * mu
    Twin(any_model.module).run(batch, edits)[0].square().sum().backward()
    assert float(theirs.grad.abs().max()) > 1e-4
    torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("kind", ["resid_pre", "q", "k", "v", "z", "attn_out", "resid_mid", "mlp_out", "resid_post"])
def test_edit_steer_patch_scale(any_model, batch, kind) -> None:
    twin, site = Twin(any_model.module), Site(1, kind)
    expected, seen = twin.run(batch, {(1, kind): lambda own: own.sin() + 0.3})
    run = any_model.run(batch, [Edit(site, lambda own: own.sin() + 0.3)], capture=[site])
    torch.testing.assert_close(run.logits, expected, **CLOSE)
    torch.testing.assert_close(run.captured[site], seen[1, kind], **CLOSE)
    direction = torch.randn(seen[1, kind].shape[-1], dtype=torch.float64)
    expected = twin.run(batch, {(1, kind): lambda own: own + direction})[0]
    torch.testing.assert_close(any_model.logits(batch, [Steer(site, direction)]), expected, **CLOSE)
    value = torch.randn(seen[1, kind].shape, dtype=torch.float64)
    expected = twin.run(batch, {(1, kind): lambda own: value})[0]
    torch.testing.assert_close(any_model.logits(batch, [Patch(site, value)]), expected, **CLOSE)
    if kind in ("z", "mlp_out"):
        item = Head(1, 2) if kind == "z" else MLP(1)
        factor = torch.ones(3, 1, dtype=torch.float64) if kind == "z" else torch.tensor([[2.5]])
        factor[-1] = 2.5
        expected = twin.run(batch, {(1, kind): lambda own: own * factor})[0]
        torch.testing.assert_close(any_model.logits(batch, [Scale(item, 2.5)]), expected, **CLOSE)


@pytest.mark.parametrize("name", ["q", "k", "v"])
def test_head_inputs(any_model, batch, name) -> None:
    """One head's own copy of its input: projected with that head's weights alone."""
    twin = Twin(any_model.module)
    _, seen = twin.run(batch)
    new = torch.randn_like(seen[1, "resid_pre"])
    projected = twin.project(1, name, new)
    expected = twin.run(batch, {(1, name): replaced([2], projected)})[0]
    site = Site(1, f"{name}_in", head=2)
    run = any_model.run(
        batch, [Edit(site, lambda own: new)], capture=[site, Site(1, name, head=2), Site(1, name, head=0)]
    )
    torch.testing.assert_close(run.logits, expected, **CLOSE)
    torch.testing.assert_close(run.captured[site], new, **CLOSE)
    torch.testing.assert_close(run.captured[Site(1, name, head=2)], projected[:, :, 2], **CLOSE)
    torch.testing.assert_close(run.captured[Site(1, name, head=0)], seen[1, name][:, :, 0], **CLOSE)


def test_pattern_and_result(any_model, batch) -> None:
    twin = Twin(any_model.module)
    _, seen = twin.run(batch)
    length = batch.input_ids.shape[1]
    uniform = batch.attention_mask[:, None, :].double() / batch.attention_mask.sum(1)[:, None, None]  # causal or not
    z = torch.einsum("bk,bkd->bd", uniform[:, 0], seen[1, "v"][:, :, 1])[:, None].expand(-1, length, -1)

    def put(own):
        own = own.clone()
        own[:, :, 1] = z
        return own

    expected = twin.run(batch, {(1, "z"): put})[0]
    site = Site(1, "pattern", head=1)
    run = any_model.run(batch, [Edit(site, lambda own: uniform.expand_as(own))], capture=[site])
    torch.testing.assert_close(run.logits, expected, **CLOSE)
    assert run.captured[site].shape == (len(batch), length, length)
    own_result = seen[1, "z"][:, :, 1] @ twin.out_weight(1)[:, 8:16].T
    expected = twin.run(batch, {(1, "attn_out"): lambda own: own + 2 * own_result})[0]
    run = any_model.run(batch, [Edit(Site(1, "result", head=1), lambda own: 3 * own)])
    torch.testing.assert_close(run.logits, expected, **CLOSE)


def test_a_path_into_the_output_holds_its_senders_on_every_route() -> None:
    for route in ROUTES:
        path = PatchPath([Head(0, 1), MLP(1)], OUTPUT, source=0, route=route)
        assert all(path.holds(item) for item in (Head(0, 1), MLP(1), OUTPUT))
    assert not PatchPath([Head(0, 1)], OUTPUT, source=0, route="all").holds(Head(0, 2))
