"""Step 1 for many senders at once: how their corrupt values change the residual stream at every layer, by the route."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hc_interp.components import EMBED, MLP, Component, End, Head, by_component
from hc_interp.interventions.path_steps import PathBatch
from hc_interp.models.site import Site
from hc_interp.patching.engine.stack import Edits, Stack
from hc_interp.patching.rows import Members

Stream = Float[Tensor, "sender batch pos d_model"]
Where = Bool[Tensor, "batch pos"] | None  # the positions of a sender; None: all
Senders = dict[Component | End, Where]  # the components of a group


@dataclass(frozen=True)
class LayerChange:
    """What step 1 gives at the input of one layer: the stream, and the `change` of `attention_input` from clean.

    `reached` says at which positions of which pairs the stream can differ from clean, because the corrupt value of some
    sender before the layer does. After the last layer `layer` is the number of layers and `change` is that of the
    stream.
    """

    layer: int
    stream: Stream
    change: Stream
    reached: Bool[Tensor, "sender batch pos"]


@dataclass(frozen=True)
class MLPChange:
    """The change of a receiving MLP's output from clean in step 1."""

    layer: int
    change: Stream


@dataclass(frozen=True)
class StepOne:
    """Step 1 for groups of senders on one batch without padding.

    A change is exactly 0 where no sender's corrupt value can have an influence, because it does not differ from its
    clean value or is at another position; rounding errors there are set to 0.
    """

    stack: Stack
    paths: PathBatch
    edits: Edits
    route: str

    def run(self, groups: Sequence[Members], last: int, mlps: Collection[int]) -> Iterator[LayerChange | MLPChange]:
        """The changes at each layer up to `last`, the input of a layer before its MLP.

        `last` may be the number of layers, for receiver `output`. `mlps` are the layers whose MLPs receive. All results
        share one tensor `reached`, to which later layers add: a result must be used before the next one is asked for.
        """
        clean, n = self.paths.clean, len(groups)
        senders = [self._senders(group) for group in groups]
        start = min(self._first(item) for group in senders for item in group)
        x = clean[Site(start, "resid_pre")].expand(n, -1, -1, -1).clone()
        reached = torch.zeros(x.shape[:3], dtype=torch.bool, device=x.device)
        for index, group in enumerate(senders):
            if EMBED in group:
                x[index] = _at(group[EMBED], self.paths.corrupt[Site.embed()], x[index])
                reached[index] |= self._differs(Site.embed(), group[EMBED])
        for layer in range(start, min(last + 1, self.stack.depth)):
            before = self.stack.attention_input(layer, clean[Site(layer, "resid_pre")])
            yield LayerChange(layer, x, _masked(self.stack.attention_input(layer, x) - before, reached), reached)
            if layer == last and layer not in mlps:
                return
            mid = self._attention(layer, senders, x, reached)
            reads = self.stack.mlp_reads(x, mid)
            if layer in mlps:
                yield MLPChange(layer, self._mlp_change(layer, reads, reached))
            x = self._mlp(layer, senders, reads, mid, reached)
        end = clean[Site(self.stack.depth - 1, "resid_post")]
        if last == self.stack.depth:
            yield LayerChange(last, x, _masked(x - end, reached), reached)

    def _senders(self, group: Members) -> Senders:
        """The components of a group of senders, each with its positions."""
        where = self.paths.where(group)
        return {item: where.get(item) for item in by_component(group)}

    @staticmethod
    def _first(item: Component | End) -> int:
        return 0 if isinstance(item, End) else item.layer

    def _differs(self, site: Site, where: Where, head: int | None = None) -> Bool[Tensor, "batch pos"]:
        """Where the corrupt value of a site (of one head there) differs from the clean value."""
        corrupt, clean = self.paths.corrupt[site], self.paths.clean[site]
        if head is not None:
            corrupt, clean = corrupt[:, :, head], clean[:, :, head]
        differs = (corrupt != clean).any(-1)
        return differs if where is None else differs & where

    def _attention(self, layer: int, groups: Sequence[Senders], x: Stream, reached: Tensor) -> Stream:
        """`resid_mid`; adds to `reached` the positions at which a sending head of this layer is corrupt, and on route
        "all" those that can attend to a reached one."""
        z_site = Site(layer, "z")
        corrupt = self.paths.corrupt[z_site]
        heads = [
            {item.head: where for item, where in group.items() if isinstance(item, Head) and item.layer == layer}
            for group in groups
        ]
        if self.route == "all":
            if reached.any():
                z = self.stack.edited(self.edits, z_site, self.stack.z(layer, x), x.shape[2]).contiguous()
            else:  # the stream is still clean, and so are its heads' z
                z = self.paths.clean[z_site].expand(len(x), -1, -1, -1, -1).clone()
            reached |= self.stack.spread(reached)
            for index, chosen in enumerate(heads):
                for head, where in chosen.items():
                    z[index][:, :, head] = _at(where, corrupt[:, :, head], z[index][:, :, head])
            total = self.stack.attn_out(layer, z) + x
        else:
            total = x + self.paths.clean[Site(layer, "attn_out")]
            for index, chosen in enumerate(heads):
                if chosen:
                    change = (corrupt - self.paths.clean[z_site])[:, :, list(chosen)]
                    for place, where in enumerate(chosen.values()):
                        if where is not None:
                            change[:, :, place] *= where[:, :, None]
                    change = change.flatten(-2) @ self.stack.w_o[layer][list(chosen)].flatten(0, 1)
                    total[index] += self.stack.change_of_attention(layer, change, self.paths.clean[z_site])
        for index, chosen in enumerate(heads):
            for head, where in chosen.items():
                reached[index] |= self._differs(z_site, where, head)
        return self.stack.after_attention(layer, total)

    def _mlp(self, layer: int, groups: Sequence[Senders], reads: Stream, mid: Stream, reached: Tensor) -> Stream:
        """The layer's output; adds to `reached` the positions at which a sending MLP of this layer is corrupt."""
        site = Site(layer, "mlp_out")
        if self.route == "direct":
            total = mid + self.paths.clean[site]
        else:
            total = mid + self.stack.edited(self.edits, site, self.stack.mlp(layer, reads), mid.shape[2])
        for index, group in enumerate(groups):
            if MLP(layer) in group:
                where = group[MLP(layer)]
                total[index] = _at(where, mid[index] + self.paths.corrupt[site], total[index])
                reached[index] |= self._differs(site, where)
        return self.stack.after_mlp(layer, total)

    def _mlp_change(self, layer: int, reads: Stream, reached: Tensor) -> Stream:
        """The change of the MLP's output. Clean is computed again in the same shape, so that it is rounded alike."""
        read = Site(layer, "resid_pre" if self.stack.geometry.parallel else "resid_mid")
        clean = self.paths.clean[read].expand_as(reads)
        after, before = (
            self.stack.edited(self.edits, Site(layer, "mlp_out"), self.stack.mlp(layer, m), m.shape[2])
            for m in (reads, clean)
        )
        return _masked(after - before, reached)


def _masked(change: Stream, reached: Bool[Tensor, "sender batch pos"]) -> Stream:
    """`change`, in place, with 0 at all positions that are not reached."""
    return change.masked_fill_(~reached[..., None], 0)


def _at(where: Where, new: Float[Tensor, "batch pos d"], old: Float[Tensor, "batch pos d"]) -> Tensor:
    """`new` at these positions, else `old`."""
    return new if where is None else torch.where(where[:, :, None], new, old)
