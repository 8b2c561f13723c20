"""Is what the generalizing heads get from the core needed, and is it enough? Under several ablation sources."""

from dataclasses import dataclass
from typing import Any

from hc_interp.components import MLP, Head
from hc_interp.data.contrast import ContrastPairs
from hc_interp.errors import InterventionError
from hc_interp.interventions.donors import Donors
from hc_interp.interventions.means import MeanActivations
from hc_interp.interventions.sources import Source
from hc_interp.models.hooked import HookedModel
from hc_interp.patching.joint_effects import JointPath, PairRuns
from hc_interp.reading.defaults import SOURCES
from hc_interp.statistics.resampling import Method
from hc_interp.statistics.tests import Interval, ratio_interval

Heads = tuple[Head, ...]
UNDEFINED = Interval(float("nan"), float("nan"), float("nan"), 0)
INTERVAL: Method = "expanded"  # a test has few pairs; plain percentiles covered 93 % in experiments/calibration.py
MIN_NODE_EFFECT = 0.05  # of the generalizing heads, in the metric: what is less is no whole to take shares of


@dataclass(frozen=True)
class Shares:
    """Necessity and sufficiency under one source, with a note where they could not be computed."""

    necessity: Interval
    sufficiency: Interval
    note: str = ""


def ablation_sources(
    model: HookedModel, pairs: ContrastPairs, means: MeanActivations | None, donors: Donors | None, seed: int
) -> dict[str, Source | str]:
    """The three sources by name; a text says why there is none.

    Donors are drawn from both sides of the pairs: those of one side alone would all say the same to the generalizing
    heads, and replacing one by another would remove nothing.
    """
    found: dict[str, Source | str] = {"zero": 0}
    found["means"] = means if means is not None else "no means were given"
    found["donors"] = donors if donors is not None else Donors(model, list(pairs.sides), seed)
    return {name: found[name] for name in SOURCES}


def shares_under(
    runs: PairRuns, source: Source | str, core: Heads, receivers: Heads, node_effect: float, *, level: float, seed: int
) -> Shares:
    """Necessity and sufficiency under one source, each a ratio of sums over pairs; not clipped.

    With `C = metric(clean) - metric(z_G := source)`:

    - necessity = `[metric(clean) - metric(z_G recomputed with core -> G set to source)] / C`, route "all";
    - sufficiency = `[metric(z_G recomputed with all heads and MLPs upstream except the core set to source, embeddings
      clean) - metric(z_G := source)] / C`.

    NaN where C's interval contains 0; and, with a note, where donors lack a length, and where the source does not
    remove what the pairs are about: where -C is not of the sign of `node_effect` (the generalizing heads' on the pairs)
    or less than 0.05 in the metric. A share of such a C has any sign. Neither compares with other heads of the core's
    size, and a source takes the model off its own distribution: that is what several sources are for.
    """
    if isinstance(source, str):
        return Shares(UNDEFINED, UNDEFINED, source)
    last = max(head.layer for head in receivers)
    early = [item for item in runs.model.components if item.layer < last]
    rest = tuple(item for item in early if isinstance(item, MLP) or item not in core)
    paths = [JointPath(core, receivers, "all"), JointPath(rest, receivers, "all")]
    try:
        found = runs.measure(paths, [receivers], source, "necessity and sufficiency")
    except InterventionError as error:
        if not isinstance(source, Donors):
            raise
        return Shares(UNDEFINED, UNDEFINED, str(error))
    # Changes against clean: those of `nodes` are -C, so both ratios are taken of changes.
    through_core, through_rest, node = found.paths[:, 0], found.paths[:, 1], found.nodes[:, 0]
    if note := _removes_nothing(float(node.mean()), node_effect):
        return Shares(UNDEFINED, UNDEFINED, note)
    clusters: dict[str, Any] = {"clusters": runs.encoded.sources, "level": level, "seed": seed}
    clusters["method"] = INTERVAL
    necessity = ratio_interval(through_core, node, **clusters)
    note = (
        "" if necessity.value == necessity.value else "replacing the generalizing heads changes the metric by about 0"
    )
    return Shares(necessity, ratio_interval(node - through_rest, node, **clusters), note)


def _removes_nothing(whole: float, node_effect: float) -> str:
    """Why replacing the generalizing heads is no ablation of what the pairs are about, or ""."""
    if abs(whole) < MIN_NODE_EFFECT:
        return "replacing the generalizing heads changes the metric by about 0"
    if whole * node_effect < 0:
        return "replacing the generalizing heads changes the metric the other way than the pairs do"
    return ""
