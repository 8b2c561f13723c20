"""The slow, obvious twin: plain torch hooks on the plain module, and path patching as two runs, word for word.

Nothing here comes from the package but the nouns: module paths, attention and the three steps are written again.
"""

from contextlib import ExitStack
from functools import partial
from itertools import count

import torch
from twin_layers import POST_NORM, attention, family_of, layers_of, parts_of

from hc_interp.components import EMBED, MLP, OUTPUT, At, Head


def on_call(number, hook):
    """The hook at one call of a module that a pass calls several times, counted from 0."""
    calls = count()
    return lambda *given: hook(*given) if next(calls) == number else None


class Twin:
    def __init__(self, module):
        self.module, self.family = module, family_of(module)
        self.layers, self.names = layers_of(module), parts_of(module)
        self.decoder = self.family not in POST_NORM  # pre-norm
        config = module.config
        self.parallel = self.family in ("GPTJ", "Phi") or getattr(config, "use_parallel_residual", False)
        self.added = self.family == "Deberta"
        self.by_head = self.family in (
            "GPTNeoX",
            "Falcon",
            "Deberta",
        )  # q, k and v of a head, or of heads that share k and v
        self.n_heads = config.num_attention_heads
        self.parallel = self.parallel or getattr(config, "parallel_attn", False)
        self.n_kv = getattr(config, "num_key_value_heads", None) or self.n_heads
        if self.family == "Falcon" and not config.new_decoder_architecture and config.multi_query:
            self.n_kv = 1
        elif self.family == "Falcon":
            self.n_kv = config.num_kv_heads
        self.d_head = getattr(config, "head_dim", None) or config.hidden_size // self.n_heads

    def parts(self, layer):
        return {name: self.layers[layer].get_submodule(path) for name, path in self.names.items()}

    def heads(self, flat):
        """All heads' values of one projection; a query head sees its own copy of a shared key or value."""
        split = flat.view(*flat.shape[:2], -1, self.d_head)
        return split.repeat_interleave(self.n_heads // split.shape[2], dim=2)

    def split(self, output):
        """q, k and v in the output of their projections: of one that computes all three, or three times this one."""
        if self.names["q"] != self.names["k"]:
            return output, output, output
        if self.by_head:  # the q of heads that share a k and a v, then these
            by_head = output.view(*output.shape[:-1], self.n_kv, -1, self.d_head)
            return tuple(
                part.flatten(-3) for part in (by_head[..., :-2, :], by_head[..., -2:-1, :], by_head[..., -1:, :])
            )
        return output.split([n * self.d_head for n in (self.n_heads, self.n_kv, self.n_kv)], dim=-1)

    def joined(self, parts):
        if self.by_head:
            return torch.cat([part.unflatten(-1, (self.n_kv, -1, self.d_head)) for part in parts], dim=-2).flatten(-3)
        return torch.cat(parts, dim=-1)

    def project(self, layer, name, value):
        """q, k or v of all heads from what they are projected from."""
        part = self.split(self.parts(layer)[name](value))["qkv".index(name)]
        return self.heads(part.contiguous()) + self.later_bias(layer, name)

    def later_bias(self, layer, name):
        """What DeBERTa v1 adds to q and v after their projection, `[head, d_head]`."""
        part = getattr(self.layers[layer].attention.self, f"{name}_bias") if self.added and name != "k" else None
        return 0 if part is None else part.view(-1, self.d_head)

    def out_weight(self, layer):
        """`[d_model, head * d_head]`"""
        weight = self.parts(layer)["o"].weight
        return weight.T if self.family == "GPT2" else weight

    def run(self, batch, edits=None):
        """`edits[(layer, kind)]` maps a value to its replacement."""
        edits, seen = edits or {}, {}

        def visit(layer, kind, value):
            value = edits.get((layer, kind), lambda v: v)(value)
            seen[layer, kind] = value
            return value

        with ExitStack() as stack, torch.set_grad_enabled(torch.is_grad_enabled()):
            for layer, block in enumerate(self.layers):
                parts, own = self.parts(layer), partial(on_call, self.layers[:layer].count(block))

                def enter(module, args, kwargs, layer=layer):
                    value = args[0] if args else kwargs["hidden_states"]
                    if layer == 0:
                        value = visit(None, "embed", value)
                    value = visit(layer, "resid_pre", value)
                    return ((value, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": value})

                def leave(module, args, output, layer=layer):
                    if isinstance(output, tuple):
                        return (visit(layer, "resid_post", output[0]), *output[1:])
                    return visit(layer, "resid_post", output)

                stack.callback(block.register_forward_pre_hook(own(enter), with_kwargs=True).remove)
                stack.callback(block.register_forward_hook(own(leave)).remove)
                for name in "qkv":

                    def project(module, args, output, layer=layer, name=name):
                        if (layer, name) in seen:
                            return output  # DeBERTa projects distances by the same modules, later
                        place, split = "qkv".index(name), self.split(output)
                        part = split[place].contiguous()
                        bias = self.later_bias(layer, name)
                        value = visit(layer, name, self.heads(part) + bias) - bias
                        if value.shape[2] * self.d_head != part.shape[-1]:
                            return output  # a shared key: its heads part ways in `into_o`
                        new = value.reshape(part.shape)
                        if self.names["q"] != self.names["k"]:
                            return new
                        return self.joined([new if i == place else old for i, old in enumerate(split)])

                    stack.callback(parts[name].register_forward_hook(own(project)).remove)

                def into_o(module, args, layer=layer):
                    z = args[0].view(*args[0].shape[:2], self.n_heads, self.d_head)
                    if self.n_kv != self.n_heads and {(layer, "k"), (layer, "v")} & edits.keys():
                        z = self.attention(*(seen[layer, n] for n in "qkv"), batch.attention_mask, layer)
                    return (visit(layer, "z", z).reshape(args[0].shape),)

                def after_attention(module, args, output, layer=layer):
                    output = visit(layer, "attn_out", output)
                    if not self.decoder or self.parallel:
                        return output
                    before = seen[layer, "resid_pre"]
                    mid = before + output
                    return output + (visit(layer, "resid_mid", mid) - mid)

                def after_mlp(module, args, output, layer=layer):
                    whole = output.view(*batch.input_ids.shape, -1)  # OPT has rows and positions in one axis
                    return visit(layer, "mlp_out", whole).view(output.shape).clone()  # Falcon adds to it in place

                def after_norm(module, args, output, layer=layer):
                    return visit(layer, "normed" if self.decoder else "resid_mid", output)

                stack.callback(parts["o"].register_forward_pre_hook(own(into_o)).remove)
                stack.callback(parts.get("attn_out", parts["o"]).register_forward_hook(own(after_attention)).remove)
                stack.callback(parts.get("mlp_out", parts["mlp"]).register_forward_hook(own(after_mlp)).remove)
                if "ln" in parts:
                    stack.callback(parts["ln"].register_forward_hook(own(after_norm)).remove)
            inputs = {"attention_mask": batch.attention_mask}
            if (getattr(self.module.config, "type_vocab_size", 0) or 0) > 1 and batch.token_type_ids is not None:
                inputs["token_type_ids"] = batch.token_type_ids
            logits = self.module(batch.input_ids, **inputs).logits
        return logits, seen

    def attention(self, q, k, v, mask, layer=0):
        """z of all heads, `[batch, pos, head, d_head]`."""
        return attention(self.module, q, k, v, mask, layer)

    def path(
        self, clean, corrupt, senders, receivers, through, route, corrupt_values=None, base_edits=None, roles=None
    ):
        """Logits of step 3 (of step 1 where `output` receives), and the receivers' new values at all positions.

        `roles[role]` `[batch, pos]` says where an end at this role stands.
        """
        base = base_edits or {}

        def bare(item):
            return item.whole if isinstance(item, At) else item

        def stands(item):
            everywhere = torch.ones_like(clean.input_ids, dtype=torch.bool)
            return (roles[item.role] if isinstance(item, At) else everywhere)[:, :, None]

        def put(item, new, old):
            return torch.where(stands(item), new, old)

        _, c = self.run(clean, base)
        x = corrupt_values if corrupt_values is not None else self.run(corrupt, base)[1]
        n = len(self.layers)

        # step 1
        edits, computed = dict(base), {}
        for sender in senders:
            if bare(sender) == EMBED:
                before = edits.get((None, "embed"), lambda value: value)
                edits[None, "embed"] = lambda value, s=sender, f=before: put(s, x[None, "embed"], f(value))
        for layer in range(n):
            mine = [s for s in senders if isinstance(bare(s), Head) and bare(s).layer == layer]

            def z_edit(value, layer=layer, mine=mine):
                value = base.get((layer, "z"), lambda v: v)(value)
                new = (value if route == "all" else c[layer, "z"]).clone()
                for sender in mine:
                    head = bare(sender).head
                    new[:, :, head] = put(sender, x[layer, "z"][..., head, :], new[:, :, head])
                return new

            def mlp_edit(value, layer=layer):
                value = base.get((layer, "mlp_out"), lambda v: v)(value)
                computed[layer] = value
                new = c[layer, "mlp_out"] if route == "direct" else value
                for sender in senders:
                    if bare(sender) == MLP(layer):
                        new = put(sender, x[layer, "mlp_out"], new)
                return new

            edits[layer, "z"], edits[layer, "mlp_out"] = z_edit, mlp_edit
        logits, seen = self.run(clean, edits)
        if OUTPUT in receivers:
            return logits, {}

        # step 2
        new = {}
        for receiver in dict.fromkeys(map(bare, receivers)):
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
            mine = [r for r in receivers if isinstance(bare(r), Head) and bare(r).layer == layer]

            def hold(value, layer=layer, mine=mine):
                value = base.get((layer, "z"), lambda v: v)(value).clone()
                for receiver in mine:
                    head = bare(receiver).head
                    value[:, :, head] = put(receiver, new[bare(receiver)], value[:, :, head])
                return value

            def hold_mlp(value, layer=layer):
                value = base.get((layer, "mlp_out"), lambda v: v)(value)
                for receiver in receivers:
                    if bare(receiver) == MLP(layer):
                        value = put(receiver, new[MLP(layer)], value)
                return value

            edits[layer, "z"] = hold
            if MLP(layer) in new:
                edits[layer, "mlp_out"] = hold_mlp
        return self.run(clean, edits)[0], new
