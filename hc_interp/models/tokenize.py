"""Encodes texts as batches, and checks that the model can read them."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import torch

from hc_interp.data.batch import Batch
from hc_interp.data.encode import roles_of, words_of
from hc_interp.data.examples import Examples
from hc_interp.errors import DataError, ModelError, warn

_UNKNOWN = 0.1  # share of unknown tokens from which on a user is warned


def tokenize(model: Any, first: str | Sequence[str] | Examples, second: str | Sequence[str] | None = None) -> Batch:
    """What `HookedModel.tokenize` does, which describes it."""
    if isinstance(first, Examples):
        if second is not None:
            raise DataError(
                f"tokenize was given {first!r} and second texts. Expected Examples alone, which hold both texts, "
                "or two lists of texts. Leave second= out."
            )
        batch = tokenize(model, first.first, first.second)
        labels = None if first.label is None else torch.tensor(first.label, device=model.device)
        words = {name: tokens.to(model.device) for name, tokens in words_of(model, first).items()}
        roles = roles_of(model, first, batch.input_ids.shape[1])
        return replace(batch, labels=labels, ids=first.id, roles=roles, **words)
    if model.tokenizer is None:
        raise ModelError(
            f"{model.name} was loaded without a tokenizer, so texts cannot be encoded. "
            "Pass one, hc.load(..., tokenizer=tok), put its files into the model's folder (tokenizer.save_pretrained), "
            "or pass encoded hc.Batch data."
        )
    first = [first] if isinstance(first, str) else list(first)
    second = [second] if isinstance(second, str) else second if second is None else list(second)
    if not first or (second is not None and len(second) != len(first)):
        raise DataError(
            f"{len(first)} first and {'no' if second is None else len(second)} second texts were given; expected "
            "at least one first text and, for pairs, a second text for each."
        )
    if second is not None:
        check_not_glued(model)
    # Requested by name: some tokenizers leave token types out, and the model could not tell the two texts apart.
    types = (getattr(model.module.config, "type_vocab_size", 0) or 0) > 1
    encoded = model.tokenizer(
        first, second, padding=True, padding_side="right", return_tensors="pt", return_token_type_ids=types
    )
    lengths = encoded["attention_mask"].sum(1)
    if not int(lengths.min()):
        raise DataError(
            f"Row {int(lengths.argmin())} has no tokens: its text is empty, and this tokenizer adds none of its own. "
            f"{model.name} reads at least one token a row. Drop such rows, or give them a text."
        )
    if int(lengths.max()) > model.max_positions:
        row = int(lengths.argmax())
        raise DataError(
            f"Row {row} has {int(lengths[row])} tokens; {model.name} reads at most {model.max_positions} "
            f"(it begins {first[row][:60]!r}). Shorten or drop such rows: nothing is cut silently."
        )
    if (highest := int(encoded["input_ids"].max())) >= (size := model.module.config.vocab_size):
        raise DataError(
            f"The tokenizer gave token {highest}; {model.name} knows tokens 0 to {size - 1}. Pass the tokenizer "
            "that the model was trained with: hc.load(..., tokenizer=tok)."
        )
    _warn_of_unknown(model, first, encoded["input_ids"], encoded["attention_mask"])
    return Batch(encoded["input_ids"], encoded["attention_mask"], encoded.get("token_type_ids")).to(model.device)


def _warn_of_unknown(model: Any, first: Sequence[str], tokens: torch.Tensor, mask: torch.Tensor) -> None:
    """Warn if many tokens stand for words that the tokenizer does not know: to the model these are all one word."""
    unknown = getattr(model.tokenizer, "unk_token_id", None)
    if unknown is None or unknown == getattr(model.tokenizer, "eos_token_id", None):  # GPT-2 has one token for both
        return
    in_row = ((tokens == unknown) & mask.bool()).sum(1)
    if int(in_row.sum()) > _UNKNOWN * int(mask.sum()):
        row = int(in_row.argmax())
        warn(
            f"{int(in_row.sum())} of {int(mask.sum())} tokens are {model.tokenizer.unk_token}: the tokenizer of "
            f"{model.name} does not know these words, and the model cannot tell them apart (row {row} begins "
            f"{first[row][:60]!r}). Use words that it was trained on, or pass its tokenizer: hc.load(..., "
            "tokenizer=tok)."
        )


def check_not_glued(model: Any) -> None:
    """Raise `DataError` for pairs of texts on a decoder whose tokenizer puts nothing between the two."""
    tokenizer = model.tokenizer
    if not model.family.causal or not hasattr(tokenizer, "num_special_tokens_to_add"):
        return
    if tokenizer.num_special_tokens_to_add(pair=True) == tokenizer.num_special_tokens_to_add(pair=False):
        raise DataError(
            f"{model.name} is a decoder whose tokenizer would write the second text right after the first, as one. Say "
            'how a pair is written as a prompt: hc.load_task(..., template="{first} Question: {second} True or '
            'false?"), or give texts with second=None.'
        )


def check_known(batch: Batch, config: Any, name: str) -> None:
    """Raise `DataError` for tokens and token types that a model does not have. Nothing is checked on a GPU."""
    if batch.input_ids.device.type != "cpu":  # reading the values would wait for the device
        return
    sizes: dict[str, tuple[torch.Tensor | None, int]] = {"token": (batch.input_ids, config.vocab_size)}
    if (types := getattr(config, "type_vocab_size", 0) or 0) > 1:  # a model with one type is run without types
        sizes["token type"] = (batch.token_type_ids, types)
    for what, (ids, size) in sizes.items():
        if ids is None:
            continue
        low, high = int(ids.min()), int(ids.max())
        if low < 0 or high >= size:
            raise DataError(
                f"{batch!r} holds {what} {high if high >= size else low}; {name} knows {what}s 0 to {size - 1}. "
                "Encode with the tokenizer that the model was trained with: model.tokenize(first, second)."
            )


def tokenization(tokenizer: Any) -> Any:
    """The rules by which a tokenizer splits text, for digests; of a fast one their SHA-256, since they are long."""
    fast = getattr(tokenizer, "backend_tokenizer", None)
    if fast is not None:
        return _sha256_of_rules(fast.to_str())
    if hasattr(tokenizer, "get_vocab"):
        return type(tokenizer).__qualname__, sorted(tokenizer.get_vocab().items())
    return type(tokenizer).__qualname__


@lru_cache(maxsize=8)
def _sha256_of_rules(text: str) -> str:
    """Of the rules of a fast tokenizer, without padding and truncation, which each call sets itself."""
    rules = json.loads(text)
    kept = {name: rule for name, rule in rules.items() if name not in ("padding", "truncation")}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()
