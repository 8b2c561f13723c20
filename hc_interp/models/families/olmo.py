"""OLMo 1 (Groeneveld et al. 2024), a language model: Llama's layers, with norms that have no weights."""

from dataclasses import replace

from hc_interp.models.families.family import OWN_ADAPTERS
from hc_interp.models.families.llama import LLAMA

OLMO = replace(
    LLAMA,
    adapter=f"{OWN_ADAPTERS}:OlmoAdapter",
    requires={"clip_qkv": None},
)
CLASSES = {"OlmoForCausalLM": OLMO}
