"""The list of layers in a module tree: `unroll` gives each layer a module of its own, `cut_layers` removes some."""

import copy
from typing import Any

from torch import nn

from hc_interp.models.families.family import Family
from hc_interp.models.geometry import Geometry


def unroll(tree: nn.Module, family: Family, *, share: bool = True) -> nn.Module:
    """Give each layer a module of its own, in place, where one module computes several layers; return the tree.

    The tree then computes what it did before: its config names the new number of modules. Copies of a module have its
    parameters, or with `share=False` copies of them.
    """
    if family.modules is None:
        return tree
    geometry, layers = Geometry(tree, family), tree.get_submodule(family.blocks)
    places = [geometry.place(layer) for layer in range(geometry.n_layers)]
    kept: dict[int, Any] = {id(tree.config): tree.config}
    if share:
        kept |= {id(tensor): tensor for tensor in (*layers.parameters(), *layers.buffers())}
    blocks = [copy.deepcopy(layers.get_submodule(str(place)), dict(kept)) for place in places]
    _set_layers(tree, family, blocks)
    return tree


def cut_layers(tree: nn.Module, family: Family, first: int) -> None:
    """Remove the layers below `first` from a tree in which each has a module, in place. Parameters are not changed."""
    layers: Any = tree.get_submodule(family.blocks)
    config: Any = tree.config
    if getattr(config, "layer_types", None) is not None:
        config.layer_types = config.layer_types[first:]
    config.num_hidden_layers = len(layers) - first
    _set_layers(tree, family, list(layers[first:]))


def _set_layers(tree: nn.Module, family: Family, blocks: list[nn.Module]) -> None:
    parent, name = family.blocks.rsplit(".", 1)
    setattr(tree.get_submodule(parent), name, nn.ModuleList(blocks))
    if family.modules is not None:
        setattr(tree.config, family.modules, len(blocks))
