"""Every picture: each function takes a result and returns a `Figure`; `report` puts them on one page.

Names load when they are used, so that `import hc_interp` stays light.
"""

from importlib import import_module
from typing import Any

_HOMES = {
    "accuracy": "accuracy_figure",
    "accuracy_by_sparsity": "sparsity_figure",
    "attention": "attention_figure",
    "attention_profile": "attention_figure",
    "calibration": "calibration_figure",
    "Figure": "figure",
    "CircuitGraph": "circuit_graph",
    "circuit": "circuit_figure",
    "circuit_graph": "circuit_graph",
    "draw": "drawing",
    "effective_size": "effective_size_figure",
    "head_frequency": "core_figure",
    "path_matrix": "path_figure",
    "path_probes": "path_probe_figure",
    "probe_map": "probe_map_figure",
    "probe_scores": "probe_figure",
    "reading": "reading_figure",
    "report": "html_report",
    "search_curves": "search_figure",
    "write_all": "images",
}
__all__ = sorted(_HOMES)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"hc_interp.figures has no {name!r}; it has {', '.join(__all__)}")
    found = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return __all__
