"""Test whether generalizing heads read from heuristic heads, on any hooked transformer.

`import hc_interp as hc`; names load when they are first used, so importing the package is cheap.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# Every public name and the module that it lives in.
_PUBLIC = {
    "attention.profile": ("attention_profile",),
    "attention.result": ("AttentionProfile",),
    "heads.core": ("HeuristicCore", "heuristic_core"),
    "evaluation.effective_size": ("EffectiveSize", "effective_size"),
    "evaluation.evaluate": ("evaluate",),
    "evaluation.result": ("Evaluation",),
    "evaluation.faithfulness": ("faithfulness", "faithfulness_curve"),
    "evaluation.faithfulness_results": ("Faithfulness", "FaithfulnessCurve"),
    "heads.generalizing": ("GeneralizingHeads", "generalizing_heads"),
    "reading.reads_from": ("reads_from",),
    "reading.verdict": ("Verdict",),
    "components": ("EMBED", "MLP", "OUTPUT", "Head", "Subnetwork", "component"),
    "data.align": ("encode_pairs",),
    "data.batch": ("Batch",),
    "data.contrast": ("ContrastPairs",),
    "data.examples": ("Examples",),
    "data.load": ("load_task",),
    "data.task": ("Task",),
    "errors": (
        "AlignmentError",
        "ComponentError",
        "DataError",
        "HCError",
        "HCWarning",
        "InterventionError",
        "LabelError",
        "ModelError",
        "ResultError",
        "SearchError",
    ),
    "records.result": ("read",),
    "reports.report": ("report",),
    "interventions.donors": ("Donors",),
    "interventions.erase": ("Erase",),
    "interventions.means": ("MeanActivations", "mean_activations"),
    "interventions.nodes": ("Ablate", "Keep", "Scale", "SoftMask"),
    "interventions.paths": ("PatchPath",),
    "interventions.sites": ("Edit", "Patch", "Steer"),
    "models.hooked": ("HookedModel", "Run"),
    "models.load": ("load",),
    "models.site": ("Site",),
    "patching.effects": ("PathEffects",),
    "patching.path_effects": ("path_effects",),
    "experiment.run": ("run",),
    "experiment.settings": ("RunSettings",),
    "probing.path_probes": ("probe_paths",),
    "probing.path_result": ("PathProbes",),
    "probing.probe": ("Probe", "fit_probe"),
    "probing.probe_map": ("ProbeMap", "probe_map"),
    "runs.results": ("RunResults",),
    "search.result": ("MaskSearch",),
    "search.search_masks": ("search_masks",),
    "search.ranking": ("Ranking",),
    "search.screens": ("attribution_patching", "gradient_importance", "leave_one_out"),
}
_HOME = {name: module for module, names in _PUBLIC.items() for name in names}
_MODULES = {
    "features": "probing.features",
    "figures": "figures",
    "grammar": "data.grammar",
    "pair_rules": "data.pair_rules",
    "reports": "reports",
    "testbeds": "testbeds",
}

__all__ = sorted([*_HOME, *_MODULES])  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(import_module(f"hc_interp.{_HOME[name]}"), name)
    elif name in _MODULES:
        value = import_module(f"hc_interp.{_MODULES[name]}")
    else:
        raise AttributeError(f"module 'hc_interp' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *__all__]
