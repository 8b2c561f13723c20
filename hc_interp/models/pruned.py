"""`pruned_module`: the plain module of a model in which some components give constants."""

import copy
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from hc_interp.components import MLP, Component, Head
from hc_interp.errors import InterventionError, ModelError
from hc_interp.models.component_weights import output_slice
from hc_interp.models.geometry import Geometry


class Wrapped(Protocol):
    """What is needed of a `HookedModel`."""

    @property
    def name(self) -> str: ...
    @property
    def module(self) -> nn.Module: ...
    @property
    def geometry(self) -> Geometry: ...
    def check_component(self, item: Any) -> Component: ...


class Constants(Protocol):
    """Means of a model's values: `values["z"]` is `[layer, head, d_head]`, `values["mlp_out"]` `[layer, d_model]`."""

    values: dict[str, Tensor]
    positional: bool

    def check_model(self, model: Any) -> None: ...


@torch.no_grad()
def pruned_module(model: Wrapped, removed: Iterable[Component], means: Any) -> nn.Module:
    """A copy of the module in which each removed component gives its mean, or nothing where `means` is 0.

    The output weights of a removed component are zeros, and its mean is added to the bias of that projection. The copy
    has the module's class and config, so that transformers alone runs, saves and loads it; its logits are those of
    `model` under `hc.Keep`. Raises `InterventionError` for means by position, and `ModelError` where a family has no
    bias that could hold a mean.
    """
    removed = [model.check_component(item) for item in removed]
    constants = _constants(means, model)
    module = copy.deepcopy(model.module)
    geometry = Geometry(module, model.geometry.family)
    for layer in sorted({item.layer for item in removed}):
        heads = [item for item in removed if isinstance(item, Head) and item.layer == layer]
        if heads and constants is not None:
            _add_to_bias(geometry, "o", layer, _of_heads(geometry, heads, constants), model.name)
        for head in heads:
            output_slice(geometry, head).of(module).zero_()
    for item in removed:
        if isinstance(item, MLP):
            _remove_mlp(geometry, item)
            if constants is not None:
                value = _of_mlp(geometry, item, constants, model.name)
                _add_to_bias(geometry, "mlp_out", item.layer, value, model.name)
    return module


def _constants(means: Any, model: Wrapped) -> Constants | None:
    """The means, or None for 0."""
    if isinstance(means, int | float) and not means:
        return None
    if isinstance(means, int | float) or not hasattr(means, "positional"):
        raise InterventionError(
            f"A subnetwork was applied with {means!r}. Expected means, which weights can hold, or 0. Take them: "
            "hc.mean_activations(model, data)."
        )
    if means.positional:
        raise InterventionError(
            "A subnetwork was applied with means by position, which no bias can hold. Take means over all positions: "
            "hc.mean_activations(model, data, positional=False)."
        )
    means.check_model(model)
    return means


def _of_heads(geometry: Geometry, heads: Sequence[Head], means: Constants) -> Tensor:
    """What the mean z of these heads of a layer adds to the output of attention, `[d_model]`."""
    w_out = geometry.w_out(heads[0].layer)
    z = means.values["z"].to(w_out)[heads[0].layer]
    return torch.stack([z[head.head] @ w_out[head.head] for head in heads]).sum(0)


def _of_mlp(geometry: Geometry, mlp: MLP, means: Constants, name: str) -> Tensor:
    if geometry.family.mlp_norm is not None:
        raise ModelError(
            f"{type(geometry.module).__name__} ({name}) normalises what an MLP puts out, so no weight can make {mlp} "
            "give its mean. Apply the subnetwork with 0, or keep the mean as an intervention: hc.Keep(subnetwork, "
            "means)."
        )
    weight: Any = geometry.part("mlp_out", mlp.layer).weight
    return means.values["mlp_out"][mlp.layer].to(weight)


def _remove_mlp(geometry: Geometry, mlp: MLP) -> None:
    for parameter in geometry.part("mlp_out", mlp.layer).parameters(recurse=False):
        parameter.zero_()


def _add_to_bias(geometry: Geometry, part: str, layer: int, value: Tensor, name: str) -> None:
    projection: Any = geometry.part(part, layer)
    if projection.bias is not None:
        projection.bias += value
    elif bool((value != 0).any()):
        raise ModelError(
            f"{geometry.path(part, layer)} of {type(geometry.module).__name__} ({name}) has no bias that could hold a "
            "mean. Apply the subnetwork with 0, or keep the means as an intervention: hc.Keep(subnetwork, means)."
        )
