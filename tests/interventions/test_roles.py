"""Every intervention at a role is plain hooks that change the role's positions alone."""

import pytest
import torch
from path_pairs import pairs_with_roles
from tiny import LABELS, tiny_batch, tiny_module
from twin import Twin

import hc_interp as hc
from hc_interp.errors import ComponentError, DataError, InterventionError

PAIRS = pairs_with_roles(3)
BATCH = PAIRS.clean
SPOTS = {role: mask[:, :, None] for role, mask in BATCH.roles.items()}


@pytest.fixture(scope="module", params=["bert", "gpt2"])
def model(request) -> hc.HookedModel:
    return hc.load(tiny_module(request.param), labels=LABELS)


def hooked(model, changes):
    """Logits of plain hooks: `changes` has (layer, head or None, role or None, function of the value) in order."""
    edits = {}
    for layer, head, role, fn in changes:
        key = (None, "embed") if layer is None else (layer, "mlp_out" if head is None else "z")
        before = edits.get(key, lambda value: value)

        def edit(value, head=head, role=role, fn=fn, before=before):
            value = before(value)
            part = value if head is None else value[:, :, head]
            new = torch.where(SPOTS[role], fn(part), part) if role else fn(part)
            if head is None:
                return new
            return torch.cat([value[:, :, :head], new[:, :, None], value[:, :, head + 1 :]], dim=2)

        edits[key] = edit
    return Twin(model.module).run(BATCH, edits)[0]


def same(model, interventions, changes) -> None:
    logits = model.logits(BATCH, interventions)
    assert (logits - model.logits(BATCH)).abs().max() > 1e-4
    torch.testing.assert_close(logits, hooked(model, changes), atol=1e-10, rtol=1e-10)


def test_ablate(model) -> None:
    means = hc.mean_activations(model, tiny_batch(5, seed=9))
    head, mlp = means.values["z"][0, 1], means.values["mlp_out"][1]
    same(
        model,
        hc.Ablate("L0H1@a, L0H1@c, L1MLP@b, L1H2", means),
        [
            (0, 1, "a", head.expand_as),
            (0, 1, "c", head.expand_as),
            (1, None, "b", mlp.expand_as),
            (1, 2, None, means.values["z"][1, 2].expand_as),
        ],
    )
    at_all = [hc.Ablate([hc.Head(0, 1).at(role) for role in "ab"], means), hc.Ablate("L0H1", means)]
    torch.testing.assert_close(*(model.logits(BATCH, item) for item in at_all), atol=0, rtol=0)
    every = [
        hc.Ablate(names, 0) for names in ("heads@b", [f"L{i}H{j}@b" for i in range(3) for j in range(model.n_heads)])
    ]
    torch.testing.assert_close(*(model.logits(BATCH, item) for item in every), atol=0, rtol=0)


@pytest.mark.parametrize("batched", [False, True])
def test_soft_mask(model, batched) -> None:
    mask = torch.tensor([0.25, 0.5, 0.75, 0.1], dtype=torch.float64, requires_grad=True)
    rows = mask * torch.tensor([[1.0], [0.5], [0.25]], dtype=torch.float64) if batched else mask
    items = "L0H1@a, L0H1@c, L1MLP@b, L0H2"  # where "a" and "c" meet, their masks multiply
    factors = [rows[..., i, None, None] if batched else rows[i] for i in range(4)]
    changes = [
        (0, 1, "a", lambda value: value * factors[0]),
        (0, 1, "c", lambda value: value * factors[1]),
        (1, None, "b", lambda value: value * factors[2]),
        (0, 2, None, lambda value: value * factors[3]),
    ]
    same(model, hc.SoftMask(rows, 0, items), changes)
    slopes = [
        torch.autograd.grad(logits.pow(2).sum(), mask, retain_graph=True)[0]
        for logits in (model.logits(BATCH, hc.SoftMask(rows, 0, items)), hooked(model, changes))
    ]
    torch.testing.assert_close(*slopes, atol=1e-8, rtol=1e-8)


