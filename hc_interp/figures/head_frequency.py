"""`head_frequency`: how many subnetworks keep each component."""

from hc_interp.figures.component_grid import component_grid
from hc_interp.figures.figure import Figure
from hc_interp.figures.numbers import percent
from hc_interp.figures.registry import figure
from hc_interp.figures.style import Width
from hc_interp.heads.core import HeuristicCore


@figure("core", of=HeuristicCore, section="heuristic-core")
def head_frequency(core: HeuristicCore, *, width: Width = "double") -> Figure:
    """Draw a cell for each component, dark if many subnetworks keep it, with a dot on each component of the core.

    The figure shows where searches agree, not what a head computes.
    """
    frame = core.to_frame()
    frequency = dict(zip(frame["component"], frame["frequency"], strict=True))
    hover = {
        name: f"{name}: in {percent(value, 0)} of {core.subnetworks} subnetworks" for name, value in frequency.items()
    }
    plot = component_grid(core.universe, frequency, hover, bar="kept by", full=core.components, width=width)
    share = "all" if core.share == 1 else f"at least {percent(core.share, 0)} of the"
    jaccard, by_chance = percent(core.jaccard, 0), percent(core.jaccard_by_chance, 0)
    return Figure(
        plot,
        title="How often subnetworks keep each component",
        caption=(
            f"Each cell is an attention head or an MLP, with layers upward; its colour is the share of the "
            f"{core.subnetworks} subnetworks that keep it. Dots mark the core: the {len(core.heads)} heads and "
            f"{len(core.mlps)} MLPs that {share} subnetworks keep. Random subnetworks of the same sizes would share "
            f"{core.size_by_chance:.2g} components. The mean overlap of two subnetworks' heads (heads of both over "
            f"heads of either, the Jaccard index) is {jaccard}; {by_chance} is expected by chance. The figure shows "
            "where searches agree, not what a head computes: some heads are kept because every computation needs them."
        ),
        data=frame.to_dict("records"),
    )
