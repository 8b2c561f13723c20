"""Step 2 for many senders and all receiving heads of a layer at once: the change of their `z`."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from hc_interp.interventions.path_steps import INPUTS, PathBatch
from hc_interp.models.site import Site
from hc_interp.patching.engine.kernels import linear
from hc_interp.patching.engine.stack import Edits, Stack
from hc_interp.patching.engine.step_one import LayerChange

Through = tuple[str, ...]  # the named inputs of a receiving head


@dataclass(frozen=True)
class StepTwo:
    """Step 2 on one batch without padding: named inputs take the change of step 1, other inputs stay clean.

    q, k and v are linear in the attention input, so that one projection of its change serves all heads and all choices
    of inputs.
    """

    stack: Stack
    paths: PathBatch
    edits: Edits

    def changes(
        self, arriving: LayerChange, heads: Sequence[int], throughs: Iterable[Through], step: int
    ) -> dict[Through, Float[Tensor, "sender batch pos receiver d_head"]]:
        """The change of the heads' `z` for each choice of inputs, computed for `step` senders at a time."""
        throughs, layer = list(throughs), arriving.layer
        joint = self.stack.geometry.rules[layer].joint_norms  # a head's pattern then depends on all heads' q and k
        wanted, heads = list(heads), list(range(self.stack.model.n_heads)) if joint else list(heads)
        result = {
            through: arriving.change.new_empty(*arriving.change.shape[:3], len(wanted), self.stack.model.d_head)
            for through in throughs
        }
        clean = {name: self.paths.clean[Site(layer, name)][:, :, heads] for name in INPUTS}
        before = self._z(layer, heads, {name: value[None] for name, value in clean.items()})
        for start in range(0, len(arriving.change), step):
            part = slice(start, start + step)
            new = self._project(layer, heads, {n for t in throughs for n in t}, arriving.change[part], clean)
            for through in throughs:
                inputs = {name: new[name] if name in through else clean[name][None] for name in INPUTS}
                change = self._z(layer, heads, inputs) - before
                change = change[..., wanted, :] if joint else change
                # Elsewhere there is no change but rounding errors.
                reached = arriving.reached[part]
                reached = reached if through == ("q",) else self.stack.spread(reached)
                result[through][part] = change.masked_fill_(~reached[..., None, None], 0)
        return result

    def _project(
        self, layer: int, heads: Sequence[int], names: set[str], change: Tensor, clean: dict[str, Tensor]
    ) -> dict[str, Float[Tensor, "sender batch pos receiver d_head"]]:
        """The heads' inputs `names`: clean plus the projection of the change."""
        ordered = [name for name in INPUTS if name in names]
        weight = torch.cat([self.stack.by_head(layer, name)[list(heads)].flatten(0, 1) for name in ordered])
        projected = linear(change, weight, None).unflatten(-1, (len(ordered), len(heads), -1))
        return {name: projected[..., i, :, :].add_(clean[name]) for i, name in enumerate(ordered)}

    def _z(self, layer: int, heads: Sequence[int], inputs: dict[str, Tensor]) -> Tensor:
        """The heads' `z` from their inputs, after the interventions' edits, which expect the `z` of all heads.

        The other heads have their clean `z` there: the edits act on each head separately.
        """
        n = max(len(value) for value in inputs.values())
        z = self.stack.attention(layer, *(inputs[name].expand(n, -1, -1, -1, -1) for name in INPUTS), heads=heads)
        site = Site(layer, "z")
        if site not in self.edits:
            return z
        all_heads = self.paths.clean[site].expand(n, -1, -1, -1, -1).clone()
        all_heads[:, :, :, list(heads)] = z
        return self.stack.edited(self.edits, site, all_heads, all_heads.shape[2])[:, :, :, list(heads)]
