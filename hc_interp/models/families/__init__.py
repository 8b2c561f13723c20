"""The families of Hugging Face modules that can be wrapped, each in its own file, and a table of their classes."""

from torch import nn

from hc_interp.errors import ModelError
from hc_interp.models.families import (
    bert,
    camembert,
    distilbert,
    electra,
    gemma,
    gpt2,
    llama,
    mistral,
    qwen2,
    qwen3,
    roberta,
    xlm_roberta,
)
from hc_interp.models.families.family import Family

_FILES = (
    bert, roberta, xlm_roberta, camembert, electra, distilbert, gpt2, llama, mistral, qwen2, qwen3, gemma
)  # fmt: skip
FAMILIES: dict[str, Family] = {name: family for file in _FILES for name, family in file.CLASSES.items()}


def family_of(module: nn.Module, name: str = "The module") -> Family:
    """The family of a module's class. Raises `ModelError` for a class that hc_interp cannot wrap."""
    architecture = type(module).__name__
    if architecture not in FAMILIES:
        raise ModelError(unsupported(f"{name} is a {architecture}"))
    return FAMILIES[architecture]


def unsupported(what: str) -> str:
    """The message for an architecture that is not in `FAMILIES`. `what` names the object and its class."""
    return (
        f"{what}, which hc_interp cannot wrap. Supported: {', '.join(FAMILIES)}. Load the checkpoint with the class "
        "that has its head. Decoders whose attention and MLP are computed in parallel (GPT-NeoX, GPT-J) are "
        "not supported: they have no stream between the two."
    )