def test_scale_and_patch(model) -> None:
    _, corrupt = Twin(model.module).run(PAIRS.corrupt)
    value = torch.randn(*BATCH.input_ids.shape, model.d_head, dtype=torch.float64)
    same(model, hc.Scale("L0H1@a, L0MLP@b", 2.5), [(0, 1, "a", lambda v: v * 2.5), (0, None, "b", lambda v: v * 2.5)])
    same(model, hc.Patch(hc.Head(1, 0).at("b"), value), [(1, 0, "b", lambda _: value)])
    same(
        model,
        hc.Patch(["L0H1@a", "embed@b", "L2MLP"], PAIRS),
        [
            (0, 1, "a", lambda _: corrupt[0, "z"][:, :, 1]),
            (None, None, "b", lambda _: corrupt[None, "embed"]),
            (2, None, None, lambda _: corrupt[2, "mlp_out"]),
        ],
    )


def test_nothing_changes_elsewhere(model) -> None:
    sites = [hc.Site(0, "z"), hc.Site(1, "mlp_out")]
    before = model.run(BATCH, capture=sites).captured
    for item in (hc.Ablate("L0H1@a", 0), hc.Scale("L0H1@a", 2), hc.SoftMask(torch.tensor([0.5]), 0, "L0H1@a")):
        changed = (model.run(BATCH, item, capture=sites[0]).captured[sites[0]] != before[sites[0]]).any(-1)
        assert torch.equal(changed[:, :, 1], BATCH.roles["a"])
        assert not changed[:, :, [0, 2]].any()
    changed = (model.run(BATCH, hc.Ablate("L1MLP@b", 0), capture=sites).captured[sites[1]] != before[sites[1]]).any(-1)
    assert torch.equal(changed, BATCH.roles["b"])


@pytest.mark.parametrize("senders", ["L0H1@a", "embed@b, L0H0@c, L1H1", "L0MLP@a, L0H2@b, L0H2@c"])
def test_patch_edges_equal_a_path_into_each_receiver(model, senders) -> None:
    receivers = ["L1MLP@b", "L2MLP@a"]
    paths = [hc.PatchPath(senders, name, source=PAIRS) for name in receivers]
    fast, slow = (model.logits(BATCH, given) for given in ([hc.PatchEdges(senders, receivers, source=PAIRS)], paths))
    torch.testing.assert_close(fast, slow, atol=1e-10, rtol=1e-8)
    heads = ["L1H0", "L1H1"]
    fast = model.logits(BATCH, hc.PatchEdges(senders, heads, source=PAIRS))
    torch.testing.assert_close(
        fast, model.logits(BATCH, hc.PatchPath(senders, heads, source=PAIRS)), atol=1e-10, rtol=1e-8
    )


def test_what_takes_no_role(model) -> None:
    refused = [
        (lambda: hc.PatchEdges("L0H0", "L1H1@d", source=0), DataError, "role 'd'"),
        (
            lambda: hc.Steer(hc.Head(0, 0).at("a"), torch.ones(1)),
            InterventionError,
            "Steer was given L0H0@a, a component",
        ),
        (
            lambda: hc.Edit(hc.Head(0, 0).at("a"), torch.neg),
            InterventionError,
            "Edit was given L0H0@a, a component at a",
        ),
        (lambda: hc.Ablate("embed@a", 0), ComponentError, "embed is not a component"),
        (lambda: hc.Ablate("L9H0@a", 0), ComponentError, "L9H0 is not a component"),
        (lambda: hc.Ablate("L0H0@first_text", 0), DataError, "no position of the role 'first_text'"),
        (lambda: hc.SoftMask(torch.ones(1), 0, "L0H0@d"), DataError, "Row 'row-0' has no position of the role 'd'"),
        (lambda: hc.Scale("L0H0@d", 2), DataError, "role 'd'"),
        (lambda: hc.Patch("L0H0@d", 0), DataError, "role 'd'"),
        (lambda: hc.PatchPath("L0H0@d", "L1H0", source=0), DataError, "role 'd'"),
        (lambda: hc.PatchEdges("L0H0@d", "L1H0", source=0), DataError, "role 'd'"),
    ]
    for make, error, message in refused:
        with pytest.raises(error, match=message):
            model.logits(BATCH, make())
    with pytest.raises(ComponentError, match=r"L0H0@a stands at a role. Expected a whole component here, such as L0H0"):
        model.check_component(hc.Head(0, 0).at("a"))
