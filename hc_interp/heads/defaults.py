"""Defaults that settings read without loading torch."""

KINDS = ("order",)  # all words stay, so what changes is more than overlap
