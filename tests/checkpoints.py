"""Folders as a user's training leaves them, with tiny random models."""

import json
from pathlib import Path

import torch
from texts import word_tokenizer
from tiny import LABELS, tiny_module

TEXTS = ["the doctor saw the lawyer .", "a lawyer saw the old doctor"]
WEIGHTS = "model.safetensors"


def name_labels(module, labels=LABELS):
    module.config.id2label = dict(enumerate(labels))
    module.config.label2id = {label: i for i, label in enumerate(labels)}
    return module


def save(folder: Path, family: str = "bert", *, tokenizer: bool = True, **config) -> Path:
    """A module of a family in float32 with named labels, a tokenizer, and these fields in its config.json."""
    name_labels(tiny_module(family, dtype=torch.float32)).save_pretrained(folder)
    if tokenizer:
        word_tokenizer(TEXTS).save_pretrained(folder)
    edit_config(folder, **config)
    return folder


def edit_config(folder: Path, **changes) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
