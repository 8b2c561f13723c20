"""The tokenizer of a model: read from a checkpoint, or given as an object, a name or a file of `tokenizers`."""

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
# What special tokens are called in vocabularies: a bare `tokenizers.Tokenizer` does not say which it has.
_SPECIAL = {
    "pad_token": ("[PAD]", "<pad>", "<|pad|>"),
    "unk_token": ("[UNK]", "<unk>"),
    "cls_token": ("[CLS]",),
    "sep_token": ("[SEP]",),
    "mask_token": ("[MASK]", "<mask>"),
    "bos_token": ("<s>", "<|begin_of_text|>"),
    "eos_token": ("</s>", "<|endoftext|>", "<|end_of_text|>"),
}


def given_tokenizer(given: Any) -> Any:
    """A tokenizer as `hc.load` takes it: of transformers, of `tokenizers`, or the folder or hub id of one.

    Raises `ModelError` for anything else.
    """
    import tokenizers

    if isinstance(given, tokenizers.Tokenizer):
        return _of_tokenizers(given)
    if isinstance(given, str | Path):
        source, local = folder_or_hub_id(given)
        found = read_tokenizer(source, local=local)
        if found is None:
            raise ModelError(f"tokenizer={str(given)!r} holds no tokenizer. Expected one of the files {_FILES}.")
        return found
    if given is None or (callable(given) and hasattr(given, "pad_token_id") and not isinstance(given, type)):
        return given
    raise ModelError(
        f"tokenizer={given!r} encodes no texts. Expected a tokenizer of transformers or tokenizers, or the folder or "
        "hub id of one: hc.load(..., tokenizer=transformers.AutoTokenizer.from_pretrained(name))."
    )


def _of_tokenizers(given: Any) -> Any:
    """As transformers wraps it, where each call decides how it pads and cuts."""
    import transformers

    known = given.get_vocab()
    special = {kind: next((name for name in names if name in known), None) for kind, names in _SPECIAL.items()}
    if given.padding is not None:
        special["pad_token"] = given.padding["pad_token"]
    own = {kind: name for kind, name in special.items() if name is not None}
    return transformers.PreTrainedTokenizerFast(tokenizer_object=copy.deepcopy(given), **own)


def read_tokenizer(source: str, *, local: bool, config: Any = None) -> Any:
    """The tokenizer of a folder or hub id; None where there is none. Raises `ModelError` for a broken one.

    `config` is the model's, where it was read already and put right. Where a checkpoint has no tokenizer, transformers
    makes one that knows special tokens and no words, or fails.
    """
    import transformers

    if local and not any(os.path.isfile(os.path.join(source, name)) for name in _FILES):
        return None
    try:
        found = transformers.AutoTokenizer.from_pretrained(
            source, config=config, local_files_only=local, trust_remote_code=False
        )
    except Exception as error:  # broken files fail in any way
        raise ModelError(
            f"The tokenizer of {source} could not be loaded ({in_one_line(error)}). Expected its files as "
            "tokenizer.save_pretrained(folder) writes them, tokenizer.json among them. Put them into the folder, or "
            "pass one: hc.load(..., tokenizer=tok)."
        ) from error
    return found if len(found) > len(set(found.all_special_tokens)) else None


def with_padding(tokenizer: Any, pad_token_id: int | None) -> Any:
    """The tokenizer, or a copy that pads with another token where it has none to pad with.

    Padding is masked, so any token will do: its end token, the one that the model's config names, or the first.
    """
    if tokenizer is None or tokenizer.pad_token_id is not None:
        return tokenizer
    tokenizer = copy.deepcopy(tokenizer)
    ids = (tokenizer.eos_token_id, pad_token_id, 0)
    first = next(id for id in ids if id is not None and id < len(tokenizer))
    tokenizer.pad_token = tokenizer.convert_ids_to_tokens(first)
    return tokenizer
