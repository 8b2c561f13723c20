"""The fast engine is held against a hooked pass once a sweep: what gets past the check at loading is caught there."""

import pytest
import torch
from path_pairs import make_pairs
from tiny import FAMILIES, LABELS, tiny_module
from torch import nn
from transformers import AutoModelForSequenceClassification

import hc_interp as hc
from hc_interp.errors import ModelError
from hc_interp.models import foreign_hooks, hooked
from hc_interp.models.load import load
from hc_interp.patching import sweep as sweep_module

PAIRS = make_pairs(5)
ARGS = PAIRS, "L0H1", ["L2H1", "output"]
MEASURES = {
    "exact": lambda model: hc.path_effects(model, *ARGS),
    "all routes": lambda model: hc.path_effects(model, *ARGS, route="all"),
    "attribution": lambda model: hc.path_effects(model, *ARGS, method="attribution"),
    "auto": lambda model: hc.path_effects(model, *ARGS, method="auto"),
    "under interventions": lambda model: hc.path_effects(model, *ARGS, interventions=[hc.Scale("L1H1", 0.5)]),
    "means": lambda model: hc.path_effects(model, *ARGS, corruption=hc.mean_activations(model, PAIRS.clean)),
    "reads_from": lambda model: hc.reads_from(
        model, {"order": PAIRS}, core=["L0H1", "L0H2"], generalizing=["L2H1"], n_permutations=9
    ),
}
PLACES = [  # no site is there: the check at loading cannot see them
    ("bert", "bert.encoder.layer.1.intermediate", "L1.mlp_out"),
    ("bert", "bert.encoder.layer.2.intermediate.dense", "L2.mlp_out"),
    ("bert", "bert.encoder.layer.0.intermediate.intermediate_act_fn", "L0.mlp_out"),
    ("roberta", "roberta.encoder.layer.1.intermediate.dense", "L1.mlp_out"),
    ("electra", "electra.encoder.layer.1.intermediate", "L1.mlp_out"),
    ("distilbert", "distilbert.transformer.layer.1.ffn.lin1", "L1.mlp_out"),
]
SEEN = [  # a site is there: TransformerLens reads it after the hook, so that its check at loading agrees
    ("bert", "bert.encoder.layer.1.output.dense", "L1.mlp_out"),
    ("roberta", "roberta.encoder.layer.1.output.dense", "L1.mlp_out"),
    ("distilbert", "distilbert.transformer.layer.1.ffn.lin2", "L1.mlp_out"),
]


@pytest.fixture
def let_hooks_in(monkeypatch) -> None:
    monkeypatch.setattr(foreign_hooks, "refuse_foreign_hooks", lambda module, name: None)
    monkeypatch.setattr(hooked, "refuse_foreign_hooks", lambda module, name: None)
    monkeypatch.setattr(foreign_hooks, "foreign_hooks", lambda module: [])
    monkeypatch.setattr(foreign_hooks, "_is_known", lambda hook: True)
    monkeypatch.setattr(hooked.WrappedTree, "check", lambda self, name: None)
    monkeypatch.setattr("hc_interp.models.load.validate", lambda model: None)  # it sees a hook in an MLP


@pytest.mark.parametrize(
    ("family", "place", "site", "backend"),
    [(*case, "transformer_lens") for case in (*PLACES, *SEEN)] + [(*case, "nnsight") for case in PLACES],
)
def test_a_hook_that_got_past_loading_is_caught(let_hooks_in, family, place, site, backend) -> None:
    module = tiny_module(family)
    module.get_submodule(place).register_forward_hook(lambda module, args, output: output * 0.3)
    model = load(module, labels=LABELS, backend=backend)
    assert not torch.allclose(model.logits(PAIRS.clean), load(tiny_module(family), labels=LABELS).logits(PAIRS.clean))
    with pytest.raises(ModelError, match=rf"fast engine .* differ at {site} \(.*largest difference"):
        hc.path_effects(model, *ARGS)


@pytest.mark.parametrize("measure", MEASURES)
def test_every_route_to_the_engine_is_held(let_hooks_in, measure) -> None:
    module = tiny_module()
    module.bert.encoder.layer[1].intermediate.register_forward_hook(lambda module, args, output: output * 0.3)
    model = load(module, labels=LABELS)
    with pytest.raises(ModelError, match=r"differ at L1\.mlp_out"):
        MEASURES[measure](model)


class Adapted(nn.Linear):
    def forward(self, x):
        return super().forward(x) + 0.1 * x.sum()


@pytest.mark.parametrize(("family", "place", "site"), PLACES[-3:-2] + PLACES[-1:])
def test_weights_that_another_class_uses_otherwise(monkeypatch, family, place, site) -> None:
    """As adapters of fine-tuning libraries do: the attribute `weight` is there, and not all that is computed."""
    module = tiny_module(family)
    module.get_submodule(place).__class__ = Adapted
    with pytest.raises(ModelError, match=rf"{place} of .* is a .*Adapted"):
        load(module, labels=LABELS)
    monkeypatch.setattr("hc_interp.models.load.check_parts", lambda module, name, family: None)
    model = load(module, labels=LABELS)
    with pytest.raises(ModelError, match=r"differ at L1\.mlp_out"):
        hc.path_effects(model, *ARGS)


@pytest.mark.parametrize("part", ["z", "resid_mid", "mlp_out", "resid_post", "logits"])
@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_each_part_of_the_engine_is_held(monkeypatch, family, part) -> None:
    kind = sweep_module.DecoderStack if family in ("gpt2", "llama") else sweep_module.EncoderStack
    name = {"z": "attention", "resid_mid": "after_attention", "mlp_out": "mlp", "resid_post": "after_mlp"}.get(
        part, part
    )
    plain = getattr(kind, name)
    monkeypatch.setattr(kind, name, lambda self, *args: plain(self, *args) * (1 + 1e-3))
    model = load(tiny_module(family), labels=LABELS)
    where = "the logits" if part == "logits" else rf"L0\.{part}"
    with pytest.raises(ModelError, match=f"differ at {where}"):
        hc.path_effects(model, *ARGS)


def test_one_check_for_each_sweep(monkeypatch, tiny_bert) -> None:
    calls = []
    monkeypatch.setattr(sweep_module, "check_engine", lambda *args: calls.append(args))
    for number, method in enumerate(("exact", "attribution", "auto"), start=1):
        hc.path_effects(tiny_bert, make_pairs(9), "L0H1", ["L2H1"], "each", method=method, batch_size=2)
        assert len(calls) == number


@pytest.mark.filterwarnings("ignore:path_effects was asked:hc_interp.errors.HCWarning")
@pytest.mark.parametrize(
    ("family", "dtype"),
    [
        ("bert", torch.float32),
        ("bert", torch.bfloat16),
        ("bert", torch.float16),
        ("llama", torch.float32),
        ("llama", torch.float16),
    ],
)
def test_rounding_does_not_add_up_with_depth(family, dtype) -> None:
    """24 layers in each precision are taken."""
    config = tiny_module(family).config
    config.num_hidden_layers = 24
    torch.manual_seed(0)
    module = AutoModelForSequenceClassification.from_config(config).eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn_like(parameter) * (0.35 if parameter.ndim > 1 else 0.1) + (parameter.ndim == 1))
    model = load(module.to(dtype), labels=LABELS)
    hc.path_effects(model, make_pairs(3), "L0H1", "L23H1")
