"""Plain torch hooks on a BERT: a third of the time of the package's backends where a model is so small that a pass is
all bookkeeping, as in the testbeds. It has the taps that means, mask search and the check of
the fast engine need, and no others."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import Tensor

import hc_interp as hc
from hc_interp.data.batch import Batch
from hc_interp.models.geometry import Geometry
from hc_interp.models.taps import Handler, Tap


class PlainHooks:
    """A backend for one `BertForSequenceClassification`; `use_plain_hooks` gives it to a model."""

    name = "plain hooks"

    def __init__(self, module: Any, n_heads: int) -> None:
        self.module, self.n_heads = module, n_heads

    def execute(self, batch: Batch, handlers: Mapping[Tap, Handler]) -> Tensor:
        hooks = [self._hook(tap, handler) for tap, handler in handlers.items()]
        try:
            return self.module(batch.input_ids, **Geometry.of(self.module).inputs(batch)).logits
        finally:
            for hook in hooks:
                hook.remove()

    def _hook(self, tap: Tap, handler: Handler) -> Any:
        layer = self.module.bert.encoder.layer[tap.layer]
        if tap.name == "block_in":
            return layer.register_forward_pre_hook(lambda part, given: (handler(given[0]), *given[1:]))
        if tap.name == "z":
            heads = (self.n_heads, -1)
            return layer.attention.output.dense.register_forward_pre_hook(
                lambda part, given: (handler(given[0].unflatten(-1, heads)).flatten(-2),)
            )
        if tap.name in ("mid", "block_out"):
            part = layer.attention.output if tap.name == "mid" else layer.output  # both end with their LayerNorm
            return part.register_forward_hook(lambda part, given, value: handler(value))
        if tap.name == "mlp_out":
            return layer.output.dense.register_forward_hook(lambda part, given, value: handler(value))
        raise hc.HCError(f"Plain hooks have no tap {tap.name!r}; use the model as it was loaded.")


def use_plain_hooks(model: hc.HookedModel) -> None:
    """From now on this model runs by plain hooks on its own module, and so do the models of its last layers."""
    model.module.requires_grad_(False).eval()
    model.__dict__["backend"] = PlainHooks(model.module, model.n_heads)
    model.__dict__["tail"] = partial(_tail, model)


def _tail(model: hc.HookedModel, layer: int) -> hc.HookedModel:
    tail = hc.HookedModel.tail(model, layer)
    if "backend" not in tail.__dict__:
        use_plain_hooks(tail)
    return tail
