"""EAP-IG against plain autograd on the plain module: at each step the step's own gradients and norms."""

import pytest
import torch
from path_pairs import GROUPS, RECEIVERS, SENDERS, make_pairs, pairs_with_roles
from tiny import LABELS, tiny_module
from transformers.models.deberta.modeling_deberta import DebertaLayerNorm
from transformers.models.gemma3.modeling_gemma3 import Gemma3RMSNorm
from transformers.models.llama.modeling_llama import LlamaRMSNorm
from transformers.models.olmo2.modeling_olmo2 import Olmo2RMSNorm
from twin import Twin

from hc_interp.components import EMBED, MLP, OUTPUT, Head, component
from hc_interp.errors import ResultError
from hc_interp.interventions.nodes import Ablate
from hc_interp.metrics import MetricRows, logit_diff
from hc_interp.models.load import load
from hc_interp.patching.effects import PathEffects
from hc_interp.patching.estimate import attribution
from hc_interp.patching.path_effects import path_effects

STEPS = 3
SERVED = ["bert", "distilbert", "gpt2", "llama", "MPNet", "Albert", "GPTNeoX", "Gemma3Text", "Olmo2"]
CASES = [(family, ablated) for family in SERVED for ablated in (False, True)]
CASES += [("DebertaV2", False), ("Deberta", True)]
EXACT = {"atol": 1e-10, "rtol": 1e-10}


@pytest.fixture
def exact_norms(monkeypatch):
    """Norms in the weights' own precision: those of Llama, Gemma 3 and DeBERTa v1 round to float32 in any type."""

    def forward(self, x):
        return self.weight * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon)

    def centred(self, x):
        x = x - x.mean(-1, keepdim=True)
        return forward(self, x) + self.bias

    for norm in (LlamaRMSNorm, Olmo2RMSNorm):
        monkeypatch.setattr(norm, "forward", forward)
    monkeypatch.setattr(DebertaLayerNorm, "forward", centred)
    monkeypatch.setattr(Gemma3RMSNorm, "forward", lambda self, x: self._norm(x) * (1 + self.weight))


def zeroed(value):
    value = value.clone()
    value[:, :, 0] = 0
    return value


def inputs_of_steps(twin, pairs, inside=None):
    """The published rule: from corrupt to clean in `STEPS` equal steps, without the first point."""
    clean, corrupt = (twin.run(side, inside)[1] for side in (pairs.clean, pairs.corrupt))
    first, last = corrupt[None, "embed"], clean[None, "embed"]
    changes = {key: (corrupt[key] - clean[key]).detach() for key in clean}
    return changes, [(first + k / STEPS * (last - first)).detach() for k in range(1, STEPS + 1)]


def score(logits, pairs):
    return logit_diff(logits, MetricRows.labelled(torch.tensor(pairs.gold), GROUPS)).sum()


def slopes(twin, pairs, x, changes, receiver, through, inside):
    """Path patching by its definition in the run that starts from `x`: d effect / d t at t = 0, by sender and pair,
    where a sender moves by t times its change."""
    base = {(None, "embed"): lambda value: x, **inside}
    now = {key: value.detach() for key, value in twin.run(pairs.clean, base)[1].items()}
    t = torch.zeros(len(SENDERS), len(pairs), dtype=x.dtype, requires_grad=True)
    moved = dict(now)
    for size, sender in zip(t, SENDERS, strict=True):
        if isinstance(sender, Head):
            own = torch.zeros_like(now[sender.layer, "z"])
            own[:, :, sender.head] = changes[sender.layer, "z"][:, :, sender.head]
            moved[sender.layer, "z"] = moved[sender.layer, "z"] + size[:, None, None, None] * own
        else:
            key = (None, "embed") if sender == EMBED else (sender.layer, "mlp_out")
            moved[key] = now[key] + size[:, None, None] * changes[key]
    logits, _ = twin.path(
        pairs.clean, pairs.corrupt, SENDERS, [receiver], through, "direct", corrupt_values=moved, base_edits=base
    )
    return torch.autograd.grad(score(logits, pairs), t)[0]


@pytest.mark.usefixtures("exact_norms")
@pytest.mark.parametrize(("family", "ablated"), CASES)
def test_each_step_is_the_slope_of_the_definition_there(family, ablated) -> None:
    module = tiny_module(family if family.islower() else f"{family}ForSequenceClassification")
    pairs = make_pairs(4)
    inside = {(1, "z"): zeroed, (0, "mlp_out"): torch.zeros_like} if ablated else {}
    options = {"interventions": Ablate([Head(1, 0), MLP(0)], 0) if ablated else ()}
    options |= {"method": "attribution", "ig_steps": STEPS}
    backend = "nnsight" if family.startswith("Deberta") else "transformer_lens"
    result = path_effects(load(module, labels=LABELS, backend=backend), pairs, SENDERS, RECEIVERS, "each", **options)
    twin = Twin(module)
    changes, inputs = inputs_of_steps(twin, pairs, inside)
    for receiver in RECEIVERS:
        for through in ("q", "k", "v") if isinstance(receiver, Head) else ("in",):
            expected = sum(slopes(twin, pairs, x, changes, receiver, through, inside) for x in inputs) / STEPS
            for sender, values in zip(SENDERS, expected, strict=True):
                torch.testing.assert_close(result.per_example(sender, receiver, through), values, **EXACT)


