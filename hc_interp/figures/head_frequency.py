"""`head_frequency`: how many subnetworks keep each component."""

from hc_interp.components import MLP
from hc_interp.figures.chart import SEQUENTIAL, cells, colorbar
from hc_interp.figures.figure import Figure
from hc_interp.figures.numbers import percent
from hc_interp.figures.registry import figure
from hc_interp.figures.style import Width, layout, pixels, points
from hc_interp.heads.core import HeuristicCore

MLP_GAP = 0.6  # distance between the heads' columns and the MLPs' column, in columns


@figure("core", of=HeuristicCore, section="heuristic-core")
def head_frequency(core: HeuristicCore, *, width: Width = "double") -> Figure:
    """Draw a cell for each component, dark if many subnetworks keep it, with a dot on each component of the core.

    The figure shows where searches agree, not what a head computes.
    """
    import plotly.graph_objects as go

    frame = core.to_frame()
    layers = sorted(frame["layer"].unique())
    heads = sorted(int(head) for head in frame["head"].dropna().unique())
    with_mlps = bool((frame["kind"] == "mlp").any())
    columns = [float(index) for index in range(len(heads))] + [len(heads) + MLP_GAP] * with_mlps
    words = [str(head) for head in heads] + ["MLP"] * with_mlps
    centre = {str(item): (columns[-1] if isinstance(item, MLP) else columns[heads.index(item.head)], item.layer)
              for item in core.universe}  # fmt: skip
    size = (points(width) - 88) / (columns[-1] + 1)
    z = [[float("nan")] * len(columns) for _ in layers]
    text = [[""] * len(columns) for _ in layers]
    for row in frame.to_dict("records"):
        x, layer = centre[row["component"]]
        i, j = layers.index(layer), columns.index(x)
        z[i][j] = row["frequency"]
        text[i][j] = f"{row['component']}: in {row['frequency']:.0%} of {core.subnetworks} subnetworks"
    dots = [centre[str(item)] for item in core.components]
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
            "type": "scatter", "mode": "markers", "x": [x for x, _ in dots], "y": [y for _, y in dots],
            "marker": {"color": "#fff", "size": pixels(4.5), "line": {"color": "#000", "width": 1}},
            "hoverinfo": "skip",
        },
    ):  # fmt: skip
        plot.add_trace(trace)
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
