"""`Stack`: a model as functions on tensors `[path, batch, pos, ...]`, one function for each part of a layer.

The batch has no padding, so that no key is masked for it. The fast engine calls only the parts that it needs. Weights
are the module's own; products of weights are computed once and kept. `EncoderStack` (LayerNorm after attention and
after the MLP) and `DecoderStack` (norms before them) say what each part computes.

The axis `seen` has all positions, or only the position that the output reads. `resid_mid` is the residual stream
after attention was added. The MLP reads it, except in a parallel layer, where the MLP reads the stream that enters.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from hc_interp.components import MLP, Component, Head
from hc_interp.interventions.path_steps import SiteValues
from hc_interp.models.attention_rule import Heads
from hc_interp.models.hooked import HookedModel
from hc_interp.models.site import Site
from hc_interp.patching.engine.kernels import linear

ComponentValues = Mapping[Component, Tensor]
Edits = Mapping[Site, Sequence[Callable[[Tensor], Tensor]]]  # of interventions on components


class Held(NamedTuple):
    """The value of a component that step 3 fixes, at all positions or only where it stands at a role."""

    value: Float[Tensor, "path batch pos d"]
    where: Bool[Tensor, "batch pos"] | None


Fixed = Mapping[Component, Held]


class Stack(ABC):
    """A model whose output reads one position, `at`: 0 in an encoder, counted from the end (-1) in a decoder."""

    at: int

    def __init__(self, model: HookedModel) -> None:
        self.model, self.geometry = model, model.geometry
        layers = range(model.n_layers)
        self.w_o: list[Float[Tensor, "head d_head d_model"]] = [self.geometry.w_out(i) for i in layers]
        self._o = [(self.geometry.weight(i, "o"), self.geometry.bias(i, "o")) for i in layers]

    @property
    def depth(self) -> int:
        """The number of layers."""
        return len(self.w_o)

    @property
    def read(self) -> slice:
        """The position that the output reads, as a slice: an index with it keeps the axis."""
        return slice(self.at, self.at + 1 or None)

    @abstractmethod
    def attention_input(self, layer: int, x: Float[Tensor, "*rows d_model"]) -> Float[Tensor, "*rows d_model"]:
        """The input of the q, k and v projections, from the stream that enters the layer."""

    @abstractmethod
    def after_attention(self, layer: int, total: Float[Tensor, "*rows d_model"]) -> Float[Tensor, "*rows d_model"]:
        """`resid_mid`, from the sum of the stream that enters the layer and attention's output."""

    @abstractmethod
    def after_mlp(self, layer: int, total: Float[Tensor, "*rows d_model"]) -> Float[Tensor, "*rows d_model"]:
        """The layer's output, from the sum of `resid_mid` and the MLP's output."""

    @abstractmethod
    def project(self, layer: int, x: Float[Tensor, "*rows pos d_model"]) -> Float[Tensor, "*rows pos 3 head d_head"]:
        """q, k and v of all heads, from `attention_input`."""

    @abstractmethod
    def by_head(self, layer: int, name: str) -> Float[Tensor, "head d_head d_model"]:
        """The weights of q, k or v, head by head."""

    @abstractmethod
    def attention(
        self, layer: int, q: Tensor, k: Tensor, v: Tensor, heads: Heads = None
    ) -> Float[Tensor, "*rows pos head d_head"]:
        """The `z` of all heads, or of `heads`, from their q, k and v `[*rows, pos, head, d_head]`."""

    @abstractmethod
    def z_read(self, layer: int, x: Float[Tensor, "*rows pos d_model"]) -> Float[Tensor, "*rows 1 head d_head"]:
        """All heads' `z` at the read position alone, from the stream that enters the layer."""

    @abstractmethod
    def mlp(self, layer: int, mid: Float[Tensor, "*rows d_model"]) -> Float[Tensor, "*rows d_model"]:
        """What the MLP adds to the stream, from the stream that it reads."""

    @abstractmethod
    def logits(self, row: Float[Tensor, "*rows d_model"]) -> Float[Tensor, "*rows class"]:
        """Class logits, from the last layer's output at the read position."""

    @abstractmethod
    def attention_jvp(
        self, layer: int, total: Float[Tensor, "batch seen d_model"], tangents: Sequence[Tensor]
    ) -> list[Float[Tensor, "batch seen d_model"]]:
        """The Jacobian of `after_attention` at `total` times each tangent `[batch, seen, d_model]`."""

    @abstractmethod
    def mlp_jvp(
        self, layer: int, total: Float[Tensor, "batch seen d_model"], tangents: Sequence[Tensor]
    ) -> list[Float[Tensor, "batch seen d_model"]]:
        """The Jacobian of `after_mlp` at `total` times each tangent `[batch, seen, d_model]`."""

    @abstractmethod
    def attention_input_vjp(
        self, layer: int, x: Float[Tensor, "batch pos d_model"], gradient: Float[Tensor, "batch pos d_model"]
    ) -> Float[Tensor, "batch pos d_model"]:
        """The gradient at the stream `x` that enters the layer, from the gradient at `attention_input`."""

    def mlp_reads(self, x: Tensor, mid: Tensor) -> Tensor:
        """The stream that the MLP of a layer reads: the one that enters a parallel layer, else `resid_mid`."""
        return x if self.geometry.parallel else mid

    def change_of_attention(
        self, layer: int, change: Float[Tensor, "*path batch seen d_model"], z: Float[Tensor, "batch seen head d_head"]
    ) -> Float[Tensor, "*path batch seen d_model"]:
        """The change of `attn_out`, from the change of the output projection and clean's `z`."""
        if self.geometry.family.attn_norm is None:
            return change
        clean = self.o_out(layer, z)
        return self.geometry.attention_added(layer, clean + change) - self.geometry.attention_added(layer, clean)

    def head_jvp(
        self, layer: int, out: Float[Tensor, "batch seen d_model"], tangent: Float[Tensor, "batch seen d_model"]
    ) -> Float[Tensor, "batch seen d_model"]:
        """The Jacobian of `attn_out` at the output `out` of the output projection times a tangent of that.

        Only in a family that normalises this output is it not the tangent itself.
        """
        return torch.func.jvp(self.geometry.part("attn_norm", layer), (out,), (tangent,))[1]

    def mlp_cache(self, layer: int, sums: Float[Tensor, "batch pos d_model"], clean: SiteValues) -> Tensor | None:
        """A tensor that `mid_and_mlp` needs, from clean's sum of stream and attention; computed once per batch."""
        return None

    def mid_and_mlp(
        self,
        layer: int,
        sums: Float[Tensor, "batch seen d_model"],
        cache: Tensor | None,
        heads: list[int],
        change: Float[Tensor, "path batch seen inner"],
    ) -> tuple[Float[Tensor, "path batch seen d_model"], Float[Tensor, "path batch seen d_model"]]:
        """`resid_mid` and the MLP's output when the `z` of `heads` differ from clean by `change`.

        `sums` is clean's sum of the stream and attention's output. The heads' changes are concatenated along `inner`.
        """
        mid = self.after_attention(layer, (change @ self.w_o[layer][heads].flatten(0, 1)).add_(sums))
        return mid, self.mlp(layer, mid)

    def z(self, layer: int, x: Float[Tensor, "*rows pos d_model"]) -> Float[Tensor, "*rows pos head d_head"]:
        """All heads' `z`, from the stream that enters the layer."""
        q, k, v = self.project(layer, self.attention_input(layer, x)).unbind(-3)
        return self.attention(layer, q, k, v)

    def o_out(self, layer: int, z: Float[Tensor, "*rows head d_head"]) -> Float[Tensor, "*rows d_model"]:
        """The output of the output projection, from all heads' `z`."""
        return linear(z.flatten(-2), *self._o[layer])

    def attn_out(self, layer: int, z: Float[Tensor, "*rows head d_head"]) -> Float[Tensor, "*rows d_model"]:
        """What attention adds to the stream, from all heads' `z`."""
        return self.geometry.attention_added(layer, self.o_out(layer, z))

    def values(
        self, x: Float[Tensor, "batch pos d_model"], edits: Edits
    ) -> tuple[SiteValues, Float[Tensor, "batch class"]]:
        """A whole run from `x`, the input of layer 0: the values at all sites that a sweep uses, and the logits."""
        values = {Site.embed(): x}
        for i in range(self.depth):
            x, layer_values = self.layer_values(i, x, edits)
            values |= layer_values
        values[Site(self.depth - 1, "resid_post")] = x
        return values, self.logits(x[:, self.at])

    def layer_values(
        self, layer: int, x: Float[Tensor, "batch pos d_model"], edits: Edits
    ) -> tuple[Float[Tensor, "batch pos d_model"], SiteValues]:
        """A layer's output and the values at its sites, from the stream that enters it."""
        length = x.shape[1]
        q, k, v = self.project(layer, self.attention_input(layer, x)).unbind(-3)
        z = self.edited(edits, Site(layer, "z"), self.attention(layer, q, k, v)[None], length)[0]
        attn_out = self.attn_out(layer, z)
        mid = self.after_attention(layer, x + attn_out)
        mlp_out = self.mlp(layer, self.mlp_reads(x, mid))
        mlp_out = self.edited(edits, Site(layer, "mlp_out"), mlp_out[None], length)[0]
        values = {"resid_pre": x, "q": q, "k": k, "v": v, "z": z, "attn_out": attn_out, "resid_mid": mid}
        values["mlp_out"] = mlp_out
        return self.after_mlp(layer, mid + mlp_out), {Site(layer, kind): value for kind, value in values.items()}

    def layer(
        self,
        layer: int,
        x: Float[Tensor, "path batch pos d_model"],
        edits: Edits,
        fixed: Fixed,
        *,
        last: bool,
    ) -> Float[Tensor, "path batch seen d_model"]:
        """The layer's output, from the stream that enters it; components in `fixed` keep these values.

        The `last` layer is computed at the read position alone.
        """
        length = x.shape[-2]
        z = self.edited(edits, Site(layer, "z"), self.z_read(layer, x) if last else self.z(layer, x), length)
        for item, value in fixed.items():
            if isinstance(item, Head) and item.layer == layer:
                z[..., item.head, :] = self.held(value, z[..., item.head, :])
        x = x[:, :, self.read] if last else x
        mid = self.after_attention(layer, self.attn_out(layer, z).add_(x))
        return self.finish_layer(layer, self.mlp_reads(x, mid), mid, edits, fixed, length)

    def finish_layer(
        self,
        layer: int,
        reads: Float[Tensor, "path batch seen d_model"],
        mid: Float[Tensor, "path batch seen d_model"],
        edits: Edits,
        fixed: Fixed,
        length: int,
    ) -> Float[Tensor, "path batch seen d_model"]:
        """The layer's output, from the stream that its MLP reads and `resid_mid`, to which the MLP adds.

        An MLP in `fixed` keeps its value. `length` counts all positions.
        """
        held = fixed.get(MLP(layer))
        if held is not None and held.where is None:
            return self.after_mlp(layer, mid + self.at_seen(held.value, mid.shape[2]))
        out = self.edited(edits, Site(layer, "mlp_out"), self.mlp(layer, reads), length)
        out = out if held is None else self.held(held, out)
        return self.after_mlp(layer, out.add_(mid))

    def held(self, fixed: Held, computed: Float[Tensor, "path batch seen d"]) -> Float[Tensor, "path batch seen d"]:
        """The fixed value where it is fixed, and elsewhere the one that was computed."""
        value = self.at_seen(fixed.value, computed.shape[2])
        if fixed.where is None:
            return value
        return torch.where(self.at_seen(fixed.where[None, :, :, None], computed.shape[2]), value, computed)

    def spread(self, reached: Bool[Tensor, "*rows pos"]) -> Bool[Tensor, "*rows pos"]:
        """The positions that can attend to one of these: from the first of them on, or in an encoder all of the row."""
        if self.geometry.family.causal:
            return reached.cumsum(-1) > 0
        return reached.any(-1, keepdim=True).expand_as(reached)

    def at_seen(self, value: Shaped[Tensor, "path batch pos ..."], n: int) -> Shaped[Tensor, "path batch seen ..."]:
        """The value at the `n` computed positions: all of them, or the read position alone."""
        return value if value.shape[2] == n else value[:, :, self.read]

    def edited(self, edits: Edits, site: Site, value: Float[Tensor, "path batch seen ..."], length: int) -> Tensor:
        """A component's value after the interventions' edits at its site, path by path.

        Means may differ by position, so an edit is always called with all `length` positions: a value at the read
        position alone is repeated for it, and only the read position of the result is kept. That is exact because
        the edits of Keep, Ablate, SoftMask and Scale act on each position separately.
        """
        if site not in edits:
            return value
        results: list[Tensor] = []
        for one in value:
            one = one.expand(-1, length, *one.shape[2:])
            for fn in edits[site]:
                one = fn(one).to(value.dtype)
            results.append(one)
        return self.at_seen(torch.stack(results), value.shape[2])
