"""The slow, obvious twin: plain torch hooks on the plain module, and path patching as two runs, word for word.

Nothing here comes from the package but the nouns: module paths, attention and the three steps are written again.
"""

import math
from contextlib import ExitStack

import torch

from hc_interp.components import EMBED, MLP, OUTPUT, Head

PATHS = {
    "BertForSequenceClassification": "bert.encoder.layer",
    "RobertaForSequenceClassification": "roberta.encoder.layer",
    "ElectraForSequenceClassification": "electra.encoder.layer",
    "DistilBertForSequenceClassification": "distilbert.transformer.layer",
}


class Twin:
    def __init__(self, module):
        self.module = module
        self.layers = module.get_submodule(PATHS[type(module).__name__])
        self.distil = "Distil" in type(module).__name__
        self.n_heads = module.config.num_attention_heads
        self.d_head = module.config.hidden_size // self.n_heads

    def parts(self, layer):
        block = self.layers[layer]
        if self.distil:
            a = block.attention
            return {
                "q": a.q_lin,
                "k": a.k_lin,
                "v": a.v_lin,
                "o": a.out_lin,
                "mlp": block.ffn.lin2,
                "ln": block.sa_layer_norm,
            }
        a = block.attention
        return {
            "q": a.self.query, "k": a.self.key, "v": a.self.value, "o": a.output.dense, "mlp": block.output.dense,
            "ln": a.output.LayerNorm,
        }  # fmt: skip

    def heads(self, flat):
        return flat.view(*flat.shape[:2], self.n_heads, self.d_head)

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
                        return visit(layer, name, self.heads(output)).reshape(output.shape)

                    stack.callback(parts[name].register_forward_hook(project).remove)

                def into_o(module, args, layer=layer):
                    return (visit(layer, "z", self.heads(args[0])).reshape(args[0].shape),)

                stack.callback(parts["o"].register_forward_pre_hook(into_o).remove)
                for name, kind in (("o", "attn_out"), ("ln", "resid_mid"), ("mlp", "mlp_out")):

                    def out(module, args, output, layer=layer, kind=kind):
                        return visit(layer, kind, output)

                    stack.callback(parts[name].register_forward_hook(out).remove)
            inputs = {"attention_mask": batch.attention_mask}
            if getattr(self.module.config, "type_vocab_size", 0) > 1 and batch.token_type_ids is not None:
                inputs["token_type_ids"] = batch.token_type_ids
            logits = self.module(batch.input_ids, **inputs).logits
        return logits, seen

    def attention(self, q, k, v, mask):
        """z of all heads, `[batch, pos, head, d_head]`."""
        scores = torch.einsum("bqhd,bkhd->bhqk", q, k) / math.sqrt(self.d_head)
        scores = scores.masked_fill(mask[:, None, None, :] == 0, -torch.inf)
        return torch.einsum("bhqk,bkhd->bqhd", scores.softmax(-1), v)

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
            z = self.attention(*qkv, clean.attention_mask)
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
