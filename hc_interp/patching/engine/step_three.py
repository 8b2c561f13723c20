"""Step 3 for many paths at once: from the receivers' new values to the logits."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from hc_interp.components import MLP, Component, Head
from hc_interp.interventions.path_steps import PathBatch, Positions
from hc_interp.models.site import Site
from hc_interp.patching.engine.stack import ComponentValues, Edits, Fixed, Held, Stack


@dataclass
class StepThree:
    """The clean run from the first receivers' layer on. The last layer is computed at the read position alone."""

    stack: Stack
    paths: PathBatch
    edits: Edits
    _clean_sums: dict[int, tuple[Tensor, Tensor | None]] = field(default_factory=dict)

    def seen(self, layer: int) -> slice:
        """The positions at which this layer's output is computed: the read position in the last layer, else all."""
        return self.stack.read if layer == self.stack.depth - 1 else slice(None)

    def start(self, layer: int, changes: ComponentValues, where: Positions) -> Float[Tensor, "path batch seen d_model"]:
        """The output of the first receivers' layer, from the changes `[path, batch, pos, ...]` of their values.

        The changes are 0 where a receiver does not stand. There its value is clean, but for an MLP that reads receiving
        heads of its layer: that one is computed again outside of its positions, `where`.
        The sum of stream and attention is clean's sum plus `dz W_O`, so that nothing before it is computed again.
        """
        seen = self.seen(layer)
        heads = [item.head for item in changes if isinstance(item, Head) and item.layer == layer]
        sums, cache = self._clean_sum(layer)
        length, sums = sums.shape[1], sums[:, seen]
        own = where.get(MLP(layer)) if heads and not self.stack.geometry.parallel else None
        fixed = {
            item: Held(self.new_value(item, change), own) for item, change in changes.items() if item == MLP(layer)
        }
        if not heads:
            mid = self.stack.after_attention(layer, sums).expand(len(changes[MLP(layer)]), -1, -1, -1)
            return self.stack.finish_layer(layer, mid, mid, self.edits, fixed, length)
        change = torch.cat([changes[Head(layer, head)][:, :, seen] for head in heads], dim=-1)
        if fixed:
            change = change @ self.stack.w_o[layer][heads].flatten(0, 1)
            z = self.paths.clean[Site(layer, "z")][:, seen]
            mid = self.stack.after_attention(layer, sums + self.stack.change_of_attention(layer, change, z))
            return self.stack.finish_layer(layer, mid, mid, self.edits, fixed, length)
        mid, out = self.stack.mid_and_mlp(layer, sums, None if cache is None else cache[:, seen], heads, change)
        out = self.stack.edited(self.edits, Site(layer, "mlp_out"), out, length)
        return self.stack.after_mlp(layer, out.add_(mid))

    def finish(
        self, layer: int, x: Float[Tensor, "path batch pos d_model"], fixed: Fixed
    ) -> Float[Tensor, "path batch class"]:
        """Logits from the stream that enters `layer`; components in `fixed` keep these values."""
        for i in range(layer, self.stack.depth):
            x = self.stack.layer(i, x, self.edits, fixed, last=i == self.stack.depth - 1)
        return self.stack.logits(x[:, :, 0])

    def new_value(self, item: Component, change: Tensor) -> Tensor:
        """A receiver's value in step 3: clean plus its change."""
        return self.paths.clean_value(item) + change

    def _clean_sum(self, layer: int) -> tuple[Tensor, Tensor | None]:
        """Clean's sum of stream and attention, and the stack's `mlp_cache` of it."""
        if layer not in self._clean_sums:
            clean = self.paths.clean
            sums = clean[Site(layer, "resid_pre")] + clean[Site(layer, "attn_out")]
            self._clean_sums[layer] = sums, self.stack.mlp_cache(layer, sums, clean)
        return self._clean_sums[layer]


def first_layer(receivers: Iterable[Component]) -> int:
    return min(item.layer for item in receivers)


def last_layer(receivers: Iterable[Component]) -> int:
    return max(item.layer for item in receivers)
