"""The torch backend: taps are inputs and outputs of the modules of a plain tree, reached by torch's own hooks.

It runs the module as it is, so that gradients reach its own parameters and dropout is the module's own. TransformerLens
splits joint projections into new parameters, which an optimizer of the module would not see.
"""

from collections.abc import Callable, Mapping
from contextlib import ExitStack, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from hc_interp.data.batch import Batch
from hc_interp.models.geometry import Geometry
from hc_interp.models.module_taps import Visit, visits
from hc_interp.models.taps import Handler, Tap


class TorchBackend:
    """Runs `tree` with the handlers as hooks, which are removed after the pass.

    `autocast` is the type in which matrix products are computed; None leaves them in the weights' own type.
    """

    name = "torch"

    def __init__(self, tree: nn.Module, geometry: Geometry, autocast: torch.dtype | None = None) -> None:
        self.tree = tree
        self.geometry = geometry
        self.autocast = autocast

    def execute(self, batch: Batch, handlers: Mapping[Tap, Handler]) -> Tensor:
        with ExitStack() as stack, self._precision(batch.input_ids.device):
            for visit in visits(self.geometry, handlers):
                stack.callback(_hooked(self.tree.get_submodule(visit.path), visit).remove)
            return self.tree(batch.input_ids, **self.geometry.inputs(batch)).logits

    def _precision(self, device: torch.device) -> Any:
        return nullcontext() if self.autocast is None else torch.autocast(device.type, dtype=self.autocast)


def _hooked(module: nn.Module, visit: Visit) -> Any:
    """The handle of a hook that makes the visit, at the module's first call.

    DeBERTa calls the projections of the text again for distances.
    """
    first = iter([True])
    if visit.side == "output":
        return module.register_forward_hook(lambda *given: visit(given[-1]) if next(first, False) else given[-1])
    edit = _on_first_input(visit)
    return module.register_forward_pre_hook(
        lambda *given: edit(*given) if next(first, False) else given[1:], with_kwargs=True
    )


def _on_first_input(visit: Visit) -> Callable[..., Any]:
    """The hook for a module's first input, which transformers gives by position or by name."""

    def hook(module: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        if args:
            return (visit(args[0]), *args[1:]), named
        name = next(iter(named))
        return args, {**named, name: visit(named[name])}

    return hook