@pytest.mark.usefixtures("exact_norms")
@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_in_a_decoder_it_is_the_gradient_before_the_norm_times_the_change(family) -> None:
    """As published: the receiver reads a copy of the stream, and the gradient there meets the sender's change."""
    module, pairs = tiny_module(family), make_pairs(4)
    heads = [item for item in RECEIVERS if isinstance(item, Head)]
    result = path_effects(
        load(module, labels=LABELS), pairs, SENDERS, heads, "each", method="attribution", ig_steps=STEPS
    )
    twin = Twin(module)
    changes, inputs = inputs_of_steps(twin, pairs)
    sent = {EMBED: changes[None, "embed"]}
    for sender in SENDERS:
        if isinstance(sender, Head):
            weight = twin.out_weight(sender.layer).view(24, 3, 8)[:, sender.head]
            sent[sender] = changes[sender.layer, "z"][:, :, sender.head] @ weight.T
        elif isinstance(sender, MLP):
            sent[sender] = changes[sender.layer, "mlp_out"]
    for head in heads:
        for name in ("q", "k", "v"):
            gradients = [at_copy(twin, pairs, x, head, name) for x in inputs]
            for sender in (item for item in SENDERS if item == EMBED or item.layer < head.layer):
                expected = sum((sent[sender] * gradient).sum((1, 2)) for gradient in gradients) / STEPS
                torch.testing.assert_close(result.per_example(sender, head, name), expected.detach(), **EXACT)


def at_copy(twin, pairs, x, head, name):
    """d metric / d the copy of the stream that one head projects to q, k or v, before the norm."""
    base = {(None, "embed"): lambda value: x}
    copy = twin.run(pairs.clean, base)[1][head.layer, "resid_pre"].detach().requires_grad_()
    projected = twin.project(head.layer, name, twin.parts(head.layer)["ln"](copy))[:, :, head.head]

    def read_copy(value):
        value = value.clone()
        value[:, :, head.head] = projected
        return value

    logits, _ = twin.run(pairs.clean, {**base, (head.layer, name): read_copy})
    return torch.autograd.grad(score(logits, pairs), copy)[0]


def test_one_step_is_the_estimate_at_clean(any_model) -> None:
    """And no other number of steps is."""
    pairs = make_pairs(4)
    ends = (SENDERS, RECEIVERS, "each")
    one, default, many = (
        path_effects(any_model, pairs, *ends, method="attribution", **options).effects
        for options in ({"ig_steps": 1}, {}, {"ig_steps": STEPS})
    )
    assert torch.equal(one, default)
    assert not torch.allclose(one, many, rtol=0.01)


@pytest.mark.parametrize("steps", [1, STEPS])
def test_attribution_in_small_pieces_is_the_same(tiny_bert, monkeypatch, steps) -> None:
    options = {"method": "attribution", "ig_steps": steps}
    whole = path_effects(tiny_bert, make_pairs(9), SENDERS, RECEIVERS, **options)
    monkeypatch.setattr(attribution, "CACHE", 0)
    pieces = path_effects(tiny_bert, make_pairs(9), SENDERS, RECEIVERS, **options)
    torch.testing.assert_close(whole.effects, pieces.effects, atol=1e-12, rtol=0)


def test_results_say_how_many_steps(tiny_bert) -> None:
    def shard(i, **options):
        return path_effects(tiny_bert, make_pairs(4), SENDERS, OUTPUT, method="attribution", shard=f"{i}/2", **options)

    assert [shard(1, **options).provenance["settings"]["ig_steps"] for options in ({}, {"ig_steps": 3})] == [1, 3]
    assert "ig_steps" not in path_effects(tiny_bert, make_pairs(4), SENDERS, OUTPUT).provenance["settings"]
    with pytest.raises(ResultError, match="not shards of one sweep"):
        PathEffects.join([shard(1, ig_steps=1), shard(2, ig_steps=3)])


@pytest.mark.usefixtures("exact_norms")
@pytest.mark.parametrize("family", ["bert", "gpt2", "MPNet", "Gemma3Text"])
def test_between_roles_it_is_the_slope_of_the_definition_too(family) -> None:
    """d effect / d t at t = 0 of the twin's path, in which a sender at a role moves by t times its change there."""
    module = tiny_module(family if family.islower() else f"{family}ForSequenceClassification")
    pairs = pairs_with_roles(3)
    pairs = pairs.rows([0]) if family == "Gemma3Text" else pairs  # at padding, a window of no key, its values are NaN
    roles = pairs.clean.roles
    senders = ["L0H1@a", "L0MLP@b", "embed@a", "L1H2@c", "L1H2@a+L1H2@c"]  # the last: overlapping roles of one head
    receivers = ["L1H0@b", "L2H1@a", "L2MLP@a", "L2MLP@c", "L2H1", "output"]
    groups = [[component(part) for part in name.split("+")] for name in senders]
    result = path_effects(load(module, labels=LABELS), pairs, groups, receivers, "each", method="attribution")
    twin = Twin(module)
    clean, corrupt = (
        {key: value.detach() for key, value in twin.run(side)[1].items()} for side in (pairs.clean, pairs.corrupt)
    )
    assert (result.effects.abs().max(0).values > 1e-6).sum() > 12
    for name, group in zip(senders, groups, strict=True):
        t = torch.zeros(len(pairs), dtype=torch.float64, requires_grad=True)
        moved = {key: now + t.view(-1, *[1] * (now.ndim - 1)) * (corrupt[key] - now) for key, now in clean.items()}
        for receiver in receivers:
            for through in ("q", "k", "v") if "H" in receiver else ("in",):
                logits, _ = twin.path(
                    pairs.clean, pairs.corrupt, group, [component(receiver)], through, "direct",
                    corrupt_values=moved, roles=roles,
                )  # fmt: skip
                (expected,) = torch.autograd.grad(score(logits, pairs), t, retain_graph=True, materialize_grads=True)
                torch.testing.assert_close(result.per_example(name, receiver, through), expected, **EXACT)
