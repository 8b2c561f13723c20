"""The TransformerLens backend: taps are hook points of a `TransformerBridge`."""

import copy
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from hc_interp.data.batch import Batch
from hc_interp.models.geometry import model_inputs
from hc_interp.models.taps import Handler, Tap

# One table for all architectures: TransformerLens names the same place alike in each of them.
HOOK_NAMES = {
    "block_in": "blocks.{}.hook_in",
    "qkv_in": "blocks.{}.attn.q.hook_in",
    "q": "blocks.{}.attn.q.hook_out",
    "k": "blocks.{}.attn.k.hook_out",
    "v": "blocks.{}.attn.v.hook_out",
    "z": "blocks.{}.attn.o.hook_in",
    "attn_out": "blocks.{}.attn.o.hook_out",
    "mid": "blocks.{}.ln1.hook_out",
    "mlp_out": "blocks.{}.mlp.out.hook_out",
    "block_out": "blocks.{}.hook_out",
    "pooled": "classifier.hook_in",
}


def build_bridge(module: nn.Module, tokenizer: Any = None) -> Any:
    """A `TransformerBridge` over the same parameters; `module` itself is left as it is.

    Wrapping replaces submodules in place, so a second module tree is made that shares every parameter and buffer.
    """
    from transformer_lens.factories.architecture_adapter_factory import ArchitectureAdapterFactory
    from transformer_lens.model_bridge.sources import build_bridge_from_module

    from hc_interp.models.transformer_lens_adapters import ADAPTERS

    architecture = type(module).__name__
    # Entry points first: TransformerLens warns of one whose name is taken, even where the taker is the same class.
    ArchitectureAdapterFactory.discover_entry_points()
    ArchitectureAdapterFactory.register_adapter(architecture, ADAPTERS[architecture])
    tree = share_tree(module)
    # TransformerLens sets special tokens on the tokenizer that it is given.
    return build_bridge_from_module(
        tree, architecture, hf_config=copy.deepcopy(module.config), tokenizer=copy.deepcopy(tokenizer)
    )


def share_tree(module: nn.Module) -> nn.Module:
    """A copy of the module tree over the same parameters and buffers."""
    shared = {id(tensor): tensor for tensor in (*module.parameters(), *module.buffers())}
    return copy.deepcopy(module, shared)


class TransformerLensBackend:
    """Runs `bridge` with handlers as hooks, all removed afterwards."""

    name = "transformer_lens"

    def __init__(self, bridge: Any) -> None:
        self.bridge = bridge

    def execute(self, batch: Batch, handlers: Mapping[Tap, Handler]) -> Tensor:
        hooks = [(HOOK_NAMES[tap.name].format(tap.layer), _as_hook(fn)) for tap, fn in handlers.items()]
        inputs = model_inputs(batch, self.bridge.original_model)
        with self.bridge.hooks(fwd_hooks=hooks):
            return self.bridge(batch.input_ids, **inputs)


def _as_hook(handler: Handler) -> Callable[..., Tensor]:
    def hook(value: Tensor, hook: Any) -> Tensor:
        return handler(value)

    return hook
