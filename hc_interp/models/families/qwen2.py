"""Qwen2 (Yang et al. 2024): Llama's layers."""

from hc_interp.models.families.llama import llama_like

CLASSES = llama_like("Qwen2")
