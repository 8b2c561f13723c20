"""Step 1 for many senders at once: their change, carried by the route to every layer's receivers."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hc_interp.components import EMBED, MLP, End, Head
from hc_interp.interventions.path_steps import PathBatch
from hc_interp.models.site import Site
from hc_interp.patching.engine.stack import Edits, Stack
from hc_interp.patching.rows import Members

Stream = Float[Tensor, "sender batch pos d_model"]


@dataclass(frozen=True)
class Arrived:
    """What reaches one layer: the stream, the change of what its heads read of it, and where there is any.

    `mlp` is how much the layer's MLP, if it receives, would change its output. After the last layer `layer` is the
    number of layers and `stream` what the classifier reads.
    """

    layer: int
    stream: Stream
    change: Stream
    reached: Bool[Tensor, "sender batch"]


@dataclass(frozen=True)
class MLPArrived:
    """How much a receiving MLP would change its output."""

    layer: int
    change: Stream


@dataclass(frozen=True)
class StepOne:
    """Step 1 of groups of senders on one batch without padding.

    A change is exactly 0 where no sender's corrupt value differs from its clean one: there nothing is left to rounding.
    """

    stack: Stack
    paths: PathBatch
    edits: Edits
    route: str

    def run(self, groups: Sequence[Members], last: int, mlps: Collection[int]) -> Iterator[Arrived | MLPArrived]:
        """What arrives at each layer up to `last` (the number of layers: at the classifier), heads before MLP."""
        clean, n = self.paths.clean, len(groups)
        start = min(self._first(item) for group in groups for item in group)
        x = clean[Site(start, "resid_pre")].expand(n, -1, -1, -1).clone()
        reached = torch.zeros(n, x.shape[1], dtype=torch.bool, device=x.device)
        for place, group in enumerate(groups):
            if EMBED in group:
                x[place] = self.paths.corrupt[Site.embed()]
                reached[place] |= self._differs(Site.embed())
        for layer in range(start, min(last + 1, self.stack.depth)):
            before = self.stack.attention_reads(layer, clean[Site(layer, "resid_pre")])
            yield Arrived(layer, x, _kept(self.stack.attention_reads(layer, x) - before, reached), reached)
            if layer == last and layer not in mlps:
                return
            mid = self._attend(layer, groups, x, reached)
            if layer in mlps:
                yield MLPArrived(layer, self._mlp_change(layer, mid, reached))
            x = self._feed(layer, groups, mid, reached)
        end = clean[Site(self.stack.depth - 1, "resid_post")]
        if last == self.stack.depth:
            yield Arrived(last, x, _kept(x - end, reached), reached)

    @staticmethod
    def _first(item: Head | MLP | End) -> int:
        return 0 if isinstance(item, End) else item.layer

    def _differs(self, site: Site, head: int | None = None) -> Bool[Tensor, " batch"]:
        left, right = self.paths.corrupt[site], self.paths.clean[site]
        if head is not None:
            left, right = left[:, :, head], right[:, :, head]
        return (left != right).flatten(1).any(1)

    def _attend(self, layer: int, groups: Sequence[Members], x: Stream, reached: Tensor) -> Stream:
        """The stream after attention and its LayerNorm; `reached` learns of the senders among this layer's heads."""
        z_site = Site(layer, "z")
        corrupt = self.paths.corrupt[z_site]
        heads = [[item.head for item in group if isinstance(item, Head) and item.layer == layer] for group in groups]
        if self.route == "all":
            if reached.any():
                z = self.stack.edited(self.edits, z_site, self.stack.z(layer, x), x.shape[2]).contiguous()
            else:  # the stream is still clean, and so is what its heads put out
                z = self.paths.clean[z_site].expand(len(x), -1, -1, -1, -1).clone()
            for place, chosen in enumerate(heads):
                z[place][:, :, chosen] = corrupt[:, :, chosen]
            u = self.stack.attn_out(layer, z) + x
        else:
            u = x + self.paths.clean[Site(layer, "attn_out")]
            for place, chosen in enumerate(heads):
                if chosen:
                    change = (corrupt - self.paths.clean[z_site])[:, :, chosen]
                    u[place] += change.flatten(-2) @ self.stack.w_o[layer][chosen].flatten(0, 1)
        for place, chosen in enumerate(heads):
            for head in chosen:
                reached[place] |= self._differs(z_site, head)
        return self.stack.after_attention(layer, u)

    def _feed(self, layer: int, groups: Sequence[Members], mid: Stream, reached: Tensor) -> Stream:
        """The stream after the MLP and its LayerNorm."""
        site = Site(layer, "mlp_out")
        if self.route == "direct":
            out = mid + self.paths.clean[site]
        else:
            out = mid + self.stack.edited(self.edits, site, self.stack.mlp(layer, mid), mid.shape[2])
        for place, group in enumerate(groups):
            if MLP(layer) in group:
                out[place] = mid[place] + self.paths.corrupt[site]
                reached[place] |= self._differs(site)
        return self.stack.after_mlp(layer, out)

    def _mlp_change(self, layer: int, mid: Stream, reached: Tensor) -> Stream:
        """Against clean of the same shape, so that both are rounded by the same kernel."""
        clean = self.paths.clean[Site(layer, "resid_mid")].expand_as(mid)
        values = (
            self.stack.edited(self.edits, Site(layer, "mlp_out"), self.stack.mlp(layer, m), m.shape[2])
            for m in (mid, clean)
        )
        after, before = values
        return _kept(after - before, reached)


def _kept(change: Tensor, reached: Tensor) -> Tensor:
    return change.masked_fill_(~reached[:, :, None, None], 0)
