"""Mistral (Jiang et al. 2023): Llama's layers, whose attention may have a sliding window."""

from hc_interp.models.families.llama import llama_like

CLASSES = llama_like("Mistral")
