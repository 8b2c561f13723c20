"""Edge attribution: the first-order estimate of direct paths, from backward passes and the Jacobians of norms.

EAP (Syed et al. 2023, arXiv 2310.10348) multiplies the gradient at a receiver's input by the sender's change. On a
post-norm model LayerNorms lie between sender and receiver: the change is multiplied by their exact Jacobians. On a
pre-norm model the change reaches the receiver unchanged, and the gradient is propagated back through the norm of the
receiver's layer.

EAP-IG (Hanna et al. 2024, arXiv 2403.17806) is the mean of these estimates over m = `steps` runs. Run k = 1 .. m starts
layer 0 with `corrupt + k/m (clean - corrupt)`. The last run is the clean one, and one step is EAP. Each run has its own
gradients and norms; the sender's change is `corrupt - clean` in all runs. (The code that the authors published,
github.com/hannamw/EAP-IG, counts k from 0 to m - 1: its first run is the corrupt one, and it has no clean run.) EAP-IG
ranks the exact effects of paths worse than EAP does: experiments/results/eap.md has the numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from hc_interp.components import EMBED, MLP, OUTPUT, Component, End, Head, by_component
from hc_interp.interventions.path_steps import INPUTS
from hc_interp.models.forward import by_site
from hc_interp.models.site import Site
from hc_interp.patching.engine.stack import Stack
from hc_interp.patching.engine.step_two import Through
from hc_interp.patching.estimate.gradients import Gradients, gradients
from hc_interp.patching.pair_state import PairState
from hc_interp.patching.rows import Row

CACHE = 2**24  # bytes of tangents and gradients that a CPU works on at once
Roles = tuple[str, ...]  # empty: at all positions
Sender = tuple[Component | End, Roles]
Target = tuple[Component | End, Roles, Through]  # a receiver and its named inputs


@dataclass
class Attribution:
    """First-order effects of all rows on one batch without padding.

    A row's estimate is the sum over its senders and receivers, which do not interact to first order. Of a sender at a
    role the change is taken there alone, and of a receiver at a role the effect of its value there. `steps` above 1
    is EAP-IG. `memory_mib` bounds the tangents and gradients that a GPU holds at once, in MiB.
    """

    stack: Stack
    state: PairState
    rows: Sequence[Row]
    steps: int
    memory_mib: int

    def measure(self) -> Float[Tensor, "batch row"]:
        """Estimated effects; exactly 0 where the receivers are not downstream."""
        sending = [list(by_component(row.senders).items()) for row in self.rows]
        receiving = [
            [(r, roles, _through(r, row)) for r, roles in by_component(row.active).items()] for row in self.rows
        ]
        senders = list(dict.fromkeys(sender for group in sending for sender in group))
        targets = list(dict.fromkeys(target for group in receiving for target in group))
        clean, corrupt = (side[Site.embed()] for side in (self.state.paths.clean, self.state.paths.corrupt))
        batch, length, d_model = clean.shape
        score = self.state.clean_score
        effects = torch.zeros(batch, len(self.rows), dtype=score.dtype, device=score.device)
        if not targets:
            return effects
        edges = effects.new_zeros(len(senders), len(targets), batch)
        edits = by_site(self.state.paths.prefix)
        widest = max(sum(_layer(r) == layer for r, *_ in targets) for layer in range(self.stack.depth + 1))
        bytes_per_pair = (2 * len(senders) + 2 * widest + 8) * length * d_model * effects.element_size()
        on_cpu = effects.device.type == "cpu"
        step = max(1, min(batch, (CACHE if on_cpu else self.memory_mib * 2**20) // bytes_per_pair))
        at = {(item.layer, roles) for item, roles, _ in targets if isinstance(item, Head) and roles}
        for k in range(self.steps, 0, -1):
            slopes = gradients(self.stack, self.state, edits, clean + (1 - k / self.steps) * (corrupt - clean), at)
            for start in range(0, batch, step):
                self._add_products(slice(start, start + step), senders, targets, slopes, edges)
        edges /= self.steps
        row_of = {sender: i for i, sender in enumerate(senders)}
        column_of = {target: i for i, target in enumerate(targets)}
        for index, row in enumerate(self.rows):
            for sender in sending[index]:
                for target in receiving[index]:
                    if row.leads(sender[0], target[0]):
                        effects[:, index] += edges[row_of[sender], column_of[target]]
        return effects

    def _add_products(
        self, part: slice, senders: list[Sender], targets: list[Target], slopes: Gradients, edges: Tensor
    ) -> None:
        """Add to `edges` `[sender, target, pair]` the products of tangents and gradients, for the pairs `part`.

        The tangent of a sender is its change of the residual stream. It is propagated layer by layer, and multiplied
        by the gradients of the targets that read the stream there.
        """
        rows: list[int] = []  # the senders that have a tangent so far
        tangents: list[Tensor] = []

        row_of = {sender: row for row, sender in enumerate(senders)}
        column_of = {target: column for column, target in enumerate(targets)}

        def add_senders(item: Component | End, tangent: Tensor, seen: slice) -> None:
            for sender in senders:
                if sender[0] == item:
                    rows.append(row_of[sender])
                    tangents.append(self._only(tangent, sender[1], part, seen))

        def multiply(reached: list[Target], gradients: list[Tensor]) -> None:
            if reached and tangents:
                columns = [column_of[target] for target in reached]
                left, right = (torch.stack(values, dim=1).flatten(2) for values in (tangents, gradients))
                products = torch.bmm(left, right.mT).permute(1, 2, 0)
                edges[torch.tensor(rows)[:, None], torch.tensor(columns), part] += products.to(edges.dtype)

        n, everywhere = self.stack.depth, slice(None)
        add_senders(EMBED, self._change(Site.embed())[part], everywhere)
        for layer in range(n):
            heads = [target for target in targets if isinstance(target[0], Head) and target[0].layer == layer]
            multiply(heads, [self._head_gradient(target, slopes, part) for target in heads])
            seen = self.stack.read if layer == n - 1 else everywhere  # only the read position reaches the output
            tangents[:] = [tangent[:, seen] for tangent in tangents]
            mlps = [target for target in targets if target[0] == MLP(layer)]
            parallel = self.stack.geometry.parallel
            into_mlp = [self._only(slopes.mlp[layer][part], roles, part, seen) for _, roles, _ in mlps]
            if parallel:  # the MLP reads what enters the layer
                multiply(mlps, into_mlp)
            change = self._change(Site(layer, "z"))[part]
            for item in dict.fromkeys(item for item, _ in senders if isinstance(item, Head) and item.layer == layer):
                sent = change[:, seen, item.head] @ self.stack.w_o[layer][item.head]
                if slopes.o_out:
                    sent = self.stack.head_jvp(layer, slopes.o_out[layer][part, seen], sent)
                add_senders(item, sent, seen)
            tangents[:] = self.stack.attention_jvp(layer, slopes.attention_sum[layer][part], tangents)
            if not parallel:
                multiply(mlps, into_mlp)
            add_senders(MLP(layer), self._change(Site(layer, "mlp_out"))[part, seen], seen)
            tangents[:] = self.stack.mlp_jvp(layer, slopes.mlp_sum[layer][part], tangents)
        outputs = [target for target in targets if target[0] == OUTPUT]
        multiply(outputs, [slopes.output[part]] if outputs else [])

    def _only(self, value: Tensor, roles: Roles, part: slice, seen: slice) -> Tensor:
        """A value `[batch, seen, d_model]` of the pairs `part` at the positions of these roles, and 0 elsewhere."""
        return value * self.state.paths.positions(roles)[part, seen, None] if roles else value

    def _change(self, site: Site) -> Tensor:
        """`corrupt - clean` at a site."""
        return self.state.paths.corrupt[site] - self.state.paths.clean[site]

    def _head_gradient(self, target: Target, slopes: Gradients, part: slice) -> Float[Tensor, "batch pos d_model"]:
        """The gradient at the stream that enters the head's layer, through the head's named inputs alone."""
        head, roles, through = target
        assert isinstance(head, Head)
        names = [name for name in INPUTS if name in through]
        if self.stack.geometry.rules[head.layer].joint_norms:
            gradient = self._through_all_heads(head, roles, names, slopes, part)
            return self.stack.attention_input_vjp(head.layer, slopes.stream[head.layer][part], gradient)
        qkv = slopes.qkv_at[head.layer, roles] if roles else slopes.qkv[head.layer]
        gradient = torch.cat([qkv[part, :, INPUTS.index(name), head.head] for name in names], dim=-1)
        gradient = gradient @ torch.cat([self.stack.by_head(head.layer, name)[head.head] for name in names])
        return self.stack.attention_input_vjp(head.layer, slopes.stream[head.layer][part], gradient)

    @torch.enable_grad()
    def _through_all_heads(self, head: Head, roles: Roles, names: list[str], slopes: Gradients, part: slice) -> Tensor:
        """The gradient at the head's inputs where its pattern depends on all heads' q and k: that through its own `z`
        at these roles alone, as the other heads keep theirs."""
        layer = head.layer
        inputs = {name: slopes.inputs[layer][part, :, i].requires_grad_() for i, name in enumerate(INPUTS)}
        z = self.stack.attention(layer, inputs["q"], inputs["k"], inputs["v"])[:, :, head.head]
        wanted = [inputs[name] for name in names]
        at_z = self._only(slopes.z[layer][part, :, head.head], roles, part, slice(None))
        gradients = torch.autograd.grad(z, wanted, at_z)
        weights = [self.stack.by_head(layer, name) for name in names]
        terms = [torch.einsum("bphd,hdm->bpm", *pair) for pair in zip(gradients, weights, strict=True)]
        return torch.stack(terms).sum(0)


def _through(receiver: Component | End, row: Row) -> Through:
    return row.through if isinstance(receiver, Head) else ()


def _layer(receiver: Component | End) -> int:
    return receiver.layer if isinstance(receiver, Head | MLP) else -1
