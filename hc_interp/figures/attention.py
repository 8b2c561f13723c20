"""`attention`: the attention of heads on one example; `attention_profile`: the mean attention of all heads."""

from collections.abc import Iterable, Sequence
from typing import Any

from hc_interp.attention.result import MEASURES, AttentionProfile
from hc_interp.components import Head, components, heads_of
from hc_interp.errors import ComponentError, DataError
from hc_interp.figures.chart import SEQUENTIAL, cells, colorbar
from hc_interp.figures.figure import Figure
from hc_interp.figures.head_grid import axes, dots, grid
from hc_interp.figures.numbers import score
from hc_interp.figures.plain_text import plain
from hc_interp.figures.registry import core_of, figure
from hc_interp.figures.style import Width, layout, pixels, text_width
from hc_interp.heads.core import HeuristicCore
from hc_interp.heads.generalizing import GeneralizingHeads
from hc_interp.models.hooked import HookedModel, Intervention
from hc_interp.models.site import Site

ROW_HEIGHT = 11.0  # height of a token's row, in points
NAME_WIDTH = 90.0  # largest width of a token's text, in points
MAX_PANELS = 6
TITLES = {"same_word": "same word in the premise", "separators": "separators", "cls": "first token",
          "previous": "previous token", "next": "next token", "order": "moved with word order"}  # fmt: skip


def attention(
    model: HookedModel,
    first: str,
    second: str | None = None,
    *,
    heads: Iterable[Head | str] | HeuristicCore | GeneralizingHeads | None = None,
    interventions: Sequence[Intervention] = (),
    width: Width = "double",
) -> Figure:
    """Draw attention patterns on one text (`first`) or a pair (`second`): rows are query tokens, columns key tokens.

    With `heads=None` one head is shown at a time, with a menu of all heads (for .html in a browser). `heads` are at
    most 6 heads, or a result that has `.heads`; each gets a panel, for print. The model runs under `interventions`.

    Raises `DataError` for anything but texts and for a model without tokenizer, `ComponentError` for heads that the
    model lacks and for too many. The figure shows where heads attend, not what they move from there.
    """
    if not isinstance(first, str) or not isinstance(second, str | None):
        raise DataError(
            f"The attention view was given {type(first).__name__} and {type(second).__name__}; expected the text of "
            "one example, or its two texts. Pass examples.first[i], examples.second[i]."
        )
    every = heads is None
    named = model.components if every else components(heads_of(heads), model.components)
    shown = [item for item in named if isinstance(item, Head)]
    if not every and (not 0 < len(shown) <= MAX_PANELS or len(shown) < len(named)):
        raise ComponentError(
            f"{len(named)} components were given to draw ({', '.join(map(str, named[:8]))}); expected 1 to "
            f"{MAX_PANELS} heads. Choose the ones of interest, or leave heads out for a menu of all."
        )
    for head in shown:
        model.check_component(head)
    batch = model.tokenize([first], None if second is None else [second])
    tokens = list(model.tokenizer.convert_ids_to_tokens(batch.input_ids[0].tolist()))
    sites = [Site(layer, "pattern") for layer in sorted({head.layer for head in shown})]
    captured = model.run(batch, interventions, capture=sites).captured
    patterns = {head: captured[Site(head.layer, "pattern")][0, head.head].float().cpu().numpy() for head in shown}
    start = 0
    if second is not None and batch.token_type_ids is not None and bool(batch.token_type_ids.any()):
        start = int(batch.token_type_ids[0].argmax())
    rows = list(range(start, len(tokens)))
    plot = _menu(patterns, tokens, rows, width) if every else _panels(patterns, tokens, rows, width)
    data = {"tokens": tokens, "asking": rows, "heads": {str(h): p[rows].round(5).tolist() for h, p in patterns.items()}}
    queries = "the second text's tokens" if start else "all tokens"
    return Figure(
        plot,
        "Attention on one example",
        f"Rows are query tokens ({queries}), columns are key tokens (all tokens); each row sums to 1. Colour is the "
        f"attention weight, from 0 to 1. The text is “{first}”{f' / “{second}”' if second else ''}. One example is an "
        "illustration; attention_profile gives averages. A weight shows where a head attends, not what it moves, or "
        "that it matters.",
        data,
    )


def _trace(pattern: Any, tokens: list[str], rows: list[int], name: str, **more: Any) -> dict[str, Any]:
    names = [plain(token) for token in tokens]
    hover = [[f"{name}: {names[q]} → {names[k]}: {pattern[q, k]:.3f}" for k in range(len(tokens))] for q in rows]
    return cells(
        x=list(range(len(tokens))), y=rows, z=pattern[rows].round(4), hovertext=hover, coloraxis="coloraxis", **more
    )


def _axes(plot: Any, tokens: list[str], rows: list[int]) -> None:
    names = [plain(token, NAME_WIDTH) for token in tokens]
    plot.update_xaxes(
        tickvals=list(range(len(tokens))), ticktext=names, tickangle=-90, showgrid=False, showline=False, ticks=""
    )
    plot.update_yaxes(
        tickvals=rows,
        ticktext=[names[q] for q in rows],
        autorange="reversed",
        showgrid=False,
        showline=False,
        ticks="",
    )
    plot.update_layout(
        coloraxis={"cmin": 0, "cmax": 1, "colorscale": SEQUENTIAL, "colorbar": colorbar("weight", tickvals=[0, 0.5, 1])}
    )


