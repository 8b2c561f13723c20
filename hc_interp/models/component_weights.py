"""The weights of a component: which slices of which parameters of the module belong to a head or to an MLP."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from torch import Tensor, nn

from hc_interp.components import MLP, Component, Head
from hc_interp.models.geometry import Geometry


@dataclass(frozen=True)
class WeightSlice:
    """A part of the parameter `name` of a module: `length` entries along `axis`, from `first` on."""

    name: str
    axis: int
    first: int
    length: int

    def of(self, module: nn.Module) -> Tensor:
        """The slice as a view of the parameter, which records no gradient."""
        return module.get_parameter(self.name).detach().narrow(self.axis, self.first, self.length)

    def gradient(self, module: nn.Module) -> Tensor | None:
        """The slice of the parameter's gradient as a view; None where it has no gradient."""
        gradient = module.get_parameter(self.name).grad
        return None if gradient is None else gradient.narrow(self.axis, self.first, self.length)


def component_weights(geometry: Geometry, items: Iterable[Component]) -> list[WeightSlice]:
    """The slices of these components' own weights, each once, by their names in the module of this geometry.

    Of a head: its columns or rows of W_Q, W_K and W_V, their biases, those of projections of distances, and its part
    of W_O. The bias of W_O belongs to no head. Heads that share keys and values share these slices, so that they are
    listed if one of the heads is named. Of an MLP: its projections, weights and biases.
    """
    slices = [part for item in items for part in _slices(geometry, item)]
    return list(dict.fromkeys(slices))


def sharing(geometry: Geometry, head: Head) -> list[Head]:
    """The heads whose keys and values are those of `head`, itself included."""
    group = geometry.n_heads // geometry.n_key_value_heads
    first = head.head // group * group
    return [Head(head.layer, number) for number in range(first, first + group)]


def other_calls(geometry: Geometry, item: Component) -> list[Component]:
    """The components of other layers that are computed by the same weights, where layers share a module."""
    layers = [layer for layer in range(geometry.n_layers) if geometry.place(layer) == geometry.place(item.layer)]
    return [replace(item, layer=layer) for layer in layers if layer != item.layer]


def _slices(geometry: Geometry, item: Component) -> list[WeightSlice]:
    if isinstance(item, MLP):
        return [part for path in geometry.mlp_projections(item.layer) for part in _whole(geometry.module, path)]
    distances = [
        WeightSlice(f"{path}.{name}", 0, item.head * geometry.d_head, geometry.d_head)
        for path in geometry.distance_projections(item.layer)
        for name, _ in geometry.module.get_submodule(path).named_parameters(recurse=False)
    ]
    inputs = [part for name in "qkv" for part in _of_input(geometry, item, name)]
    return [*inputs, *distances, output_slice(geometry, item)]


def _whole(module: nn.Module, path: str) -> list[WeightSlice]:
    """All of a projection's parameters."""
    parameters = module.get_submodule(path).named_parameters(recurse=False)
    return [WeightSlice(f"{path}.{name}", 0, 0, len(parameter)) for name, parameter in parameters]


def _of_input(geometry: Geometry, head: Head, name: str) -> list[WeightSlice]:
    """The head's slices of the weight and the bias of the `q`, `k` or `v` projection."""
    n_groups = geometry.n_heads if name == "q" else geometry.n_key_value_heads
    group = head.head * n_groups // geometry.n_heads
    first = group * geometry.d_head if geometry.joint is None else geometry.joint.first(name, group)
    path, projection = geometry.path(name, head.layer), geometry.part(name, head.layer)
    # A Linear's weight is [output, input], that of transformers' Conv1D [input, output].
    weight = WeightSlice(f"{path}.weight", 0 if isinstance(projection, nn.Linear) else 1, first, geometry.d_head)
    if (added := geometry.added_bias(name)) is not None:
        bias = geometry.path(added, head.layer)
        return [weight, WeightSlice(bias, 0, head.head * geometry.d_head, geometry.d_head)]
    return [weight] if projection.bias is None else [weight, WeightSlice(f"{path}.bias", 0, first, geometry.d_head)]


def output_slice(geometry: Geometry, head: Head) -> WeightSlice:
    """The head's slice of the weight of the output projection."""
    axis = 1 if isinstance(geometry.part("o", head.layer), nn.Linear) else 0
    name = f"{geometry.path('o', head.layer)}.weight"
    return WeightSlice(name, axis, head.head * geometry.d_head, geometry.d_head)
