"""Defaults of `generalizing_heads` that the settings of a run read without loading torch."""

CONTRAST_KINDS = ("order",)  # both sides have the same words, so overlap alone cannot tell them apart
