"""`fingerprint`: a short digest of a module's architecture, its weights and a family that the user gave for it."""

import hashlib
from typing import Any

import torch
from torch import nn

from hc_interp.models.families import FAMILIES
from hc_interp.models.families.family import Family
from hc_interp.records.digest import digest

# Settings that change what the same weights compute, by the names that families give them.
_RULES = (
    "hidden_act", "activation", "activation_function", "layer_norm_eps", "layer_norm_epsilon", "rms_norm_eps",
    "rope_parameters", "sliding_window", "layer_types", "scale_attn_weights", "scale_attn_by_inverse_layer_idx",
)  # fmt: skip
# Count only where a config has them.
_RULES_OF_SOME = (
    "no_rope_layers", "use_parallel_residual", "rotary_dim", "attn_logit_softcapping", "final_logit_softcapping",
    "query_pre_attn_scalar", "hidden_activation", "alibi", "parallel_attn", "new_decoder_architecture", "multi_query",
    "num_kv_heads",
    "relative_attention", "pos_att_type", "position_buckets",
    "max_relative_positions", "norm_rel_ebd", "share_att_key", "pooler_hidden_act",
)  # fmt: skip


def fingerprint(module: nn.Module, family: Family) -> str:
    """The first 16 hex digits of the SHA-256 of what the module computes.

    That is its class, sizes and rules, its weights, and what `family` says if it is not the package's own.
    """
    config: Any = module.config
    architecture = type(module).__name__
    rules = [getattr(config, name, None) for name in _RULES]
    rules += [(name, getattr(config, name)) for name in _RULES_OF_SOME if hasattr(config, name)]
    if family != FAMILIES.get(architecture):
        rules.append(digest(family))
    sizes = config.num_hidden_layers, config.num_attention_heads
    sha = hashlib.sha256(repr((architecture, *sizes, *rules)).encode())
    for name, tensor in module.state_dict().items():
        sha.update(repr((name, tensor.dtype, tuple(tensor.shape))).encode())
        sha.update(tensor.detach().cpu().flatten().view(torch.uint8).numpy().data)
    return sha.hexdigest()[:16]
