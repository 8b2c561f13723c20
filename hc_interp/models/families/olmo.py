"""OLMo 1 (Groeneveld et al. 2024): Llama's layers, with norms that have no weights."""

from dataclasses import replace

from hc_interp.models.families.llama import LLAMA, llama_like

CLASSES = llama_like("Olmo", replace(LLAMA, requires={"clip_qkv": None}))
