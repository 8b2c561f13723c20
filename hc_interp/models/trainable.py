"""`TrainableModel`: a copy of a model whose passes record the gradients of its weights, under interventions too."""

import copy
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hc_interp.models.forward import SiteEdit
from hc_interp.models.hooked import HookedModel, Run
from hc_interp.models.site import Site
from hc_interp.models.taps import Backend
from hc_interp.models.torch_backend import TorchBackend


def trainable_module(start: HookedModel, device: Any = None) -> Any:
    """A copy of the module of `start`, on another device if one is given.

    Weights in half precision become float32, since an optimizer's small steps would be rounded away.
    """
    module: Any = copy.deepcopy(start.module)
    wide = torch.promote_types(start.dtype, torch.float32)
    return module.to(device=device, dtype=None if wide == start.dtype else wide)


class TrainableModel(HookedModel):
    """`module`, a copy of the module of `start`, in a form that can be trained; it is read as `start` is.

    All its parameters record gradients. Its passes run in a plain module tree over them (`TorchBackend`), with the
    module's own dropout if `dropout` is True. `autocast` is the type of matrix products, None the weights' own.

    `fingerprint` stays that of the start: means taken from the start remain valid sources while the weights change.
    """

    def __init__(
        self, start: HookedModel, module: nn.Module, *, dropout: bool = False, autocast: torch.dtype | None = None
    ) -> None:
        super().__init__(module, name=start.name, **start.settings())
        self.module.requires_grad_(True)
        self.dropout, self.autocast = dropout, autocast
        self._start_fingerprint = start.fingerprint
        self._dropout_seed = 0

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the start."""
        return self._start_fingerprint

    @cached_property
    def backend(self) -> Backend:
        tree = self.shared_tree().train(self.dropout)
        self.readout.allow_batches(tree)
        return TorchBackend(tree, self.geometry, self.autocast)

    def seed_dropout(self, seed: int) -> None:
        """Set the seed from which every pass draws its dropout, until the next call."""
        self._dropout_seed = seed

    def run_edits(
        self,
        batch: Any,
        edits: Sequence[SiteEdit],
        capture: Sequence[Site] = (),
        *,
        start: tuple[int, Float[Tensor, "batch pos d_model"]] | None = None,
        stop_after: Site | None = None,
    ) -> Run:
        """`HookedModel.run_edits`, from layer 0 in any case: `start` would only save the layers before it.

        All passes of one training step thus drop out the same values: those of a path's clean run and of its step 3,
        for one. Only then do they differ by the patched path alone.
        """
        if self.dropout:
            torch.manual_seed(self._dropout_seed)
        return super().run_edits(batch, edits, capture, stop_after=stop_after)
