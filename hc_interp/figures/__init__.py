"""Functions that draw results: each takes a result and returns a `Figure`. Plotly is loaded by the first drawing.

The file of a figure has the name of its function. As an attribute of this package, the name means the function.
"""

from typing import NoReturn

from hc_interp.figures.accuracy import accuracy
from hc_interp.figures.accuracy_by_sparsity import accuracy_by_sparsity
from hc_interp.figures.attention import attention, attention_profile
from hc_interp.figures.calibration import calibration
from hc_interp.figures.circuit.circuit import circuit
from hc_interp.figures.circuit.graph import CircuitGraph, circuit_graph
from hc_interp.figures.draw import draw
from hc_interp.figures.effective_size import effective_size
from hc_interp.figures.extremes import extremes
from hc_interp.figures.figure import Figure, write_all
from hc_interp.figures.good_subnetworks import good_subnetworks
from hc_interp.figures.head_frequency import head_frequency
from hc_interp.figures.over_training import over_training
from hc_interp.figures.path_matrix import path_matrix
from hc_interp.figures.path_probes import path_probes
from hc_interp.figures.path_roles import path_roles
from hc_interp.figures.premises import premises
from hc_interp.figures.probe_map import probe_map
from hc_interp.figures.probe_scores import probe_scores
from hc_interp.figures.reading import reading
from hc_interp.figures.search_curves import search_curves
from hc_interp.figures.substitutions import substitutions

__all__ = [
    "CircuitGraph",
    "Figure",
    "accuracy",
    "accuracy_by_sparsity",
    "attention",
    "attention_profile",
    "calibration",
    "circuit",
    "circuit_graph",
    "draw",
    "effective_size",
    "extremes",
    "good_subnetworks",
    "head_frequency",
    "over_training",
    "path_matrix",
    "path_probes",
    "path_roles",
    "premises",
    "probe_map",
    "probe_scores",
    "reading",
    "search_curves",
    "substitutions",
    "write_all",
]


def __getattr__(name: str) -> NoReturn:
    raise AttributeError(f"hc_interp.figures has no {name!r}; it has {', '.join(__all__)}")
