"""What a config says of a module: read and checked before any weight is, so that a wrong field is named.

transformers takes some fields as they are and fails on them later, each in its own way. Fields whose meaning is plain
are put right; the others are refused.
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
    "intermediate_size", "n_inner", "hidden_dim", "embedding_size",
)  # fmt: skip
_COUNTS = ("type_vocab_size", "sliding_window")  # may be 0
# Fields that this package or TransformerLens would read where a module's own class does not have them.
_NOT_OF_ALL = ("head_dim", "num_key_value_heads", "sliding_window", "layer_types", "type_vocab_size")
_OTHER_KERNELS = re.compile(r"(paged\|)?(eager|sdpa|flash_attention_\d|flex_attention|[^|]+/[^|]+)")
WHERE = "in config.json (or module.config)"


def read_config(source: str, *, local: bool, dtype: torch.dtype | None) -> Any:
    """The config of a folder or hub id; `dtype` goes before its own. Raises `ModelError` for a field that is wrong."""
    import transformers

    given, _ = transformers.PreTrainedConfig.get_config_dict(source, local_files_only=local)
    fields = corrected(given, source, dtype)
    kind = str(fields.get("model_type"))
    if fields == given or kind not in transformers.CONFIG_MAPPING:
        return transformers.AutoConfig.from_pretrained(source, local_files_only=local, trust_remote_code=False)
    return transformers.CONFIG_MAPPING[kind].from_dict(fields)


def settle_config(config: Any, family: Family, name: str) -> None:
    """Put the config of a module right in place, or raise `ModelError`; `family` is the module's."""
    declared = {field.name for field in dataclasses.fields(config)}
    for field in set(_NOT_OF_ALL) & set(vars(config)) - declared:
        delattr(config, field)
    given = config.to_dict()
    for field, value in corrected(given, name, None).items():
        if field in given and value != given[field]:
            setattr(config, field, value)
    config._attn_implementation = attention_kernel(config._attn_implementation, name)
    config.return_dict = True  # a checkpoint may ask for bare tuples, which have no named logits
    if config.pad_token_id is not None and config.pad_token_id < 0:
        config.pad_token_id = None
    if getattr(config, "is_decoder", False) and not family.causal:
        raise ModelError(
            f"The config of {name} says is_decoder=True, so that no position attends to a later one. Expected an "
            f"encoder. Set is_decoder to false {WHERE} if it was fine-tuned as one."
        )
    if family.padded_positions and config.pad_token_id is None:
        raise ModelError(
            f"The config of {name} has no pad_token_id, from which its positions are counted. Set it {WHERE}: in "
            "RoBERTa's own checkpoints it is 1."
        )


def corrected(given: Mapping[str, Any], name: str, dtype: torch.dtype | None) -> dict[str, Any]:
    """The fields of a config with those put right whose meaning is plain. Raises `ModelError` for the others."""
    fields = dict(given)
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


def attention_kernel(given: Any, name: str) -> str | None:
    """The attention kernel to use for the one that a config asks for: eager attention, SDPA, or whatever is default.

    Others compute the same by code that may be missing here: they are replaced, which is said in an `HCWarning`.
    """
    if given is None or given in ("eager", "sdpa"):
        return given
    if not isinstance(given, str) or not _OTHER_KERNELS.fullmatch(given):
        raise _wrong(name, "attn_implementation", given, "'eager' or 'sdpa', which compute what the family defines")
    warn(f"The config of {name} asks for attention by {given}. It is computed by SDPA here: the same up to rounding.")
    return "sdpa"


def _floating_type(given: Any, field: str, name: str) -> str:
    text = str(given).removeprefix("torch.")
    if isinstance(given, str | torch.dtype) and text in DTYPES:
        return text
    expected = f"one of {', '.join(DTYPES)}; hc.load(..., dtype='float32') or --dtype float32 goes before it"
    raise _wrong(name, field, given, expected)


def _labels(given: Any, field: str, name: str) -> Any:
    """A list of names as the table that it stands for."""
    if isinstance(given, list) and _are_texts(given):
        by_id = dict(enumerate(given))
        return by_id if field == "id2label" else {label: index for index, label in by_id.items()}
    if given is None or (isinstance(given, Mapping) and all(map(_is_index, _indices(given, field)))):
        return given
    expected = "{'0': 'entailment', ...}" if field == "id2label" else "{'entailment': 0, ...}"
    raise _wrong(name, field, given, f"the name of each class, like {expected}")


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


def _wrong(name: str, field: str, value: Any, expected: str) -> ModelError:
    return ModelError(f"The config of {name} says {field}={value!r}; expected {expected}. Correct it {WHERE}.")
