"""Reads and checks the config of a checkpoint or a module before any weight is read, so that errors name wrong fields.

transformers accepts some wrong values and fails on them later, with errors that do not name the field. A wrong value
whose meaning is plain is corrected here. Any other is refused.
"""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import torch

from hc_interp.errors import ModelError, warn
from hc_interp.models.families.family import Family
from hc_interp.models.precision import DTYPES

# Names of sizes in the configs of all families.
_SIZES = (
    "hidden_size", "n_embd", "dim", "num_hidden_layers", "n_layer", "n_layers", "num_attention_heads", "n_head",
    "n_heads", "num_key_value_heads", "head_dim", "vocab_size", "max_position_embeddings", "n_positions",
    "intermediate_size", "n_inner", "hidden_dim", "embedding_size", "ffn_dim", "ffn_hidden_size",
    "num_kv_heads", "rotary_dim",
)  # fmt: skip
_COUNTS = ("type_vocab_size", "sliding_window")  # may be 0
# Fields that only some classes have. A config may hold one that its class does not use, and this package or
# TransformerLens would read it.
_NOT_OF_ALL = ("head_dim", "num_key_value_heads", "sliding_window", "layer_types", "type_vocab_size")
_OTHER_KERNELS = re.compile(r"(paged\|)?(eager|sdpa|flash_attention_\d|flex_attention|[^|]+/[^|]+)")
_IN_CONFIG = "in config.json (or module.config)"


def read_config(source: str, *, local: bool, dtype: torch.dtype | None) -> Any:
    """The config of a folder or hub id. `dtype` replaces its own. Raises `ModelError` for a field that is wrong."""
    import transformers

    stored, _ = transformers.PreTrainedConfig.get_config_dict(source, local_files_only=local)
    fields = corrected(stored, source, dtype)
    kind = str(fields.get("model_type"))
    if fields == stored or kind not in transformers.CONFIG_MAPPING:
        return transformers.AutoConfig.from_pretrained(source, local_files_only=local, trust_remote_code=False)
    return transformers.CONFIG_MAPPING[kind].from_dict(fields)


def settle_config(config: Any, family: Family, name: str) -> None:
    """Correct the config of a module in place. Raises `ModelError` for a field that is wrong."""
    declared = {field.name for field in dataclasses.fields(config)}
    for field in set(_NOT_OF_ALL) & set(vars(config)) - declared:
        delattr(config, field)
    stored = config.to_dict()
    for field, value in corrected(stored, name, None).items():
        if field in stored and value != stored[field]:
            setattr(config, field, value)
    config._attn_implementation = attention_kernel(config._attn_implementation, name)
    config.return_dict = True  # a checkpoint may ask for bare tuples, which have no named logits
    if config.pad_token_id is not None and config.pad_token_id < 0:
        config.pad_token_id = None
    if getattr(config, "is_decoder", False) and not family.causal:
        raise ModelError(
            f"The config of {name} says is_decoder=True, so that no position attends to a later one. Expected an "
            f"encoder. Set is_decoder to false {_IN_CONFIG} if it was fine-tuned as one."
        )
    for field, value in family.requires.items():
        if getattr(config, field, value) != value:
            expected = f"{value!r}: with another value its layers compute what hc_interp does not know"
            raise _wrong(name, field, getattr(config, field), expected, "Load another checkpoint.")
    if family.padded_positions and config.pad_token_id is None:
        raise ModelError(
            f"The config of {name} has no pad_token_id, from which its positions are counted. Set it {_IN_CONFIG}: in "
            "RoBERTa's own checkpoints it is 1."
        )


