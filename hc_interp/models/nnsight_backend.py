"""The nnsight backend: taps are inputs and outputs of the modules in an `NNsight` tree."""

import warnings
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from hc_interp.data.batch import Batch
from hc_interp.models.geometry import Geometry
from hc_interp.models.module_taps import visits
from hc_interp.models.taps import Handler, Tap


def build_nnsight(tree: nn.Module) -> Any:
    """An `NNsight` object around `tree`. nnsight changes the modules in place, so `tree` must not be used elsewhere.

    In nnsight `output` is the value of a module, so a submodule named `output` (BERT has one in every layer) is called
    `E_output`. nnsight's warning about each of them is suppressed here.
    """
    from nnsight import NNsight

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Module '.*' has a submodule named 'output'")
        return NNsight(tree)


class NNsightBackend:
    """Runs the wrapped module in one trace, and calls each handler when the pass reaches its tap."""

    name = "nnsight"

    def __init__(self, wrapped: Any, geometry: Geometry) -> None:
        self.wrapped = wrapped
        self.geometry = geometry
        self._modules = dict(wrapped.modules(names=True))

    def execute(self, batch: Batch, handlers: Mapping[Tap, Handler]) -> Tensor:
        from nnsight import save

        # nnsight gives values only in the order of the pass, which is the order of `visits`.
        planned = [
            (self._modules[f"{self.wrapped.path}.{visit.path}"], visit) for visit in visits(self.geometry, handlers)
        ]
        inputs = self.geometry.inputs(batch)
        # nnsight runs the block below beside the forward pass, and the block waits for each value that it reads. An
        # exception that a handler raises (StopForward too) ends the pass and leaves the trace unchanged.
        with self.wrapped.trace(batch.input_ids, **inputs) as tracer:
            for module, visit in planned:
                value = getattr(module, visit.side)
                new = visit(value)
                if new is not value:
                    setattr(module, visit.side, new)
            logits = save(tracer.result.logits)
        return logits
