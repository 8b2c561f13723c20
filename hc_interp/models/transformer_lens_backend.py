"""The TransformerLens backend: taps are hook points of a `TransformerBridge`."""

import copy
import pkgutil
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import cached_property
from typing import Any

from torch import Tensor, nn

from hc_interp.data.batch import Batch
from hc_interp.errors import ModelError
from hc_interp.models.families.family import Family
from hc_interp.models.geometry import Geometry
from hc_interp.models.taps import Handler, Tap

# One table for all architectures: only the head has a different hook name in each of them, and norms of what attention
# and MLP put out are there in some (`_NORMED`).
HOOK_NAMES = {
    "block_in": "blocks.{}.hook_in",
    "qkv_in": "blocks.{}.attn.q.hook_in",
    "q": "blocks.{}.attn.q.hook_out",
    "k": "blocks.{}.attn.k.hook_out",
    "v": "blocks.{}.attn.v.hook_out",
    "z": "blocks.{}.attn.o.hook_in",
    "o_out": "blocks.{}.attn.o.hook_out",
    "attn_out": "blocks.{}.attn.o.hook_out",
    "mid": "blocks.{}.ln1.hook_out",
    "mlp_out": "blocks.{}.mlp.out.hook_out",
    "block_out": "blocks.{}.hook_out",
    "head_in": "{}.hook_in",
}
# The norm of the family, and its hook, at which a tap is if the family has the norm.
_NORMED = {
    "attn_out": ("attn_norm", "blocks.{}.ln1_post.hook_out"),
    "mlp_out": ("mlp_norm", "blocks.{}.ln2_post.hook_out"),
}
_TABLES = (dict, OrderedDict, set)
_OURS = 1  # the level of the hooks of a pass, by which they are removed


def build_bridge(module: nn.Module, family: Family, tokenizer: Any = None) -> Any:
    """A `TransformerBridge` around `module`, which TransformerLens changes in place: it must not be used elsewhere.

    Raises `ModelError` if the family names no TransformerLens adapter.
    """
    from transformer_lens.factories.architecture_adapter_factory import ArchitectureAdapterFactory
    from transformer_lens.model_bridge.sources import build_bridge_from_module

    architecture = type(module).__name__
    if family.adapter is None:
        raise ModelError(
            f"The family of {architecture} names no TransformerLens adapter, so there is no .bridge. Use "
            "backend='nnsight', its default, and .nnsight, or name an adapter: hc.Family(adapter=...)."
        )
    # A separate name, so that other code still gets TransformerLens' own adapter for this architecture.
    registered = f"hc_interp.{architecture}"
    ArchitectureAdapterFactory.register_adapter(registered, pkgutil.resolve_name(family.adapter))
    bridge = build_bridge_from_module(module, registered, hf_config=copy.deepcopy(module.config))
    bridge.cfg.architecture = architecture
    if tokenizer is not None:
        # Attached to the finished bridge: TransformerLens would load it again by its name, from a folder or the hub.
        bridge.tokenizer = copy.deepcopy(tokenizer)
        start = list(tokenizer("")["input_ids"])[:1]
        bridge.cfg.tokenizer_prepends_bos = bool(start) and start[0] == tokenizer.bos_token_id
    return bridge.requires_grad_(False)  # views of a joint projection are new parameters


def share_tree(module: nn.Module) -> nn.Module:
    """A copy of the module tree over the same parameters and buffers, in evaluation mode."""
    shared: dict[int, Any] = {id(tensor): tensor for tensor in (*module.parameters(), *module.buffers())}
    # Each module has about ten empty tables, mostly of hooks. `deepcopy` needs as much time for them as for the rest.
    for part in module.modules():
        for table in vars(part).values():
            if type(table) in _TABLES and not table:
                shared[id(table)] = type(table)()
    return copy.deepcopy(module, shared).eval()


class TransformerLensBackend:
    """Runs `bridge` with the handlers as hooks, which are removed after the pass."""

    name = "transformer_lens"

    def __init__(self, bridge: Any, geometry: Geometry) -> None:
        self.bridge = bridge
        self.geometry = geometry

    def execute(self, batch: Batch, handlers: Mapping[Tap, Handler]) -> Tensor:
        inputs = self.geometry.inputs(batch)
        with ExitStack() as stack:
            for tap, handler in handlers.items():
                point = self._points[self._hook_name(tap)]
                stack.callback(point.remove_hooks, level=_OURS)
                point.add_hook(_as_hook(handler), level=_OURS)
            return self.bridge(batch.input_ids, **inputs)

    @cached_property
    def _points(self) -> dict[str, Any]:
        """All hook points by name, gathered once. `bridge.hooks` would gather them twice in each pass."""
        return self.bridge.hook_dict

    def _hook_name(self, tap: Tap) -> str:
        family, hook = self.geometry.family, HOOK_NAMES[tap.name]
        if tap.name in _NORMED and getattr(family, _NORMED[tap.name][0]) is not None:
            hook = _NORMED[tap.name][1]
        return hook.format(family.head_hook if tap.layer is None else tap.layer)


def _as_hook(handler: Handler) -> Callable[..., Tensor]:
    def hook(value: Tensor, hook: Any) -> Tensor:
        return handler(value)

    return hook
