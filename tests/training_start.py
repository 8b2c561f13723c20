"""Tiny starts that read words, and a task of random texts, for tests of training."""

import numpy as np
import torch
from texts import WORDS, word_tokenizer
from tiny import LABELS, tiny_module

import hc_interp as hc

BINARY = ((0,), (1, 2))


def texts(n: int, seed: int, **more) -> hc.Examples:
    """Premises of six words and hypotheses of four, with one of two labels: entailment, or any other class."""
    rng = np.random.default_rng(seed)
    first = [" ".join(rng.choice(WORDS, size=6, replace=False)) for _ in range(n)]
    second = [" ".join(rng.choice(WORDS, size=4)) for _ in range(n)]
    label = tuple(int(i) for i in rng.integers(0, 2, n))
    return hc.Examples(first, second, label, **{"groups": BINARY, "classes": LABELS, **more})


TASK = hc.Task(
    "tiny", texts(20, 0), texts(12, 1), {"easy": texts(10, 2), "hard": texts(10, 3)},
    groups=BINARY, classes=LABELS, heuristic={"easy": True, "hard": False}, heuristic_label=0,
)  # fmt: skip


def start_of(family: str, dtype: torch.dtype = torch.float32, seed: int = 0) -> hc.HookedModel:
    """A random model of a family, whose config has dropout as its class sets it."""
    module = tiny_module(family, seed=seed, dtype=dtype)
    return hc.load(module, tokenizer=word_tokenizer(WORDS), labels=LABELS)


def weights(model: hc.HookedModel) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.module.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Whether both have the same tensors, to the last bit."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
