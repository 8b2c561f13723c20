"""`pruned_module`: the plain module of a model in which some components give constants."""

import copy
from collections.abc import Iterable
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from hc_interp.components import Component, Head
from hc_interp.errors import InterventionError, ModelError
from hc_interp.models.component_weights import output_slice
from hc_interp.models.geometry import Geometry
from hc_interp.models.layer_list import unroll


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
    `model` under `hc.Keep`. Where one module computes several layers, each layer of the copy has its own. Raises
    `InterventionError` for means by position, and `ModelError` where a family has no bias that could hold a mean.
    """
    removed = [model.check_component(item) for item in removed]
    constants = _constants(means, model)
    module = unroll(copy.deepcopy(model.module), model.geometry.family, share=False)
    geometry = Geometry(module, model.geometry.family)
    for item in removed:
        value = None if constants is None else _mean_output(geometry, item, constants, model.name)
        if isinstance(item, Head):
            output_slice(geometry, item).of(module).zero_()
        else:
            for parameter in geometry.part("mlp_out", item.layer).parameters(recurse=False):
                parameter.zero_()
        if value is not None:
            _add_to_bias(geometry, "o" if isinstance(item, Head) else "mlp_out", item.layer, value, model.name)
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


def _mean_output(geometry: Geometry, item: Component, means: Constants, name: str) -> Tensor:
    """What a component adds to the output of its projection at its mean, `[d_model]`."""
    if isinstance(item, Head):
        weight = geometry.w_out(item.layer)[item.head]
        return means.values["z"][item.layer, item.head].to(weight) @ weight
    if geometry.family.mlp_norm is not None:
        raise ModelError(
            f"{type(geometry.module).__name__} ({name}) normalises what an MLP puts out, so no weight can make {item} "
            "give its mean. Apply the subnetwork with 0, or keep the mean as an intervention: hc.Keep(subnetwork, "
            "means)."
        )
    weight: Any = geometry.part("mlp_out", item.layer).weight
    return means.values["mlp_out"][item.layer].to(weight)


def _add_to_bias(geometry: Geometry, part: str, layer: int, value: Tensor, name: str) -> None:
    projection: Any = geometry.part(part, layer)
    if projection.bias is not None:
        projection.bias += value
    elif bool((value != 0).any()):
        raise ModelError(
            f"{geometry.path(part, layer)} of {type(geometry.module).__name__} ({name}) has no bias that could hold a "
            "mean. Apply the subnetwork with 0, or keep the means as an intervention: hc.Keep(subnetwork, means)."
        )
