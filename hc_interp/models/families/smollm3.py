"""SmolLM3 (Bakouch et al. 2025): Llama's layers, some of which do not rotate q and k."""

from dataclasses import replace

from hc_interp.models.families.llama import LLAMA, llama_like

CLASSES = llama_like("SmolLM3", replace(LLAMA, tiny={**LLAMA.tiny, "no_rope_layers": [1, 0, 1]}))
