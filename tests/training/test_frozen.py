"""Frozen components keep their weights to the last bit, and everything else is trained."""

import pytest
import torch
from training_start import TASK, start_of

import hc_interp as hc
from hc_interp.training.trainer import Trainer

D = 8  # of one head


def parts(family: str, module, layer: int, head: int) -> list[torch.Tensor]:
    """The weights of a head, named by hand."""
    rows = slice(head * D, head * D + D)
    if family == "gpt2":
        attention = module.transformer.h[layer].attn
        columns = [slice(i * 24 + head * D, i * 24 + head * D + D) for i in range(3)]
        w = attention.c_attn
        return [*(w.weight[:, c] for c in columns), *(w.bias[c] for c in columns), attention.c_proj.weight[rows]]
    if family == "llama":  # one key and value for all heads
        attention = module.model.layers[layer].self_attn
        return [
            attention.q_proj.weight[rows], attention.k_proj.weight, attention.v_proj.weight,
            attention.o_proj.weight[:, rows],
        ]  # fmt: skip
    if family == "distilbert":
        attention = module.distilbert.transformer.layer[layer].attention
        inputs, output = (attention.q_lin, attention.k_lin, attention.v_lin), attention.out_lin
    else:
        attention = module.bert.encoder.layer[layer].attention
        inputs, output = (attention.self.query, attention.self.key, attention.self.value), attention.output.dense
    own = [piece for projection in inputs for piece in (projection.weight[rows], projection.bias[rows])]
    return [*own, output.weight[:, rows]]


def mlp(family: str, module, layer: int) -> list[torch.Tensor]:
    """The weights of an MLP, named by hand."""
    if family == "gpt2":
        block = module.transformer.h[layer].mlp
        return [*block.c_fc.parameters(), *block.c_proj.parameters()]
    if family == "llama":
        return list(module.model.layers[layer].mlp.parameters())
    if family == "distilbert":
        block = module.distilbert.transformer.layer[layer].ffn
        return [*block.lin1.parameters(), *block.lin2.parameters()]
    block = module.bert.encoder.layer[layer]
    return [*block.intermediate.parameters(), *block.output.dense.parameters()]


@pytest.mark.parametrize("family", ["bert", "distilbert", "gpt2", "llama"])
def test_frozen_components_stand_still_and_others_do_not(family, tmp_path) -> None:
    start = start_of(family)
    options = {"steps": 6, "batch_size": 6, "lr": 3e-3, "checkpoints": []}
    series = hc.finetune(start, TASK, tmp_path / "out", freeze=["L1H1", hc.MLP(2)], **options)
    before, after = start.module, series[6].module
    frozen = [*parts(family, before, 1, 1), *mlp(family, before, 2)]
    for one, other in zip(frozen, [*parts(family, after, 1, 1), *mlp(family, after, 2)], strict=True):
        assert torch.equal(one, other)
    own = [part for layer, head in ((1, 0), (1, 2), (0, 1), (2, 1)) for part in parts(family, before, layer, head)]
    new = [part for layer, head in ((1, 0), (1, 2), (0, 1), (2, 1)) for part in parts(family, after, layer, head)]
    moved = [not torch.equal(one, other) for one, other in zip(own, new, strict=True)]
    shared = family == "llama"  # the keys and values of L1H0 and L1H2 are those of L1H1
    assert moved == [not (shared and index in (1, 2, 5, 6)) for index in range(len(moved))]
    assert all(not torch.equal(a, b) for a, b in zip(mlp(family, before, 1), mlp(family, after, 1), strict=True))


def test_shared_keys_are_in_the_card(tmp_path) -> None:
    series = hc.finetune(start_of("llama"), TASK, tmp_path / "out", freeze=["L1H1", "L0MLP"], steps=1, batch_size=2)
    assert series.card["recipe"]["freeze"] == [
        {"component": "L1H1", "keys_and_values_shared_with": ["L1H0", "L1H2"]},
        {"component": "L0MLP"},
    ]


def test_frozen_weights_have_no_momentum(tmp_path, monkeypatch) -> None:
    kept = []
    real = Trainer.update
    monkeypatch.setattr(Trainer, "update", lambda self: (kept.append(self), real(self)))
    hc.finetune(start_of("bert"), TASK, tmp_path / "out", freeze=[hc.MLP(1)], steps=2, batch_size=4)
    trainer = kept[-1]
    moments = trainer.optimizer.state
    for part in mlp("bert", trainer.model.module, 1):
        assert moments[part]["exp_avg"].abs().max() == 0
        assert moments[part]["exp_avg_sq"].abs().max() == 0
    assert moments[mlp("bert", trainer.model.module, 2)[0]]["exp_avg"].abs().max() > 0


def test_a_result_with_heads_can_be_frozen(tmp_path) -> None:
    core = hc.heuristic_core([hc.Subnetwork([hc.Head(0, 1)], start_of("bert").components)])
    series = hc.finetune(start_of("bert"), TASK, tmp_path / "out", freeze=core, steps=1, batch_size=2)
    assert series.card["recipe"]["freeze"] == [{"component": "L0H1"}]
