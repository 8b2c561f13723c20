"""`good_subnetworks`: how many of all good subnetworks keep each component, and which components all of them need."""

import math
from typing import Any

import numpy as np

from hc_interp.figures.component_grid import component_grid
from hc_interp.figures.figure import Figure
from hc_interp.figures.numbers import percent, share_of
from hc_interp.figures.registry import figure
from hc_interp.figures.style import Width
from hc_interp.search.sampling.sample import ESS, RHAT, SubnetworkSample


@figure("subnetworks", of=SubnetworkSample, section="heuristic-core")
def good_subnetworks(sample: SubnetworkSample, *, multiple: float = 1.0, width: Width = "double") -> Figure:
    """Draw a cell for each component, dark if most good subnetworks keep it; a dot marks the shared core.

    A ring marks components that nine of ten draws keep, or more, and that a good subnetwork can spare. `multiple` is
    the bound, in multiples of epsilon. A frequency shows how often a component is needed in domain, not what it does.
    """
    frame: Any = sample.to_frame(multiple)
    core = sample.shared_core(multiple)
    hover = {row["component"]: _hover(row, sample.bound(multiple)) for row in frame.to_dict("records")}
    often = [item for item in sample.typical_core(0.9, multiple) if item not in core]
    frequency = dict(zip(frame["component"], frame["frequency"], strict=True))
    plot = component_grid(sample.universe, frequency, hover, bar="kept by", full=core, hollow=often, width=width)
    searches = int(frame["repairs"][frame["in_core"]].min()) if core else 0
    found = sample.mixing(multiple)
    chains, draws = sample.masks.shape[1:3]
    mixed = found.share_mixed(RHAT, ESS)
    state = (
        "No component varies, so that nothing tells whether the chains have mixed."
        if math.isnan(mixed)
        else f"{percent(mixed, 0)} of the components that vary have mixed (split R-hat of at most {RHAT:g}, effective "
        f"sample of at least {ESS}; largest R-hat {np.nanmax(found.rhat):.2f})."
    )
    if not sample.is_mixed(multiple):
        state += " This is not enough: the figure describes these chains and not the set."
    return Figure(
        plot,
        title="Which components good subnetworks keep",
        caption=(
            f"Each cell is an attention head or an MLP, with layers upward; its colour is the share of all subnetworks "
            f"of {len(sample.best)} components, with a loss of at most {sample.bound(multiple):.3g}, that keep it "
            f"({sample.lowest_loss:.3g} is the lowest known loss). The share is estimated from {chains} chains of "
            f"{draws} draws. Dots mark the shared core: no such subnetwork without the component was found, in "
            f"{searches} searches for one; a search may miss one, so the core may be smaller. Rings "
            f"mark components that nine of ten keep although they can be spared. {state} A frequency shows how often a "
            "component is needed on these data, not what it computes."
        ),
        data=frame.to_dict("records"),
    )


def _hover(row: dict[str, Any], bound: float) -> str:
    spared = "" if row["loss_without"] > bound else ", can be spared"
    return (
        f"{row['component']}: in {share_of(row['frequency'], row['low'], row['high'])}; lowest loss without it "
        f"{row['loss_without']:.3g}{spared}"
    )
