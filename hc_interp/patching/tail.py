"""Step 3 for many paths at once: from the receivers' new values to the logits."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from hc_interp.components import MLP, Head
from hc_interp.interventions.paths import PathBatch
from hc_interp.models.site import Site
from hc_interp.patching.encoder import Edits, Encoder, Values, act, edited, norm
from hc_interp.patching.kernels import linear
from hc_interp.patching.rows import Members


@dataclass
class Tail:
    """The clean run from the first receiver on. The last layer is computed at the first position alone."""

    encoder: Encoder
    paths: PathBatch
    edits: Edits
    _before_mlp: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)

    def seen(self, layer: int) -> slice:
        """The positions of this layer's output that anything reads."""
        return slice(0, 1) if layer == len(self.encoder.layers) - 1 else slice(None)

    def start(self, layer: int, receivers: Members, changes: Values) -> Float[Tensor, "path batch seen d_model"]:
        """The stream after the first receivers' layer, from the changes `[path, batch, pos, ...]` of their values.

        The sum before the first LayerNorm is clean's plus `dz W_O`, and the MLP's first projection is linear in it
        but for the LayerNorm's scale: clean's (made once) and `dz` through the composed weights, which costs
        `d_head / d_model` of projecting the whole stream.
        """
        seen, w = self.seen(layer), self.encoder.layers[layer]
        heads = [item.head for item in receivers if isinstance(item, Head) and item.layer == layer]
        sums, projected = self._clean_before_mlp(layer)
        length = sums.shape[1]
        held = {i: self.held(i, changes[i]) for i in receivers if i == MLP(layer)}
        if not heads:
            mid = norm(sums[:, seen], w.norm_1).expand(len(changes[MLP(layer)]), -1, -1, -1)
            return self.encoder.after_mlp(layer, mid, self.edits, held, length)
        change = torch.cat([changes[Head(layer, head)][:, :, seen] for head in heads], dim=-1)
        u = (change @ w.w_o[heads].flatten(0, 1)).add_(sums[:, seen])
        gain = w.norm_1
        mid, _, scale = torch.native_layer_norm(u, gain.normalized_shape, gain.weight, gain.bias, gain.eps)
        scale = scale.to(u.dtype)  # float32 in a half-precision model
        if held:
            return self.encoder.after_mlp(layer, mid, self.edits, held, length)
        hidden = torch.addcmul(w.centred_bias, projected[:, seen], scale)
        hidden.view(-1, hidden.shape[-1]).addmm_(
            (change * scale).view(-1, change.shape[-1]), w.composed[heads].flatten(0, 1)
        )
        out = linear(act(w.activation, hidden), w.mlp_out.weight, w.mlp_out.bias)
        out = edited(self.edits, Site(layer, "mlp_out"), out, length).add_(mid)
        return norm(out, w.norm_2)

    def finish(
        self, layer: int, x: Float[Tensor, "path batch pos d_model"], held: Values
    ) -> Float[Tensor, "path batch class"]:
        """Logits from the stream that enters `layer`; components in `held` keep these values."""
        n = len(self.encoder.layers)
        for i in range(layer, n):
            x = self.encoder.layer(i, x, self.edits, held, first=i == n - 1)
        return self.encoder.logits(x[:, :, 0])

    def held(self, item: Head | MLP, change: Tensor) -> Tensor:
        """A receiver's new value."""
        return self.paths.clean_value(item) + change

    def _clean_before_mlp(self, layer: int) -> tuple[Tensor, Tensor]:
        """Clean's sum before the first LayerNorm, and its part of the MLP's first projection."""
        if layer not in self._before_mlp:
            clean = self.paths.clean
            sums = clean[Site(layer, "resid_pre")] + clean[Site(layer, "attn_out")]
            self._before_mlp[layer] = sums, linear(sums, self.encoder.layers[layer].centred, None)
        return self._before_mlp[layer]


def first_layer(receivers: Sequence[Head | MLP]) -> int:
    return min(item.layer for item in receivers)


def last_layer(receivers: Sequence[Head | MLP]) -> int:
    return max(item.layer for item in receivers)
