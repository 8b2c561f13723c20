"""Step 3 for many paths at once: from the receivers' new values to the logits."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from hc_interp.components import MLP, Head
from hc_interp.interventions.path_steps import PathBatch
from hc_interp.models.site import Site
from hc_interp.patching.engine.stack import Edits, Stack, Values
from hc_interp.patching.rows import Members


@dataclass
class StepThree:
    """The clean run from the first receiver on. The last layer is computed at the read position alone."""

    stack: Stack
    paths: PathBatch
    edits: Edits
    _before_mlp: dict[int, tuple[Tensor, Tensor | None]] = field(default_factory=dict)

    def seen(self, layer: int) -> slice:
        """The positions of this layer's output that anything reads."""
        return self.stack.read if layer == self.stack.depth - 1 else slice(None)

    def start(self, layer: int, receivers: Members, changes: Values) -> Float[Tensor, "path batch seen d_model"]:
        """The stream after the first receivers' layer, from the changes `[path, batch, pos, ...]` of their values.

        The sum of stream and attention is clean's plus `dz W_O`: nothing before it is computed again.
        """
        seen = self.seen(layer)
        heads = [item.head for item in receivers if isinstance(item, Head) and item.layer == layer]
        sums, known = self._clean_before_mlp(layer)
        length, sums = sums.shape[1], sums[:, seen]
        held = {i: self.held(i, changes[i]) for i in receivers if i == MLP(layer)}
        if not heads:
            mid = self.stack.after_attention(layer, sums).expand(len(changes[MLP(layer)]), -1, -1, -1)
            return self.stack.feed(layer, mid, self.edits, held, length)
        change = torch.cat([changes[Head(layer, head)][:, :, seen] for head in heads], dim=-1)
        if held:
            total = (change @ self.stack.w_o[layer][heads].flatten(0, 1)).add_(sums)
            return self.stack.feed(layer, self.stack.after_attention(layer, total), self.edits, held, length)
        mid, out = self.stack.moved(layer, sums, None if known is None else known[:, seen], heads, change)
        out = self.stack.edited(self.edits, Site(layer, "mlp_out"), out, length)
        return self.stack.after_mlp(layer, out.add_(mid))

    def finish(
        self, layer: int, x: Float[Tensor, "path batch pos d_model"], held: Values
    ) -> Float[Tensor, "path batch class"]:
        """Logits from the stream that enters `layer`; components in `held` keep these values."""
        for i in range(layer, self.stack.depth):
            x = self.stack.layer(i, x, self.edits, held, last=i == self.stack.depth - 1)
        return self.stack.logits(x[:, :, 0])

    def held(self, item: Head | MLP, change: Tensor) -> Tensor:
        """A receiver's new value."""
        return self.paths.clean_value(item) + change

    def _clean_before_mlp(self, layer: int) -> tuple[Tensor, Tensor | None]:
        """Clean's sum of stream and attention, and what the stack knows from it beforehand."""
        if layer not in self._before_mlp:
            clean = self.paths.clean
            sums = clean[Site(layer, "resid_pre")] + clean[Site(layer, "attn_out")]
            self._before_mlp[layer] = sums, self.stack.before_mlp(layer, sums)
        return self._before_mlp[layer]


def first_layer(receivers: Sequence[Head | MLP]) -> int:
    return min(item.layer for item in receivers)


def last_layer(receivers: Sequence[Head | MLP]) -> int:
    return max(item.layer for item in receivers)
