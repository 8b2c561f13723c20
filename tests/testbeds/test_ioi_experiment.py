"""The experiment on indirect object identification, on models too small to learn and on a local stand-in for GPT-2."""

import csv
import importlib
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from answers import bpe_tokenizer, tiny_gpt2

import hc_interp as hc
from hc_interp.data.prompts import ioi as prompts

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


@pytest.fixture(scope="module")
def modules():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXPERIMENTS)
        patch.setattr(sys, "dont_write_bytecode", True)
        yield importlib.import_module("ioi"), importlib.import_module("ioi_model")


def test_prompts_are_those_of_the_task(modules) -> None:
    """Drawn tokens read as the texts of the task do, and the answer is said once."""
    _, model = modules
    tokenizer = model.word_tokenizer()
    names = np.array(tokenizer.convert_tokens_to_ids(model.NEW[:9]))
    tokens, last, answers = model.Prompts.of(tokenizer).draw(names, 40, np.random.default_rng(0))
    starts = {template.split()[0] for template in prompts.TEMPLATES}
    for row, end, answer in zip(tokens.tolist(), last.tolist(), answers.tolist(), strict=True):
        words = tokenizer.convert_ids_to_tokens(row[: end + 1])
        assert words[0] in starts
        assert words[-1] == "to"
        assert set(row[end + 1 :]) <= {tokenizer.pad_token_id}
        said = [token for token in row if token in names]
        assert len(said) == 3
        assert said.count(answer) == 1
        assert answer != said[2]
        text = " ".join(words).replace(" ,", ",")
        assert tokenizer(text)["input_ids"] == row[: end + 1]
    assert not {*model.NEW} & {*model.STOP, *model.TRAINED}
    assert not {*model.STOP} & {*model.TRAINED}
    assert len({*model.NAMES}) == model.N_NAMES


def test_word_vectors_stay_and_training_lowers_the_loss(modules, capsys) -> None:
    _, model = modules
    tokenizer = model.word_tokenizer()
    before = model.new_module(len(tokenizer), 3)
    d_head = model.WIDTH // model.HEADS
    for block in before.transformer.h:
        query, key, value = block.attn.c_attn.weight.split(model.WIDTH, dim=1)
        first, final = slice(0, d_head), slice(model.WIDTH - d_head, model.WIDTH)
        assert torch.equal(query[:, first], -key[:, first])
        assert torch.equal(query[:, final], key[:, final])
        assert torch.equal(block.attn.c_proj.weight[first], value[:, first].T)
        assert float(query[:, d_head:-d_head].detach().std()) == pytest.approx(0.02, rel=0.1)
    module, steps, right = model.train(3, tokenizer, steps=model.CHECK, report=True)
    assert steps == model.CHECK
    assert 0 <= right <= 1
    assert torch.equal(module.transformer.wte.weight, before.transformer.wte.weight)
    loss = float(capsys.readouterr().out.split("loss ")[1].split(",")[0])
    assert loss < 0.9 * np.log(len(tokenizer))


def test_movers_are_below_zero_and_large_in_both_orders(modules) -> None:
    ioi, _ = modules
    rows = [  # sender, share and end of the interval in each order
        ("L1H0", (0.3, -0.2), (0.2, -0.1)), ("L1H1", (0.5, -0.2), (0.4, -0.2)), ("L2H3", (0.4, -0.1), (0.3, 0.01)),
        ("L0H2", (0.12, -0.1), (0.06, -0.1)),
    ]  # fmt: skip
    frame = pd.DataFrame(
        [{"sender": name, "share": share, "high": high} for name, *orders in rows for share, high in orders]
    )
    assert ioi.movers_of(frame) == [hc.Head(1, 1), hc.Head(1, 0)]


def test_matched_heads_are_others_of_the_same_layers_where_there_are_enough(modules) -> None:
    ioi, _ = modules
    heads = [hc.Head(layer, head) for layer in range(3) for head in range(4)]
    rng = np.random.default_rng(0)
    movers = [hc.Head(2, 1), hc.Head(2, 2), hc.Head(1, 0)]
    for _ in range(20):
        drawn = ioi.matched(movers, heads, rng)
        assert not {*drawn} & {*movers}
        assert len({*drawn}) == 3
        assert sorted(head.layer for head in drawn) == [1, 2, 2]
    assert [head.layer for head in ioi.matched(heads[8:11], heads, rng)].count(2) == 1
    assert len(ioi.matched(heads[:8], heads, rng)) == 4


