"""Which components the subnetworks share."""

from hc_interp.components import MLP
from hc_interp.figures.chart import SEQUENTIAL, cells, colorbar
from hc_interp.figures.figure import Figure
from hc_interp.figures.numbers import percent
from hc_interp.figures.registry import figure
from hc_interp.figures.style import Width, layout, pixels, points
from hc_interp.heads.core import HeuristicCore

GAP = 0.6  # between the heads' columns and the MLPs'


@figure("core", of=HeuristicCore, section="heuristic-core")
def head_frequency(core: HeuristicCore, *, width: Width = "double") -> Figure:
    """A cell per component, dark where many subnetworks keep it, with a dot on the core.

    It shows agreement of searches, not what a head computes.
    """
    import plotly.graph_objects as go

    frame = core.to_frame()
    layers = sorted(frame["layer"].unique())
    heads = sorted(int(head) for head in frame["head"].dropna().unique())
    with_mlps = bool((frame["kind"] == "mlp").any())
    columns = [float(place) for place in range(len(heads))] + [len(heads) + GAP] * with_mlps
    words = [str(head) for head in heads] + ["MLP"] * with_mlps
    spot = {str(item): (columns[-1] if isinstance(item, MLP) else columns[heads.index(item.head)], item.layer)
            for item in core.universe}  # fmt: skip
    size = (points(width) - 88) / (columns[-1] + 1)
    z = [[float("nan")] * len(columns) for _ in layers]
    text = [[""] * len(columns) for _ in layers]
    for row in frame.to_dict("records"):
        x, layer = spot[row["component"]]
        at = layers.index(layer), columns.index(x)
        z[at[0]][at[1]] = row["frequency"]
        text[at[0]][at[1]] = f"{row['component']}: in {row['frequency']:.0%} of {core.subnetworks} subnetworks"
    inside = [spot[str(item)] for item in core.components]
    plot = go.Figure(
        layout=layout(
            width,
            min(size, 22) * len(layers) + 46,
            xaxis={"tickvals": columns, "ticktext": words, "showgrid": False, "showline": False, "ticks": "",
                   "title": {"text": "head", "standoff": 4}, "tickangle": 0},
            yaxis={"tickvals": layers, "ticktext": [f"L{layer}" for layer in layers], "showgrid": False,
                   "showline": False, "ticks": ""},
            showlegend=False,
        )
    )  # fmt: skip
    bar = colorbar("kept by", tickformat=".0%", tickvals=[0, 0.5, 1])
    for trace in (
        cells(x=columns, y=layers, z=z, hovertext=text, zmin=0, zmax=1, colorscale=SEQUENTIAL, colorbar=bar),
        {
            "type": "scatter", "mode": "markers", "x": [x for x, _ in inside], "y": [y for _, y in inside],
            "marker": {"color": "#fff", "size": pixels(4.5), "line": {"color": "#000", "width": 1}},
            "hoverinfo": "skip",
        },
    ):  # fmt: skip
        plot.add_trace(trace)
    most = "all" if core.share == 1 else f"at least {percent(core.share, 0)}"
    common, chance = percent(core.jaccard, 0), percent(core.jaccard_by_chance, 0)
    return Figure(
        plot,
        title="How often subnetworks keep each component",
        caption=(
            f"A cell per attention head (layers upward) and MLP: the share of {core.subnetworks} subnetworks that keep "
            f"it. Dots mark the core, in {most} of them: {len(core.heads)} heads and {len(core.mlps)} "
            f"MLPs, where random subnetworks of the same sizes would share {core.size_by_chance:.2g} components. Two "
            f"subnetworks share {common} of their heads (Jaccard), {chance} by chance. "
            "It shows that searches agree, not what a head computes: some heads are kept because everything needs them."
        ),
        data=frame.to_dict("records"),
    )