def corrected(stored: Mapping[str, Any], name: str, dtype: torch.dtype | None) -> dict[str, Any]:
    """The fields of a config, with wrong values corrected. Raises `ModelError` for those that cannot be."""
    fields = dict(stored)
    if fields.get("quantization_config") is not None:
        method = fields["quantization_config"]
        method = method.get("quant_method", method) if isinstance(method, Mapping) else method
        raise ModelError(
            f"{name} is quantized (quantization_config in its config: {method}). Expected weights that are floating "
            "numbers, which are read one by one. Load the checkpoint that it was made from, or save a dequantized one: "
            "model.dequantize().save_pretrained(folder)."
        )
    for field in ("attn_implementation", "_attn_implementation"):
        if field in fields:
            fields[field] = attention_kernel(fields[field], name)
    for field in ("dtype", "torch_dtype"):
        if fields.get(field) is not None:
            fields[field] = _floating_type(fields[field], field, name) if dtype is None else str(dtype)[6:]
    architectures = fields.get("architectures")
    if isinstance(architectures, str):
        fields["architectures"] = [architectures]
    elif architectures is not None and not _are_texts(architectures):
        raise _wrong(name, "architectures", architectures, "a list of class names, like ['BertForMaskedLM']")
    for field in ("id2label", "label2id"):
        fields |= {field: _labels(fields[field], field, name)} if field in fields else {}
    _check_sizes(fields, name)
    return fields


def attention_kernel(requested: Any, name: str) -> str | None:
    """The attention kernel to use where a config requests one: "eager", "sdpa", or None for the default.

    Other kernels compute the same, but their code may not be installed: they are replaced by "sdpa" with an
    `HCWarning`. Raises `ModelError` for a value that names no kernel.
    """
    if requested is None or requested in ("eager", "sdpa"):
        return requested
    if not isinstance(requested, str) or not _OTHER_KERNELS.fullmatch(requested):
        expected = "'eager' or 'sdpa', which compute what the family defines"
        raise _wrong(name, "attn_implementation", requested, expected)
    warn(
        f"The config of {name} asks for attention by {requested}. It is computed by SDPA here: the same up to rounding."
    )
    return "sdpa"


def _floating_type(value: Any, field: str, name: str) -> str:
    text = str(value).removeprefix("torch.")
    if isinstance(value, str | torch.dtype) and text in DTYPES:
        return text
    expected = f"one of {', '.join(DTYPES)}; hc.load(..., dtype='float32') or --dtype float32 goes before it"
    raise _wrong(name, field, value, expected)


def _labels(labels: Any, field: str, name: str) -> Any:
    """A table of label names, made from a list if `labels` is one."""
    if isinstance(labels, list) and _are_texts(labels):
        by_id = dict(enumerate(labels))
        return by_id if field == "id2label" else {label: index for index, label in by_id.items()}
    if labels is None or (isinstance(labels, Mapping) and all(map(_is_index, _indices(labels, field)))):
        return labels
    expected = "{'0': 'entailment', ...}" if field == "id2label" else "{'entailment': 0, ...}"
    raise _wrong(name, field, labels, f"the name of each class, like {expected}")


def _indices(table: Mapping[Any, Any], field: str) -> Any:
    return table if field == "id2label" else table.values()


def _check_sizes(fields: Mapping[str, Any], name: str) -> None:
    for least, names in ((1, _SIZES), (0, _COUNTS)):
        for field in names:
            value = fields.get(field)
            if value is not None and (not _is_whole(value) or value < least):
                raise _wrong(name, field, value, f"a whole number of at least {least}")
    pad, vocabulary = fields.get("pad_token_id"), fields.get("vocab_size")
    if pad is not None and (not _is_whole(pad) or pad >= (vocabulary or pad + 1)):
        tokens = f"one of the tokens 0 to {vocabulary - 1}" if vocabulary else "the number of a token"
        raise _wrong(name, "pad_token_id", pad, f"{tokens}, or null")


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_index(key: Any) -> bool:
    return _is_whole(key) or (isinstance(key, str) and key.isdecimal())


def _are_texts(values: Any) -> bool:
    return isinstance(values, list | tuple) and all(isinstance(value, str) for value in values)


def _wrong(name: str, field: str, value: Any, expected: str, mend: str = f"Correct it {_IN_CONFIG}.") -> ModelError:
    return ModelError(f"The config of {name} says {field}={value!r}; expected {expected}. {mend}")
