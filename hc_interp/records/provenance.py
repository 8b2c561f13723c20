"""What a result records so that it can be computed again: versions, seed, model and data fingerprints, settings."""

import dataclasses
import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from hc_interp.components import MLP, End, Head

PACKAGES = (
    "hc-interp",
    "torch",
    "transformers",
    "transformer-lens",
    "nnsight",
    "numpy",
    "scipy",
    "scikit-learn",
    "plotly",
)


@cache
def versions() -> dict[str, str]:
    """The versions of Python and of the packages that a number can depend on."""
    installed = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            installed[name] = version(name)
        except PackageNotFoundError:
            installed[name] = "not installed"
    return installed


def provenance(model: Any, data: str, **settings: Any) -> dict[str, Any]:
    """The origin of a result: the `HookedModel`, the fingerprint of the data, and the arguments that shaped it."""
    return {
        "model": model.fingerprint,
        "model_name": model.name,
        "backend": model.backend_name,
        "device": str(model.device),
        "dtype": str(model.dtype).removeprefix("torch."),
        "data": data,
        "settings": {
            name: value if isinstance(value, int | float | bool) else str(value) for name, value in settings.items()
        },
        "versions": versions(),
    }


def described(item: Any) -> dict[str, Any]:
    """An intervention as a dictionary that a result can hold: `type`, its `repr` as `words`, and its declared fields.

    A field that is neither a component nor plain (means, donors) is replaced by its own `type` and `words`.
    """
    declared = dataclasses.fields(item) if dataclasses.is_dataclass(item) else ()
    fields = {field.name: _field(getattr(item, field.name)) for field in declared if field.repr}
    return {"type": type(item).__name__, "words": repr(item), **fields}


def _field(value: Any) -> Any:
    if value is None or isinstance(value, str | int | float | Head | MLP | End):
        return value
    if isinstance(value, tuple | list):
        return tuple(_field(item) for item in value)
    return {"type": type(value).__name__, "words": repr(value)}
