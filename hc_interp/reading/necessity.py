"""Necessity and sufficiency of what the core sends to the generalizing heads, under several ablation sources.

An ablation source is what an absent head's value is replaced by: mean activations, zero, or the values of another
example (a donor).
"""

import math
from dataclasses import dataclass

from hc_interp.components import MLP
from hc_interp.data.contrast import ContrastPairs
from hc_interp.errors import InterventionError
from hc_interp.heads.sets import Heads
from hc_interp.interventions.donors import Donors
from hc_interp.interventions.means import MeanActivations
from hc_interp.interventions.sources import Source
from hc_interp.models.hooked import HookedModel
from hc_interp.patching.joint_effects import JointPath, PairRuns
from hc_interp.reading.defaults import ABLATION_SOURCES
from hc_interp.reading.specificity import UNDEFINED
from hc_interp.statistics.tests import Interval
from hc_interp.statistics.units import Units

NO_CHANGE = "replacing the generalizing heads changes the metric by about 0"


@dataclass(frozen=True)
class Shares:
    """Necessity and sufficiency under one source; `note` says why they are NaN, and is "" where they are not."""

    necessity: Interval
    sufficiency: Interval
    note: str = ""


def ablation_sources(
    model: HookedModel, pairs: ContrastPairs, means: MeanActivations | None, donors: Donors | None, seed: int
) -> dict[str, Source | str]:
    """The sources of `ABLATION_SOURCES` by name; a text in place of a source says why there is none.

    Donors are drawn from both sides of the pairs unless `donors` are given. Examples of one side all send the
    generalizing heads the same message, so that replacing one by another would remove nothing.
    """
    sources: dict[str, Source | str] = {"zero": 0}
    sources["means"] = means if means is not None else "no means were given"
    sources["donors"] = donors if donors is not None else Donors(model, list(pairs.sides), seed)
    return {name: sources[name] for name in ABLATION_SOURCES}


def shares_under(
    runs: PairRuns,
    source: Source | str,
    core: Heads,
    receivers: Heads,
    *,
    node_effect: float,
    least: float,
    units: Units,
    level: float,
) -> Shares:
    """Necessity and sufficiency under one source, each a ratio of sums over pairs, not clipped to 0 and 1.

    With G the generalizing heads (`receivers`) and `C = metric(clean) - metric(z_G := source)`:

    - necessity = `[metric(clean) - metric(z_G recomputed with core -> G set to source)] / C`, route "all";
    - sufficiency = `[metric(z_G recomputed with all heads and MLPs upstream except the core set to source, embeddings
      clean) - metric(z_G := source)] / C`.

    `node_effect` is the effect of setting z_G to the pairs' corrupt values, in units of the metric. Both shares are NaN
    where the interval of C contains 0. They are NaN, with a note, in two further cases: donors of some length are
    missing; or the source does not remove what the pairs change, because -C has another sign than `node_effect` or is
    smaller than `least`, in units of the metric. A share of such a C could have any sign.

    A text as `source` says why there is no source; both shares are then NaN and the text is the note.

    Neither number is compared with that of other heads. An ablated model is off its own distribution, which is why the
    test uses several sources.
    """
    if isinstance(source, str):
        return Shares(UNDEFINED, UNDEFINED, source)
    last = max(head.layer for head in receivers)
    early = [item for item in runs.model.components if item.layer < last]
    rest = tuple(item for item in early if isinstance(item, MLP) or item not in core)
    paths = [JointPath(core, receivers, "all"), JointPath(rest, receivers, "all")]
    try:
        changes = runs.measure(paths, [receivers], source, "necessity and sufficiency")
    except InterventionError as error:
        if not isinstance(source, Donors):
            raise
        return Shares(UNDEFINED, UNDEFINED, str(error))
    # The engine gives changes against the clean run: `node` is -C, so the signs of both ratios' terms are turned too.
    through_core, through_rest, node = changes.paths[:, 0], changes.paths[:, 1], changes.nodes[:, 0]
    if note := _why_undefined(float(node.mean()), node_effect, least):
        return Shares(UNDEFINED, UNDEFINED, note)
    necessity = units.ratio(through_core, node, level)
    sufficiency = units.ratio(node - through_rest, node, level)
    return Shares(necessity, sufficiency, NO_CHANGE if math.isnan(float(necessity.value)) else "")


def _why_undefined(whole: float, node_effect: float, least: float) -> str:
    """Why replacing the generalizing heads does not remove what the pairs change ("" if it does)."""
    if abs(whole) < least:
        return NO_CHANGE
    if whole * node_effect < 0:
        return "replacing the generalizing heads changes the metric the other way than the pairs do"
    return ""
