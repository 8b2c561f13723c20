"""Edge attribution: the first-order estimate of direct paths, from backward passes and the Jacobians of norms.

EAP (Syed et al. 2023, arXiv 2310.10348) takes the gradient at a receiver's input times the sender's change. On a
post-norm model the change passes LayerNorms on its way; it is carried by their exact Jacobian-vector products. On a
pre-norm model it stays as it is, and the gradient goes back through the norm that the receiver reads by.

EAP-IG (Hanna et al. 2024, arXiv 2403.17806) is the mean of this over m = `steps` runs. Run k = 1 .. m
enters layer 0 with `corrupt + k/m (clean - corrupt)`, so the last one is the clean run, and one step is EAP. Gradients
and norms are each run's own; the sender's change is `corrupt - clean` in all of them. (The code that the authors
published, github.com/hannamw/EAP-IG, counts k from 0 to m - 1: its first run is the corrupt one, and the clean run is
left out.) It ranks the exact effects of paths worse than EAP does: experiments/README.md has the numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from hc_interp.components import EMBED, MLP, OUTPUT, Head, is_upstream
from hc_interp.interventions.path_steps import INPUTS
from hc_interp.models.forward import by_site
from hc_interp.models.site import Site
from hc_interp.patching.engine.stack import Stack
from hc_interp.patching.engine.step_two import Through
from hc_interp.patching.estimate.gradients import Gradients, gradients
from hc_interp.patching.pair_state import PairState
from hc_interp.patching.rows import Row

CACHE = 2**24  # bytes of tangents and gradients that a CPU works on at once
End = tuple[Any, Through]  # a receiver and its inputs


@dataclass
class Attribution:
    """First-order effects of all rows on one batch without padding.

    A row's estimate is the sum over its senders and receivers: to first order they do not interact. `steps` above 1
    is EAP-IG.
    """

    stack: Stack
    state: PairState
    rows: Sequence[Row]
    steps: int
    memory_mib: int

    def measure(self) -> Float[Tensor, "batch row"]:
        """Estimated effects; exactly 0 where the receivers are not downstream."""
        senders = list(dict.fromkeys(s for row in self.rows for s in row.senders))
        ends = list(dict.fromkeys((r, _through(r, row)) for row in self.rows for r in row.active))
        clean, corrupt = (side[Site.embed()] for side in (self.state.paths.clean, self.state.paths.corrupt))
        batch, length, d_model = clean.shape
        found = torch.zeros(batch, len(self.rows), dtype=self.state.clean_score.dtype, device=self.state.gold.device)
        if not ends:
            return found
        edges = found.new_zeros(len(senders), len(ends), batch)
        edits = by_site(self.state.paths.prefix)
        widest = max(sum(_layer(r) == layer for r, _ in ends) for layer in range(self.stack.depth + 1))
        one = (2 * len(senders) + 2 * widest + 8) * length * d_model * found.element_size()
        on_cpu = found.device.type == "cpu"
        step = max(1, min(batch, (CACHE if on_cpu else self.memory_mib * 2**20) // one))
        for k in range(self.steps, 0, -1):
            slopes = gradients(self.stack, self.state, edits, clean + (1 - k / self.steps) * (corrupt - clean))
            for start in range(0, batch, step):
                self._carry(slice(start, start + step), senders, ends, slopes, edges)
        edges /= self.steps
        place = {s: i for i, s in enumerate(senders)}, {e: i for i, e in enumerate(ends)}
        for column, row in enumerate(self.rows):
            for sender in row.senders:
                for r in row.active:
                    if sender != r and is_upstream(sender, r):
                        found[:, column] += edges[place[0][sender], place[1][r, _through(r, row)]]
        return found

    def _carry(self, part: slice, senders: list, ends: list[End], slopes: Gradients, edges: Tensor) -> None:
        """Add the products of all senders' tangents, layer by layer, with the gradients of the ends they reach."""
        on_way: list[int] = []
        tangents: list[Tensor] = []

        def join(item: Any, tangent: Tensor) -> None:
            on_way.append(senders.index(item))
            tangents.append(tangent)

        def arrive(receivers: list[End], gradient: list[Tensor]) -> None:
            if receivers and tangents:
                columns = [ends.index(end) for end in receivers]
                left, right = (torch.stack(values, dim=1).flatten(2) for values in (tangents, gradient))
                products = torch.bmm(left, right.mT).permute(1, 2, 0)
                edges[torch.tensor(on_way)[:, None], torch.tensor(columns), part] += products.to(edges.dtype)

        n = self.stack.depth
        if EMBED in senders:
            join(EMBED, self._change(Site.embed())[part])
        for layer in range(n):
            heads = [end for end in ends if isinstance(end[0], Head) and end[0].layer == layer]
            arrive(heads, [self._head_gradient(end, slopes, part) for end in heads])
            change = self._change(Site(layer, "z"))[part]
            for item in senders:
                if isinstance(item, Head) and item.layer == layer:
                    join(item, change[:, :, item.head] @ self.stack.w_o[layer][item.head])
            seen = self.stack.read if layer == n - 1 else slice(None)  # nothing after reads another position
            tangents[:] = [tangent[:, seen] for tangent in tangents]
            tangents[:] = self.stack.carry_attention(layer, slopes.attention_sum[layer][part], tangents)
            mlps = [end for end in ends if end[0] == MLP(layer)]
            arrive(mlps, [slopes.mlp[layer][part]] if mlps else [])
            if MLP(layer) in senders:
                join(MLP(layer), self._change(Site(layer, "mlp_out"))[part, seen])
            tangents[:] = self.stack.carry_mlp(layer, slopes.mlp_sum[layer][part], tangents)
        outputs = [end for end in ends if end[0] == OUTPUT]
        arrive(outputs, [slopes.output[part]] if outputs else [])

    def _change(self, site: Site) -> Tensor:
        return self.state.paths.corrupt[site] - self.state.paths.clean[site]

    def _head_gradient(self, end: End, slopes: Gradients, part: slice) -> Float[Tensor, "batch pos d_model"]:
        """The gradient at the stream that the head reads, through its named inputs."""
        head, through = end
        names = [name for name in INPUTS if name in through]
        gradient = torch.cat([slopes.qkv[head.layer][part, :, INPUTS.index(name), head.head] for name in names], dim=-1)
        gradient = gradient @ torch.cat([self.stack.by_head(head.layer, name)[head.head] for name in names])
        return self.stack.to_stream(head.layer, slopes.stream[head.layer][part], gradient)


def _through(receiver: Any, row: Row) -> Through:
    return row.through if isinstance(receiver, Head) else ()


def _layer(receiver: Any) -> int:
    return receiver.layer if isinstance(receiver, Head | MLP) else -1
