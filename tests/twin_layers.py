"""What the twin knows of each family: names of the parts of a layer, and attention written out.

Nothing here comes from the package. Rotations and biases are those of the module's own file in transformers.
"""

import math
import re
import sys

import torch

BERT = {
    "q": "attention.self.query", "k": "attention.self.key", "v": "attention.self.value",
    "o": "attention.output.dense", "mlp": "output.dense", "ln": "attention.output.LayerNorm",
}  # fmt: skip
LLAMA = {
    "q": "self_attn.q_proj", "k": "self_attn.k_proj", "v": "self_attn.v_proj", "o": "self_attn.o_proj",
    "mlp": "mlp.down_proj", "ln": "input_layernorm",
}  # fmt: skip
POST_NORMS = {"attn_out": "post_attention_layernorm", "mlp_out": "post_feedforward_layernorm"}
NEOX = "attention.query_key_value"
# By family: the list of layers, and the parts of a layer. "attn_out" and "mlp_out" are norms of what is added.
LAYERS = {
    "Bert": ("bert.encoder.layer", BERT),
    **dict.fromkeys(("Roberta", "XLMRoberta", "Camembert"), ("roberta.encoder.layer", BERT)),
    "Electra": ("electra.encoder.layer", BERT),
    "Albert": (
        "albert.encoder.albert_layer_groups",
        {
            "q": "attention.query", "k": "attention.key", "v": "attention.value", "o": "attention.dense",
            "mlp": "ffn_output", "ln": "attention.LayerNorm",
        },
    ),
    "DistilBert": (
        "distilbert.transformer.layer",
        {
            "q": "attention.q_lin", "k": "attention.k_lin", "v": "attention.v_lin", "o": "attention.out_lin",
            "mlp": "ffn.lin2", "ln": "sa_layer_norm",
        },
    ),
    "MPNet": (
        "mpnet.encoder.layer",
        {**BERT, **{name: f"attention.attn.{name}" for name in "qkvo"}, "ln": "attention.LayerNorm"},
    ),
    "Deberta": ("deberta.encoder.layer", {**BERT, **dict.fromkeys("qkv", "attention.self.in_proj")}),
    "DebertaV2": (
        "deberta.encoder.layer",
        {
            **BERT, "q": "attention.self.query_proj", "k": "attention.self.key_proj", "v": "attention.self.value_proj",
        },
    ),
    "GPT2": (
        "transformer.h",
        {**dict.fromkeys("qkv", "attn.c_attn"), "o": "attn.c_proj", "mlp": "mlp.c_proj", "ln": "ln_1"},
    ),
    **dict.fromkeys(("Llama", "Mistral", "Qwen2", "Qwen3", "Gemma", "Olmo", "SmolLM3"), ("model.layers", LLAMA)),
    **{name: ("model.layers", {**LLAMA, **POST_NORMS}) for name in ("Gemma2", "Gemma3", "Gemma3Text")},
    "Olmo2": ("model.layers", {name: path for name, path in (LLAMA | POST_NORMS).items() if name != "ln"}),
    "Phi3": ("model.layers", {**LLAMA, **dict.fromkeys("qkv", "self_attn.qkv_proj")}),
    "GPTNeoX": (
        "gpt_neox.layers",
        {**dict.fromkeys("qkv", NEOX), "o": "attention.dense", "mlp": "mlp.dense_4h_to_h", "ln": "input_layernorm"},
    ),
    "GPTJ": (
        "transformer.h",
        {
            "q": "attn.q_proj", "k": "attn.k_proj", "v": "attn.v_proj", "o": "attn.out_proj",
            "mlp": "mlp.fc_out", "ln": "ln_1",
        },
    ),
    "Falcon": (
        "transformer.h",
        {
            **dict.fromkeys("qkv", "self_attention.query_key_value"),
            "o": "self_attention.dense", "mlp": "mlp.dense_4h_to_h",
        },
    ),
    "Phi": ("model.layers", {**LLAMA, "o": "self_attn.dense", "mlp": "mlp.fc2"}),
    "ModernBert": (
        "model.layers",
        {**dict.fromkeys("qkv", "attn.Wqkv"), "o": "attn.Wo", "mlp": "mlp.Wo", "ln": "attn_norm"},
    ),
    "OPT": (
        "model.decoder.layers",
        {**LLAMA, "o": "self_attn.out_proj", "mlp": "fc2", "ln": "self_attn_layer_norm"},
    ),
}  # fmt: skip
POST_NORM = (
    "Bert", "Roberta", "XLMRoberta", "Camembert", "Electra", "Albert", "DistilBert", "MPNet", "Deberta", "DebertaV2",
)  # fmt: skip


def family_of(module):
    return re.sub("(For[A-Z]|LMHead).*", "", type(module).__name__)


def parts_of(module):
    """The names of the parts of a layer: in Falcon the norm before attention goes by the config."""
    family, config = family_of(module), module.config
    if family != "Falcon":
        return LAYERS[family][1]
    two = config.new_decoder_architecture and config.num_ln_in_parallel_attn == 2
    return {**LAYERS[family][1], "ln": "ln_attn" if two else "input_layernorm"}


