"""What a result must carry so that it can be made again: versions, seed, model and data fingerprints, settings."""

import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

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
    """Versions of Python and of the packages that a number can depend on."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def provenance(model: Any, data: str, **settings: Any) -> dict[str, Any]:
    """Where a result came from; `settings` are the arguments that shaped it."""
    return {
        "model": model.fingerprint,
        "model_name": model.name,
        "backend": model.backend_name,
        "device": str(model.device),
        "data": data,
        "settings": {
            name: value if isinstance(value, int | float | bool) else str(value) for name, value in settings.items()
        },
        "versions": versions(),
    }