GOOD = {
    "new_names": 0.96, "lost": 0.6, "matched_lost": 0.05, "told_low": 0.1, "lost_there": 0.4, "lost_elsewhere": 0.1,
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "fails"),
    [
        ({}, set()),
        ({"new_names": 0.94}, {"learnt"}),
        ({"lost": 0.49}, {"heads_found"}),
        ({"matched_lost": 0.11}, {"heads_found"}),
        ({"told_low": -0.01}, {"role_found"}),
        ({"lost_there": 0.2, "lost_elsewhere": 0.0}, {"role_found"}),
        ({"lost_elsewhere": 0.21}, {"role_found"}),
    ],
)
def test_a_row_is_judged_by_the_thresholds(modules, change, fails) -> None:
    ioi, _ = modules
    assert {name for name, passed in ioi.judged(GOOD | change).items() if not passed} == fails
    assert set(ioi.judged({})) == {name for name, passed in ioi.judged({}).items() if not passed}


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory):
    """A folder like GPT-2's: its class and a byte-level tokenizer, with the names of six people."""
    path, tokenizer = tmp_path_factory.mktemp("gpt2"), bpe_tokenizer()
    tiny_gpt2(tokenizer, layers=2, heads=2).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def test_the_command_for_a_model_of_the_hub_runs_on_a_folder(modules, stand_in, tmp_path, monkeypatch) -> None:
    ioi, _ = modules
    monkeypatch.setattr(ioi, "SHARE", 0.0)
    out, paths = tmp_path / "gpt2.csv", tmp_path / "paths.csv"
    command = ["ioi.py", "--model", str(stand_in), "--out", str(out), "--paths", str(paths), "--pairs", "6"]
    monkeypatch.setattr(sys, "argv", command)
    ioi.main()
    (row,) = csv.DictReader(out.open(newline=""))
    assert tuple(row) == ioi.COLUMNS
    assert row["seed"] == str(stand_in)
    model = hc.load(stand_in)
    ready = ioi.Prepared.of(model, hc.load_task("ioi", tokenizer=model), 0, 6)
    texts = [text for part in ready.test.values() for text in part.first]
    words = [pair for part in ready.test.values() for pair in zip(part.answer, part.foil, strict=True)]
    by_hand = []
    for text, ((answer,), (foil,)) in zip(texts, words, strict=True):
        with torch.no_grad():
            logits = model.module(model.tokenize(text).input_ids).logits[0, -1]
        by_hand.append(float(logits[model.tokenizer.encode(answer)[0]] - logits[model.tokenizer.encode(foil)[0]]))
    assert float(row["logit_diff"]) == pytest.approx(np.mean(by_hand), abs=1e-3)
    assert float(row["accuracy"]) == pytest.approx(np.mean(np.array(by_hand) > 0), abs=1e-3)
    heads = [item for item in model.components if isinstance(item, hc.Head)]
    listed = list(csv.DictReader(paths.open(newline="")))
    into_logits = [path for path in listed if path["receiver"] == "output"]
    assert len(into_logits) == 2 * len(heads)
    below = set(map(str, heads))
    for case in prompts.CASES:
        pairs = ready.task.contrast_pairs(case, "abc", split="select").sample(6, 0)
        frame = hc.path_effects(model, pairs, "heads", "output", route="mlps").to_frame().set_index("sender")
        for path in into_logits:
            if path["case"] == case:
                for name in ("effect", "low", "high"):
                    assert float(path[name]) == pytest.approx(frame.loc[path["sender"], name], abs=1e-3)
        below &= {name for name in frame.index if frame.loc[name, "high"] < 0}
    assert set(row["movers"].split()) <= below


def test_ablated_heads_and_cut_paths_are_those_that_the_row_names(modules, stand_in) -> None:
    ioi, _ = modules
    model = hc.load(stand_in)
    ready = ioi.Prepared.of(model, hc.load_task("ioi", tokenizer=model), 0, 6)
    full, right = ready.scores()
    assert 0 <= right <= 1
    assert ready.lost([], full) == 0
    everything = ready.lost([hc.Head(layer, head) for layer in range(2) for head in range(2)], full)
    assert everything != pytest.approx(0, abs=1e-3)
    movers = [hc.Head(1, 0), hc.Head(1, 1)]
    frame = ioi.into_movers(ready, movers, 6)
    assert set(frame["sender_role"]) == set(ioi.ROLES)
    assert set(frame["receiver_role"]) == {"last"}
    assert set(frame["through"]) == {"q", "k", "v"}
    assert frame["node_share"].abs().dropna().is_monotonic_decreasing
    found = frame[~frame["sender_role"].isin(["s2", "last"])]
    assert (found["effect"].abs() < 1e-6).all()  # "names" pairs differ in the second mention alone
    made = frame.assign(node_share=[0.5, *[0.05] * (len(frame) - 1)], node_share_low=0.01)
    made.loc[0, ["sender", "sender_role", "through"]] = ["L0H1@s2", "s2", "v"]
    told = ioi.told_at(ready, movers, made)
    assert (told["tellers"], told["told_at"], told["through"]) == ("L0H1", "s2", "v")
    cut = hc.PatchPath([hc.Head(0, 1).at("s2")], [item.at("last") for item in movers], source=ready.means, route="mlps")
    assert told["lost_there"] == pytest.approx((full - ready.scores(cut)[0]) / full)
    assert ioi.told_at(ready, movers, frame.assign(node_share=0.0)) == {}
    assert ioi.into_movers(ready, [hc.Head(0, 0)], 6).empty
