"""Step 2 for many senders and all receiving heads of a layer at once: how their `z` changes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from hc_interp.interventions.path_steps import INPUTS, PathBatch
from hc_interp.models.site import Site
from hc_interp.patching.engine.kernels import linear
from hc_interp.patching.engine.stack import Edits, Stack
from hc_interp.patching.engine.step_one import Arrived

Through = tuple[str, ...]


@dataclass(frozen=True)
class StepTwo:
    """Receiving heads read what arrives; inputs that are not named stay clean. One projection serves all heads."""

    stack: Stack
    paths: PathBatch
    edits: Edits

    def changes(
        self, arrived: Arrived, heads: Sequence[int], throughs: Iterable[Through], step: int
    ) -> dict[Through, Float[Tensor, "sender batch pos receiver d_head"]]:
        """The heads' change of `z` for each choice of inputs, `step` senders at a time."""
        throughs = list(throughs)
        found = {
            through: arrived.change.new_empty(*arrived.change.shape[:3], len(heads), self.stack.model.d_head)
            for through in throughs
        }
        layer = arrived.layer
        clean = {name: self.paths.clean[Site(layer, name)][:, :, list(heads)] for name in INPUTS}
        before = self._z(layer, heads, {name: value[None] for name, value in clean.items()})
        for start in range(0, len(arrived.change), step):
            part = slice(start, start + step)
            new = self._project(layer, heads, {n for t in throughs for n in t}, arrived.change[part], clean)
            for through in throughs:
                inputs = {name: new[name] if name in through else clean[name][None] for name in INPUTS}
                change = self._z(layer, heads, inputs) - before
                # Where nothing arrives nothing changes, whatever a kernel rounds.
                found[through][part] = change.masked_fill_(~arrived.reached[part][:, :, None, None, None], 0)
        return found

    def _project(self, layer: int, heads: Sequence[int], names: set[str], change: Tensor, clean: dict) -> dict:
        wanted = [name for name in INPUTS if name in names]
        weight = torch.cat([self.stack.by_head(layer, name)[list(heads)].flatten(0, 1) for name in wanted])
        projected = linear(change, weight, None).unflatten(-1, (len(wanted), len(heads), -1))
        return {name: projected[..., i, :, :].add_(clean[name]) for i, name in enumerate(wanted)}

    def _z(self, layer: int, heads: Sequence[int], inputs: dict[str, Tensor]) -> Tensor:
        """The heads' `z` under the interventions, which see the `z` of all heads and act on each for itself."""
        n = max(len(value) for value in inputs.values())
        z = self.stack.attention(layer, *(inputs[name].expand(n, -1, -1, -1, -1) for name in INPUTS))
        site = Site(layer, "z")
        if site not in self.edits:
            return z
        whole = self.paths.clean[site].expand(n, -1, -1, -1, -1).clone()
        whole[:, :, :, list(heads)] = z
        return self.stack.edited(self.edits, site, whole, whole.shape[2])[:, :, :, list(heads)]
