"""`Stack`: a model as the fast engine computes with it: functions on `[path, batch, pos, ...]`.

The batch has no padding, so no key is masked for it. Each function is one part of a layer, so that a sweep runs the
parts that it must and no others. Weights are the module's own; what is composed from them is kept. `Encoder` (norms
after attention and MLP) and `Decoder` (norms before them) say what a layer does.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from hc_interp.components import MLP, Component, Head
from hc_interp.models.hooked import HookedModel
from hc_interp.models.site import Site
from hc_interp.patching.engine.kernels import linear

Values = Mapping[Component, Tensor]
Edits = Mapping[Site, Sequence[Callable[[Tensor], Tensor]]]  # of interventions on components


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
        return len(self.w_o)

    @property
    def read(self) -> slice:
        """The position that the output reads, as a slice: its axis stays."""
        return slice(self.at, self.at + 1 or None)

    @abstractmethod
    def attention_reads(self, layer: int, x: Float[Tensor, "*rows d_model"]) -> Float[Tensor, "*rows d_model"]:
        """What q, k and v are projected from, from the stream that enters the layer."""

    @abstractmethod
    def after_attention(self, layer: int, total: Float[Tensor, "*rows d_model"]) -> Float[Tensor, "*rows d_model"]:
        """The stream between attention and MLP, from the sum of the stream before and what attention adds."""

    @abstractmethod
    def after_mlp(self, layer: int, total: Float[Tensor, "*rows d_model"]) -> Float[Tensor, "*rows d_model"]:
        """The layer's output, from the sum of the stream between and what the MLP adds."""

    @abstractmethod
    def project(self, layer: int, read: Float[Tensor, "*rows pos d_model"]) -> Float[Tensor, "*rows pos 3 head d_head"]:
        """q, k and v of all heads."""

    @abstractmethod
    def by_head(self, layer: int, name: str) -> Float[Tensor, "head d_head d_model"]:
        """The weights of q, k or v, head by head."""

    @abstractmethod
    def attention(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Float[Tensor, "*rows pos head d_head"]:
        """Heads' `z` from their q, k and v `[*rows, pos, head, d_head]`."""

    @abstractmethod
    def z_read(self, layer: int, x: Float[Tensor, "*rows pos d_model"]) -> Float[Tensor, "*rows 1 head d_head"]:
        """All heads' `z` at the read position alone, from the stream that enters the layer."""

    @abstractmethod
    def mlp(self, layer: int, mid: Float[Tensor, "*rows d_model"]) -> Float[Tensor, "*rows d_model"]:
        """What the MLP adds, from the stream between."""

    @abstractmethod
    def logits(self, row: Float[Tensor, "*rows d_model"]) -> Float[Tensor, "*rows class"]:
        """Class logits from the last layer's output at the read position."""

    @abstractmethod
    def carry_attention(
        self, layer: int, total: Float[Tensor, "batch pos d_model"], tangents: Sequence[Tensor]
    ) -> list[Float[Tensor, "batch pos d_model"]]:
        """Tangents of the stream, carried from before attention's sum to after it by `after_attention`'s Jacobian."""

    @abstractmethod
    def carry_mlp(
        self, layer: int, total: Float[Tensor, "batch pos d_model"], tangents: Sequence[Tensor]
    ) -> list[Float[Tensor, "batch pos d_model"]]:
        """The same by `after_mlp`'s."""

    @abstractmethod
    def to_stream(
        self, layer: int, x: Float[Tensor, "batch pos d_model"], gradient: Float[Tensor, "batch pos d_model"]
    ) -> Float[Tensor, "batch pos d_model"]:
        """A gradient at `attention_reads`, taken back to the stream `x` that enters the layer."""

    def before_mlp(self, layer: int, sums: Float[Tensor, "batch pos d_model"]) -> Tensor | None:
        """What `moved` needs of the clean sum before the MLP; made once a batch."""
        return None

    def moved(
        self,
        layer: int,
        sums: Float[Tensor, "batch seen d_model"],
        known: Tensor | None,
        heads: list[int],
        change: Float[Tensor, "path batch seen inner"],
    ) -> tuple[Float[Tensor, "path batch seen d_model"], Float[Tensor, "path batch seen d_model"]]:
        """The stream between, and what the MLP adds, when heads' `z` (side by side in `change`) move from clean."""
        mid = self.after_attention(layer, (change @ self.w_o[layer][heads].flatten(0, 1)).add_(sums))
        return mid, self.mlp(layer, mid)

    def z(self, layer: int, x: Float[Tensor, "*rows pos d_model"]) -> Float[Tensor, "*rows pos head d_head"]:
        """All heads' `z` from the stream that enters the layer."""
        return self.attention(layer, *self.project(layer, self.attention_reads(layer, x)).unbind(-3))

    def attn_out(self, layer: int, z: Float[Tensor, "*rows head d_head"]) -> Float[Tensor, "*rows d_model"]:
        return linear(z.flatten(-2), *self._o[layer])

    def values(
        self, x: Float[Tensor, "batch pos d_model"], edits: Edits
    ) -> tuple[dict[Site, Tensor], Float[Tensor, "batch class"]]:
        """A whole run from the input of layer 0: the values at all sites that a sweep reads, and the logits."""
        found = {Site.embed(): x}
        for i in range(self.depth):
            x, values = self.layer_values(i, x, edits)
            found |= values
        found[Site(self.depth - 1, "resid_post")] = x
        return found, self.logits(x[:, self.at])

    def layer_values(
        self, layer: int, x: Float[Tensor, "batch pos d_model"], edits: Edits
    ) -> tuple[Float[Tensor, "batch pos d_model"], dict[Site, Tensor]]:
        """A layer's output, and the values at its sites, from the stream that enters it."""
        length = x.shape[1]
        projected = self.project(layer, self.attention_reads(layer, x)).unbind(-3)
        z = self.edited(edits, Site(layer, "z"), self.attention(layer, *projected)[None], length)[0]
        attn_out = self.attn_out(layer, z)
        mid = self.after_attention(layer, x + attn_out)
        mlp_out = self.edited(edits, Site(layer, "mlp_out"), self.mlp(layer, mid)[None], length)[0]
        q, k, v = projected
        values = {"resid_pre": x, "q": q, "k": k, "v": v, "z": z, "attn_out": attn_out, "resid_mid": mid}
        values["mlp_out"] = mlp_out
        return self.after_mlp(layer, mid + mlp_out), {Site(layer, kind): value for kind, value in values.items()}

    def layer(
        self, layer: int, x: Float[Tensor, "path batch pos d_model"], edits: Edits, held: Values, *, last: bool
    ) -> Float[Tensor, "path batch seen d_model"]:
        """The stream after the layer, at the read position alone if it is the `last`; what is `held` does not react."""
        length = x.shape[-2]
        z = self.edited(edits, Site(layer, "z"), self.z_read(layer, x) if last else self.z(layer, x), length)
        for item, value in held.items():
            if isinstance(item, Head) and item.layer == layer:
                z[..., item.head, :] = self.seen(value, z.shape[2])
        total = self.attn_out(layer, z).add_(x[:, :, self.read] if last else x)
        return self.feed(layer, self.after_attention(layer, total), edits, held, length)

    def feed(
        self, layer: int, mid: Float[Tensor, "path batch seen d_model"], edits: Edits, held: Values, length: int
    ) -> Float[Tensor, "path batch seen d_model"]:
        """The layer's output from the stream between attention and MLP."""
        if MLP(layer) in held:
            return self.after_mlp(layer, mid + self.seen(held[MLP(layer)], mid.shape[2]))
        out = self.edited(edits, Site(layer, "mlp_out"), self.mlp(layer, mid), length)
        return self.after_mlp(layer, out.add_(mid))

    def seen(self, value: Float[Tensor, "path batch pos ..."], n: int) -> Float[Tensor, "path batch seen ..."]:
        """All positions of a value, or the read one where only one is computed."""
        return value if value.shape[2] == n else value[:, :, self.read]

    def edited(self, edits: Edits, site: Site, value: Float[Tensor, "path batch seen ..."], length: int) -> Tensor:
        """What the interventions' edits make of a component's value, path by path.

        A value that stands for the read position alone is shown to the edit at all `length` positions, since means may
        differ by position; these edits act on each position for itself.
        """
        if site not in edits:
            return value
        found: list[Any] = []
        for one in value:
            one = one.expand(-1, length, *one.shape[2:])
            for fn in edits[site]:
                one = fn(one).to(value.dtype)
            found.append(one)
        return self.seen(torch.stack(found), value.shape[2])