def layers_of(module):
    """The module that computes each layer: in ALBERT one module may compute several."""
    layers = list(module.get_submodule(LAYERS[family_of(module)][0]))
    if family_of(module) != "Albert":
        return layers
    n, groups = module.config.num_hidden_layers, module.config.num_hidden_groups
    return [layers[int(i / (n / groups))].albert_layers[0] for i in range(n)]


def attention(module, q, k, v, mask, layer):
    """z of all heads, `[batch, pos, head, d_head]`, from q, k and v of all heads."""
    family, config, n = family_of(module), module.config, q.shape[1]
    block = layers_of(module)[layer]
    q, k = oriented(module, block, q, k, layer)
    if family.startswith("Deberta"):
        return disentangled(module, block.attention.self, q, k, v, mask)
    scale = 1 / math.sqrt(getattr(config, "query_pre_attn_scalar", None) or q.shape[-1])
    scores = torch.einsum("bqhd,bkhd->bhqk", q, k) * scale
    if (cap := getattr(config, "attn_logit_softcapping", None)) is not None:
        scores = torch.tanh(scores / cap) * cap
    if family == "MPNet":
        scores = scores + module.mpnet.encoder.compute_position_bias(v[:, :, 0])
    if getattr(config, "alibi", False):  # in steps of a position, whose sizes are rounded to bfloat16
        steps = sys.modules[type(module).__module__].build_alibi_tensor(mask, q.shape[2], q.dtype)
        scores = scores + steps.view(len(mask), -1, 1, n) / math.sqrt(q.shape[-1])
    hidden = mask[:, None, None, :] == 0
    if family == "ModernBert" and config.layer_types[layer] == "sliding_attention":
        hidden = hidden | (torch.arange(n)[:, None] - torch.arange(n)).abs().gt(config.local_attention // 2)
    if family not in (*POST_NORM, "ModernBert"):
        hidden = hidden | torch.ones(n, n).triu(1).bool()
        window = getattr(config, "sliding_window", None)
        if window is not None and (getattr(config, "layer_types", None) or {layer: "sliding"})[layer].startswith(
            "slid"
        ):
            hidden = hidden | torch.ones(n, n).tril(-window).bool()
    return torch.einsum("bhqk,bkhd->bqhd", scores.masked_fill(hidden, -torch.inf).softmax(-1), v)


def disentangled(module, part, q, k, v, mask):
    """Attention of DeBERTa, whose part adds what distances do to the scores: `part` is that of the module."""
    encoder = module.deberta.encoder
    q, k = (x.transpose(1, 2).contiguous() for x in (q, k))
    terms = 1 + len(part.pos_att_type)
    root = torch.sqrt(torch.tensor(q.shape[-1], dtype=torch.float) * terms)
    scores = q @ k.mT / root
    if encoder.relative_attention:
        given = encoder.get_rel_pos(v[:, :, 0]), encoder.get_rel_embedding(), terms
        if family_of(module) == "Deberta":
            scores = scores + part.disentangled_att_bias(q / root, k, *given)
        else:
            added = part.disentangled_attention_bias(q.flatten(0, 1), k.flatten(0, 1), *given)
            scores = scores + (added.view(scores.shape) if part.pos_att_type else added)
    hidden = mask[:, None, None, :] * mask[:, None, :, None] == 0
    return torch.einsum("bhqk,bkhd->bqhd", scores.masked_fill(hidden, -1e30).softmax(-1), v)


def oriented(module, block, q, k, layer):
    """q and k as the scores are computed from them."""
    source = sys.modules[type(module).__module__]
    if type(module).__name__.startswith("GPTJ"):
        n, turned = q.shape[1], block.attn.rotary_dim
        sin, cos = block.attn.embed_positions[None, :n].chunk(2, dim=-1)
        turn = source.apply_rotary_pos_emb
        return tuple(torch.cat([turn(x[..., :turned], sin, cos), x[..., turned:]], dim=-1) for x in (q, k))
    trunk = next(
        (getattr(module, name) for name in ("gpt_neox", "model", "transformer") if hasattr(module, name)), None
    )
    rotary = getattr(trunk, "rotary_emb", None)
    if rotary is None or getattr(module.config, "alibi", False):
        return q, k
    a = getattr(block, "self_attn", None)
    if hasattr(a, "q_norm"):
        q, k = normed(a.q_norm, q), normed(a.k_norm, k)
    if getattr(a, "use_rope", 1) == 0:
        return q, k
    of_layer = (module.config.layer_types[layer],) if family_of(module).startswith(("Gemma3", "Modern")) else ()
    cos, sin = rotary(k, torch.arange(q.shape[1])[None], *of_layer)
    turn, turned = sys.modules[type(block).__module__].apply_rotary_pos_emb, cos.shape[-1]
    new = turn(q[..., :turned].transpose(1, 2), k[..., :turned].transpose(1, 2), cos, sin)
    return tuple(torch.cat([x.transpose(1, 2), old[..., turned:]], dim=-1) for x, old in zip(new, (q, k), strict=True))


def normed(norm, value):
    """A norm of one head's values, or of all heads': then with one head of each other group, of its own place."""
    d_head = value.shape[-1]
    n = norm.weight.shape[0] // d_head
    if n == 1:
        return norm(value)
    copies = value.shape[2] // n
    result = value.clone()
    for place in range(copies):
        heads = slice(place, None, copies)
        result[:, :, heads] = norm(value[:, :, heads].flatten(-2)).unflatten(-1, (n, d_head))
    return result
