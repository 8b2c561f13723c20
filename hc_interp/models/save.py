"""`save_module`: a model's plain module and its tokenizer as a folder that transformers and `hc.load` read."""

from pathlib import Path
from typing import Any

from torch import nn

from hc_interp.files import new_folder
from hc_interp.models.quiet import no_bars_of_transformers
from hc_interp.models.transformer_lens_backend import share_tree


def save_module(
    module: nn.Module, folder: str | Path, tokenizer: Any = None, names: tuple[str, ...] | None = None
) -> Path:
    """Write weights (safetensors), config and tokenizer into a new folder, which appears whole or not at all.

    `names` are a classifier's classes in logit order, which the config then says. Raises `HCError` for a path that
    exists (an empty folder is taken) and for one that cannot be written.
    """
    tree: Any = share_tree(module)
    if names is not None:
        tree.config.id2label = dict(enumerate(names))
        tree.config.label2id = {name: index for index, name in enumerate(names)}
    with new_folder(folder) as temporary, no_bars_of_transformers():
        tree.save_pretrained(temporary)
        if tokenizer is not None:
            tokenizer.save_pretrained(temporary)
    return Path(folder)
