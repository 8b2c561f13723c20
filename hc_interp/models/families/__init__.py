"""The families of Hugging Face modules that can be wrapped, each in its own file, and a table of their classes."""

import re

from torch import nn

from hc_interp.errors import ModelError
from hc_interp.models.families import (
    albert,
    bert,
    camembert,
    deberta,
    deberta_v2,
    distilbert,
    electra,
    falcon,
    gemma,
    gemma2,
    gemma3,
    gpt2,
    gpt_neox,
    gptj,
    llama,
    mistral,
    modernbert,
    mpnet,
    olmo,
    olmo2,
    opt,
    phi,
    phi3,
    qwen2,
    qwen3,
    roberta,
    smollm3,
    xlm_roberta,
)
from hc_interp.models.families.family import Family

_FILES = (
    bert, roberta, xlm_roberta, camembert, electra, albert, distilbert, mpnet, deberta, deberta_v2, modernbert, gpt2,
    llama, mistral, qwen2, qwen3, gemma, gemma2, gemma3, olmo, olmo2, phi3, smollm3, gpt_neox, gptj, falcon, phi, opt,
)  # fmt: skip
FAMILIES: dict[str, Family] = {name: family for file in _FILES for name, family in file.CLASSES.items()}


def family_of(module: nn.Module, name: str = "The module") -> Family:
    """The family of a module's class. Raises `ModelError` for a class that hc_interp cannot wrap."""
    architecture = type(module).__name__
    if architecture not in FAMILIES:
        raise ModelError(unsupported(f"{name} is a {architecture}", architecture))
    return FAMILIES[architecture]


# Why a class is refused whose layers are no variant of those that can be described, by how its name begins.
_REASONS = {
    (
        "T5For",
        "MT5For",
        "BartFor",
        "MBartFor",
        "PegasusFor",
        "M2M100For",
        "MarianMTModel",
    ): "it has two stacks, an encoder and a decoder",
}


def unsupported(what: str, architecture: str | None = None) -> str:
    """The message for a class that is not in `FAMILIES`. `what` names the object, `architecture` its class."""
    reason = next((why for starts, why in _REASONS.items() if (architecture or "").startswith(starts)), None)
    if reason is not None:
        return f"{what}, which hc_interp cannot wrap: {reason}. Take a model of another family (docs/families.md)."
    if heads := [name for name in FAMILIES if architecture and _model(name) == _model(architecture)]:
        classes = " or ".join(heads)
        return f"{what}, which hc_interp cannot wrap. Load the checkpoint with the class that has its head: {classes}."
    return (
        f"{what}, which hc_interp cannot wrap. If its layers are those of a known family under other names, describe "
        "them: hc.load(..., family=hc.Family(...)). Otherwise take a model of another family (docs/families.md)."
    )


def _model(architecture: str) -> str:
    """The name of the model in that of a class: "Bert" of "BertForMaskedLM" and of "BertModel"."""
    return re.sub("(For[A-Z]|LMHeadModel$|DoubleHeadsModel$|Model$).*", "", architecture)
