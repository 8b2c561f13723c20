"""Mistral (Jiang et al. 2023): Llama's layers, whose attention may have a sliding window."""

from dataclasses import replace

from hc_interp.models.families.llama import LLAMA, llama_like

CLASSES = llama_like("Mistral", replace(LLAMA, tiny={**LLAMA.tiny, "sliding_window": 3}))
