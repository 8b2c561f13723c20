"""Arguments of `finetune` without meaning are refused before anything is written."""

from dataclasses import replace

import pytest
import torch
from tiny import LABELS
from training_start import TASK, start_of, texts

import hc_interp as hc
from hc_interp.data.overlap import concatenate
from hc_interp.errors import DataError, HCError, ModelError, TrainingError

HELD = TASK.cases["hard"]
START = start_of("bert")
LONG = replace(texts(1, 6), first=("red old new big tall sad shy judge",))
# One row among many is longer than all others. It is drawn in a late step.
LATE = concatenate([texts(400, 5), LONG])
BAD = {
    "no task": ({"task": TASK.train}, DataError, "Task was expected"),
    "no train": ({"task": hc.Task("t", validation=TASK.validation)}, DataError, "no training split"),
    "steps": ({"steps": 0}, TrainingError, "steps=0"),
    "steps not whole": ({"steps": 2.5}, TrainingError, "steps=2.5"),
    "batch_size": ({"batch_size": 0}, TrainingError, "batch_size=0"),
    "seed": ({"seed": -1}, TrainingError, "seed=-1"),
    "lr": ({"lr": 0}, TrainingError, "lr=0"),
    "weight_decay": ({"weight_decay": -0.1}, TrainingError, "weight_decay=-0.1"),
    "warm_up": ({"warm_up": 1.5}, TrainingError, "warm_up=1.5"),
    "warm_up nan": ({"warm_up": float("nan")}, TrainingError, "warm_up=nan"),
    "decay_to": ({"decay_to": -1}, TrainingError, "decay_to=-1"),
    "betas": ({"betas": (0.9, 1)}, TrainingError, r"betas=\(0.9, 1\)"),
    "one beta": ({"betas": 0.9}, TrainingError, "betas=0.9"),
    "lr nan": ({"lr": float("nan")}, TrainingError, "lr=nan"),
    "save_every": ({"save_every": 0}, TrainingError, "save_every=0"),
    "until": ({"until": 0}, TrainingError, "until=0"),
    "checkpoints": ({"checkpoints": "linear"}, TrainingError, "checkpoints='linear'"),
    "checkpoint beyond": ({"checkpoints": [9]}, TrainingError, r"checkpoints=\[9\]"),
    "held_out unknown": ({"held_out": "harder"}, DataError, "no case 'harder'"),
    "held_out trained": (
        {"held_out": ["hard"], "phases": [(0, {TASK.train: 0.5, HELD.rows([4]): 0.5})]}, DataError, "id 4, case hard",
    ),
    "freeze unknown": ({"freeze": ["L7H0"]}, HCError, "L7H0"),
    "freeze and lora": ({"freeze": ["L1H0"], "lora": 2}, TrainingError, "lora=2"),
    "export type and rank": ({"export_rank": 2, "export_dtype": "float16"}, TrainingError, "with export_rank="),
    "export type and lora": ({"lora": 2, "export_dtype": "float16"}, TrainingError, "with lora="),
    "export type": ({"export_dtype": "int8"}, ModelError, "int8"),
    "export and lora": ({"export_rank": 2, "lora": 2}, TrainingError, "export_rank=2"),
    "lora 0": ({"lora": 0}, TrainingError, "r=0"),
    "lora field": ({"lora": {"r": 2, "bias": "all"}}, TrainingError, "bias='all'"),
    "lora target": ({"lora": {"r": 2, "target_modules": ["nothing"]}}, TrainingError, "nothing"),
    "lora dropout": (
        {"lora": {"r": 2, "lora_dropout": 0.1}, "interventions": [hc.Ablate("L0H1", with_=0)]}, TrainingError, "0.1",
    ),
    "interventions": ({"interventions": ["L0H1"]}, HCError, "not an intervention"),
    "no component": ({"interventions": [hc.Ablate("L9H1", with_=0)]}, HCError, "L9H1"),
    "no donor": (
        {"interventions": [hc.Ablate("L0H1", with_=hc.Donors(START, TASK.train))], "phases": [(0, LATE)], "steps": 100},
        HCError, "No donor of 15 tokens",
    ),
    "bfloat16 of float64": ({"dtype": "bfloat16", "start": start_of("bert", torch.float64)}, ModelError, "float64"),
    "float16": ({"dtype": "float16"}, ModelError, "float16"),
    "labels": ({"phases": [(0, hc.Examples(["a"], ["b"], [2], groups=((0,), (1, 2)), classes=LABELS))]}, HCError, "2"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_arguments_without_meaning_are_refused_before_anything_is_written(name, train, tmp_path) -> None:
    options, error, message = BAD[name]
    with pytest.raises(error, match=message):
        train(**options)
    assert not (tmp_path / "out").exists()
