"""The slow, obvious twin: plain torch hooks on the plain module, and path patching as two runs, word for word.

Nothing here comes from the package but the nouns: module paths, attention and the three steps are written again.
"""

import math
import re
from contextlib import ExitStack

import torch

from hc_interp.components import EMBED, MLP, OUTPUT, Head

# Of the same layers: every family of a line has the attributes of its first.
LAYERS = {
    "bert.encoder.layer": ("Bert",),
    "roberta.encoder.layer": ("Roberta", "XLMRoberta", "Camembert"),
    "electra.encoder.layer": ("Electra",),
    "distilbert.transformer.layer": ("DistilBert",),
    "transformer.h": ("GPT2",),
    "model.layers": ("Llama", "Mistral", "Qwen2", "Qwen3", "Gemma", "Olmo", "SmolLM3"),
}
PATHS = {family: path for path, families in LAYERS.items() for family in families}


class Twin:
    def __init__(self, module):
        self.module = module
        name = type(module).__name__
        path = PATHS[re.sub("(For|LMHead).*", "", name)]
        self.layers = module.get_submodule(path)
        self.distil, self.gpt2, self.llama = "Distil" in name, "GPT2" in name, path == "model.layers"
        self.decoder = self.gpt2 or self.llama
        config = module.config
        self.n_heads = config.num_attention_heads
        self.n_kv = config.num_key_value_heads if self.llama else self.n_heads
        self.d_head = getattr(config, "head_dim", None) or config.hidden_size // self.n_heads

    def parts(self, layer):
        block = self.layers[layer]
        if self.gpt2:
            a, m = block.attn, block.mlp
            return {"q": a.c_attn, "k": a.c_attn, "v": a.c_attn, "o": a.c_proj, "mlp": m.c_proj, "ln": block.ln_1}
        if self.llama:
            a, m = block.self_attn, block.mlp
            return {
                "q": a.q_proj, "k": a.k_proj, "v": a.v_proj, "o": a.o_proj, "mlp": m.down_proj,
                "ln": block.input_layernorm,
            }  # fmt: skip
        a = block.attention
        if self.distil:
            return {
                "q": a.q_lin, "k": a.k_lin, "v": a.v_lin, "o": a.out_lin, "mlp": block.ffn.lin2,
                "ln": block.sa_layer_norm,
            }  # fmt: skip
        return {
            "q": a.self.query, "k": a.self.key, "v": a.self.value, "o": a.output.dense, "mlp": block.output.dense,
            "ln": a.output.LayerNorm,
        }  # fmt: skip

    def heads(self, flat):
        """All heads' values of one projection; a query head sees its own copy of a shared key or value."""
        split = flat.view(*flat.shape[:2], -1, self.d_head)
        return split.repeat_interleave(self.n_heads // split.shape[2], dim=2)

    def project(self, layer, name, value):
        """q, k or v of all heads from what they are projected from."""
        out = self.parts(layer)[name](value)
        return self.heads(out.chunk(3, -1)["qkv".index(name)] if self.gpt2 else out)

    def out_weight(self, layer):
        """`[d_model, head * d_head]`"""
        weight = self.parts(layer)["o"].weight
        return weight.T if self.gpt2 else weight

    def run(self, batch, edits=None):
        """`edits[(layer, kind)]` maps a value to its replacement."""
        edits, seen = edits or {}, {}

        def visit(layer, kind, value):
            value = edits.get((layer, kind), lambda v: v)(value)
            seen[layer, kind] = value
            return value

        with ExitStack() as stack, torch.set_grad_enabled(torch.is_grad_enabled()):
            for layer, block in enumerate(self.layers):
                parts = self.parts(layer)

                def enter(module, args, kwargs, layer=layer):
                    value = args[0] if args else kwargs["hidden_states"]
                    if layer == 0:
                        value = visit(None, "embed", value)
                    value = visit(layer, "resid_pre", value)
                    return ((value, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": value})

                def leave(module, args, output, layer=layer):
                    return visit(layer, "resid_post", output)

                stack.callback(block.register_forward_pre_hook(enter, with_kwargs=True).remove)
                stack.callback(block.register_forward_hook(leave).remove)
                for name in "qkv":

                    def project(module, args, output, layer=layer, name=name):
                        place = "qkv".index(name)
                        part = output.chunk(3, -1)[place] if self.gpt2 else output
                        value = visit(layer, name, self.heads(part))
                        if value.shape[2] * self.d_head != part.shape[-1]:
                            return output  # a shared key: its heads part ways in `into_o`
                        new = value.reshape(part.shape)
                        if not self.gpt2:
                            return new
                        return torch.cat([new if i == place else p for i, p in enumerate(output.chunk(3, -1))], -1)

                    stack.callback(parts[name].register_forward_hook(project).remove)

                def into_o(module, args, layer=layer):
                    z = args[0].view(*args[0].shape[:2], self.n_heads, self.d_head)
                    if self.n_kv != self.n_heads and {(layer, "k"), (layer, "v")} & edits.keys():
                        z = self.attention(*(seen[layer, n] for n in "qkv"), batch.attention_mask, layer)
                    return (visit(layer, "z", z).reshape(args[0].shape),)

                def out_of_o(module, args, output, layer=layer):
                    output = visit(layer, "attn_out", output)
                    if not self.decoder:
                        return output
                    before = seen[layer, "resid_pre"]
                    mid = before + output
                    return output + (visit(layer, "resid_mid", mid) - mid)

                stack.callback(parts["o"].register_forward_pre_hook(into_o).remove)
                stack.callback(parts["o"].register_forward_hook(out_of_o).remove)
                norm = "normed" if self.decoder else "resid_mid"
                for name, kind in (("ln", norm), ("mlp", "mlp_out")):

                    def out(module, args, output, layer=layer, kind=kind):
                        return visit(layer, kind, output)

                    stack.callback(parts[name].register_forward_hook(out).remove)
            inputs = {"attention_mask": batch.attention_mask}
            if (getattr(self.module.config, "type_vocab_size", 0) or 0) > 1 and batch.token_type_ids is not None:
                inputs["token_type_ids"] = batch.token_type_ids
            logits = self.module(batch.input_ids, **inputs).logits
        return logits, seen

    def attention(self, q, k, v, mask, layer=0):
        """z of all heads, `[batch, pos, head, d_head]`."""
        n = q.shape[1]
        hidden = mask[:, None, None, :] == 0
        if self.llama:
            from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

            a = self.layers[layer].self_attn
            if hasattr(a, "q_norm"):
                q, k = a.q_norm(q), a.k_norm(k)
            cos, sin = self.module.model.rotary_emb(v, torch.arange(n)[None])
            if getattr(a, "use_rope", 1) == 0:
                cos, sin = torch.ones_like(cos), torch.zeros_like(sin)
            q, k = (x.transpose(1, 2) for x in apply_rotary_pos_emb(q.transpose(1, 2), k.transpose(1, 2), cos, sin))
        if self.decoder:
            hidden = hidden | torch.ones(n, n).triu(1).bool()
            if (window := getattr(self.module.config, "sliding_window", None)) is not None:
                hidden = hidden | torch.ones(n, n).tril(-window).bool()
        scores = torch.einsum("bqhd,bkhd->bhqk", q, k) / math.sqrt(self.d_head)
        return torch.einsum("bhqk,bkhd->bqhd", scores.masked_fill(hidden, -torch.inf).softmax(-1), v)

    def path(self, clean, corrupt, senders, receivers, through, route, corrupt_values=None, base_edits=None):
        """Logits of step 3 (of step 1 where `output` receives), and the receivers' new values."""
        base = base_edits or {}
        _, c = self.run(clean, base)
        x = corrupt_values if corrupt_values is not None else self.run(corrupt, base)[1]
        n = len(self.layers)

        # step 1
        edits, computed = dict(base), {}
        if EMBED in senders:
            edits[None, "embed"] = lambda value: x[None, "embed"].expand_as(value)
        for layer in range(n):
            mine = [s.head for s in senders if isinstance(s, Head) and s.layer == layer]

            def z_edit(value, layer=layer, mine=mine):
                value = base.get((layer, "z"), lambda v: v)(value)
                new = (value if route == "all" else c[layer, "z"]).clone()
                for head in mine:
                    new[:, :, head] = x[layer, "z"][..., head, :]
                return new

            def mlp_edit(value, layer=layer):
                value = base.get((layer, "mlp_out"), lambda v: v)(value)
                computed[layer] = value
                if MLP(layer) in senders:
                    return x[layer, "mlp_out"].expand_as(value)
                return c[layer, "mlp_out"] if route == "direct" else value

            edits[layer, "z"], edits[layer, "mlp_out"] = z_edit, mlp_edit
        logits, seen = self.run(clean, edits)
        if OUTPUT in receivers:
            return logits, {}

        # step 2
        new = {}
        for receiver in receivers:
            layer = receiver.layer
            if isinstance(receiver, MLP):
                new[receiver] = computed[layer]
                continue
            qkv = [(seen if name in through else c)[layer, name] for name in "qkv"]
            z = self.attention(*qkv, clean.attention_mask, layer)
            z = base.get((layer, "z"), lambda v: v)(z)
            new[receiver] = z[:, :, receiver.head]

        # step 3
        edits = dict(base)
        for layer in range(n):
            mine = {r.head: value for r, value in new.items() if isinstance(r, Head) and r.layer == layer}

            def hold(value, layer=layer, mine=mine):
                value = base.get((layer, "z"), lambda v: v)(value).clone()
                for head, z in mine.items():
                    value[:, :, head] = z
                return value

            edits[layer, "z"] = hold
            if MLP(layer) in new:
                edits[layer, "mlp_out"] = lambda value, layer=layer: new[MLP(layer)]
        return self.run(clean, edits)[0], new
