"""The tokenizer of a model: read from a checkpoint, or given by the user as an object, a folder or a hub id."""

import copy
import os
from pathlib import Path
from typing import Any

from hc_interp.errors import ModelError, in_one_line
from hc_interp.models.names import folder_or_hub_id

_FILES = (
    "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "vocab.json", "vocab.txt", "merges.txt",
    "spiece.model", "sentencepiece.bpe.model",
)  # fmt: skip
# The usual forms of special tokens. A `tokenizers.Tokenizer` does not say which of its tokens are special.
_SPECIAL = {
    "pad_token": ("[PAD]", "<pad>", "<|pad|>"),
    "unk_token": ("[UNK]", "<unk>"),
    "cls_token": ("[CLS]",),
    "sep_token": ("[SEP]",),
    "mask_token": ("[MASK]", "<mask>"),
    "bos_token": ("<s>", "<|begin_of_text|>"),
    "eos_token": ("</s>", "<|endoftext|>", "<|end_of_text|>"),
}


def given_tokenizer(tokenizer: Any) -> Any:
    """A tokenizer of transformers from what `hc.load` accepts: such a tokenizer, one of `tokenizers`, or a folder or
    hub id that holds one. None stays None. Raises `ModelError` for anything else.
    """
    import tokenizers

    if isinstance(tokenizer, tokenizers.Tokenizer):
        return _of_tokenizers(tokenizer)
    if isinstance(tokenizer, str | Path):
        source, local = folder_or_hub_id(tokenizer)
        stored = read_tokenizer(source, local=local)
        if stored is None:
            raise ModelError(f"tokenizer={str(tokenizer)!r} holds no tokenizer. Expected one of the files {_FILES}.")
        return stored
    usable = callable(tokenizer) and hasattr(tokenizer, "pad_token_id") and not isinstance(tokenizer, type)
    if tokenizer is None or usable:
        return tokenizer
    raise ModelError(
        f"tokenizer={tokenizer!r} encodes no texts. Expected a tokenizer of transformers or tokenizers, or the folder "
        "or hub id of one: hc.load(..., tokenizer=transformers.AutoTokenizer.from_pretrained(name))."
    )


def _of_tokenizers(tokenizer: Any) -> Any:
    """A tokenizer of `tokenizers` in transformers' wrapper, where each call decides how to pad and cut."""
    import transformers

    known = tokenizer.get_vocab()
    special = {kind: next((name for name in names if name in known), None) for kind, names in _SPECIAL.items()}
    if tokenizer.padding is not None:
        special["pad_token"] = tokenizer.padding["pad_token"]
    named = {kind: name for kind, name in special.items() if name is not None}
    return transformers.PreTrainedTokenizerFast(tokenizer_object=copy.deepcopy(tokenizer), **named)


def read_tokenizer(source: str, *, local: bool, config: Any = None) -> Any:
    """The tokenizer of a folder or hub id, or None if it holds none. Raises `ModelError` for a broken one.

    `config` is the model's config, if it was already read and corrected. For a checkpoint without a tokenizer,
    transformers makes one that has special tokens and no words, or fails.
    """
    import transformers

    if local and not any(os.path.isfile(os.path.join(source, name)) for name in _FILES):
        return None
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            source, config=config, local_files_only=local, trust_remote_code=False
        )
    except Exception as error:  # broken files fail in any way
        raise ModelError(
            f"The tokenizer of {source} could not be loaded ({in_one_line(error)}). Expected its files as "
            "tokenizer.save_pretrained(folder) writes them, tokenizer.json among them. Put them into the folder, or "
            "pass one: hc.load(..., tokenizer=tok)."
        ) from error
    return tokenizer if len(tokenizer) > len(set(tokenizer.all_special_tokens)) else None


def with_padding(tokenizer: Any, pad_token_id: int | None) -> Any:
    """The tokenizer, or a copy that pads with another token if it has no padding token.

    Padding is masked, so any token will do. It is the end token, else the one that the model's config names, else the
    first.
    """
    if tokenizer is None or tokenizer.pad_token_id is not None:
        return tokenizer
    tokenizer = copy.deepcopy(tokenizer)
    ids = (tokenizer.eos_token_id, pad_token_id, 0)
    first = next(id for id in ids if id is not None and id < len(tokenizer))
    tokenizer.pad_token = tokenizer.convert_ids_to_tokens(first)
    return tokenizer