def _longest(tokens: list[str]) -> float:
    """The width of the longest token's text, in points."""
    return min(max(map(text_width, tokens)), NAME_WIDTH)


def _menu(patterns: dict[Head, Any], tokens: list[str], rows: list[int], width: Width) -> Any:
    import plotly.graph_objects as go

    plot = go.Figure()
    names = [str(head) for head in patterns]
    for index, (head, pattern) in enumerate(patterns.items()):
        plot.add_trace(_trace(pattern, tokens, rows, str(head), visible=index == 0))
    buttons = [
        {"label": name, "method": "update", "args": [{"visible": [i == index for i in range(len(names))]}]}
        for index, name in enumerate(names)
    ]
    below = _longest(tokens) + 12
    plot.update_layout(layout(width, ROW_HEIGHT * len(rows) * 1.4 + below + 46))
    menu = {"buttons": buttons, "x": 0, "xanchor": "left", "y": 1.0, "yanchor": "bottom", "pad": {"b": 8}}
    plot.update_layout(updatemenus=[menu], margin={"t": pixels(38)})
    _axes(plot, tokens, rows)
    return plot


def _panels(patterns: dict[Head, Any], tokens: list[str], rows: list[int], width: Width) -> Any:
    from plotly.subplots import make_subplots

    wide = 2 if width == "double" and len(patterns) > 1 else 1
    down = -(-len(patterns) // wide)
    names = _longest(tokens) + 6
    panel = ROW_HEIGHT * len(rows)
    total = down * (panel + 16) + names + 12
    plot = make_subplots(
        rows=down, cols=wide, subplot_titles=[str(head) for head in patterns], shared_xaxes=True, shared_yaxes=True,
        horizontal_spacing=0.03, vertical_spacing=18 / total,
    )  # fmt: skip
    for index, (head, pattern) in enumerate(patterns.items()):
        at: dict[str, Any] = {"row": index // wide + 1, "col": index % wide + 1}
        plot.add_trace(_trace(pattern, tokens, rows, str(head)), **at)
    plot.update_layout(layout(width, total))
    plot.update_layout(margin={"t": pixels(16)})
    plot.update_annotations(font={"size": pixels(8)})
    _axes(plot, tokens, rows)
    plot.update_xaxes(tickfont={"size": pixels(6.5)})
    return plot


@figure("attention", of=AttentionProfile, section="attention", arguments=core_of)
def attention_profile(
    found: AttentionProfile, *, core: Iterable[Head | str] | HeuristicCore | None = None, width: Width = "double"
) -> Figure:
    """Draw mean attention: a panel for each kind of target, a cell for each head, and dots on the heads of `core`.

    Each panel has its own colour scale, from 0 to its largest value. A panel's title gives this value and the value of
    uniform attention. The figure shows where heads attend, not what they move from there.
    """
    from plotly.subplots import make_subplots

    wide = 3 if width == "double" else 2
    down = -(-len(MEASURES) // wide)
    values = {m: {head: float(found.score(head, m).value) for head in found.heads} for m in MEASURES}
    largest = {m: max(v for v in values[m].values()) for m in MEASURES}
    titles = [f"{TITLES[m]}<br>max {largest[m]:.2f}, uniform {found.base_rate(m):.2f}" for m in MEASURES]
    layers, heads = axes(found.heads)
    height = down * (10.0 * len(layers) + 62)
    plot = make_subplots(
        rows=down, cols=wide, subplot_titles=titles, horizontal_spacing=0.07, vertical_spacing=58 / height
    )
    for index, measure in enumerate(MEASURES):
        at: dict[str, Any] = {"row": index // wide + 1, "col": index % wide + 1}
        hover = {head: f"{head}, {TITLES[measure]}: {score(found.score(head, measure))}" for head in found.heads}
        top = largest[measure] if largest[measure] > 0 else 1.0
        plot.add_trace(grid(values[measure], hover, low=0, high=top, showscale=False), **at)
        plot.add_trace(dots(core, found.heads), **at)
    plot.update_layout(layout(width, height, showlegend=False))
    plot.update_layout(margin={"t": pixels(32)})
    plot.update_annotations(font={"size": pixels(7.5)})
    step = 1 if width == "double" and len(heads) <= 12 else max(1, len(heads) // 4)
    plot.update_xaxes(tickvals=heads[::step], showgrid=False, showline=False, ticks="", tickfont={"size": pixels(6.5)})
    plot.update_yaxes(
        tickvals=layers, ticktext=[f"L{i}" for i in layers], showgrid=False, showline=False, ticks="",
        tickfont={"size": pixels(6.5)},
    )  # fmt: skip
    best = found.strongest()[0]
    return Figure(
        plot,
        "What heads attend to",
        f"Mean attention of each head from the words of the second text ({len(found.ids):,} examples), with layers "
        "upward and heads across. Each panel has its own colour scale, from 0 to its largest value (max); uniform is "
        f"the value of uniform attention. {'Dots mark the core. ' if core is not None else ''}The head that attends "
        f"most to the same word is {best}: {score(found.score(best, 'same_word'))}. “Moved with word order” is the "
        "share of attention that goes to other tokens when the premise's words are shuffled. The figure shows where "
        "heads attend, not what they move from there.",
        found.to_frame().to_dict("records"),
    )
