"""What `training_dynamics.py` measured: tables, the answer by the rule written down there, and a figure."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

import hc_interp as hc

STEPS = 4800  # updates of an arm
DRAWS = 3  # of the arms d and e
NEEDS, EQUAL = 0.25, 0.2  # of L
CLEAN = 0.9
SAME_AUC = 0.01
LITTLE = 0.1  # a gain of arm a below this is counted
WORDS = {
    "a": "free", "b": "core's weights frozen", "c": "core → heads cut", "c+": "core → heads, MLPs cut",
    "c0": "core at its means", "d": "as c, matched heads", "e": "as c, equally hard",
}  # fmt: skip


def rows_of(out: Path) -> pd.DataFrame:
    """All rows of the arms' files."""
    files = sorted(out.glob("seed-*.csv"))
    if not files:
        raise hc.DataError(f"{out} holds no rows (seed-*.csv). Run training_dynamics.py --out {out} first.")
    return pd.concat([pd.read_csv(path) for path in files], ignore_index=True)


def gains(frame: pd.DataFrame, at_same_auc: bool = False) -> pd.DataFrame:
    """A row per seed, a column per arm: g at the end, or at its last checkpoint with a's last in-domain AUC.

    An arm that never has this AUC is read at its end. Draws of d and of e are averaged. Arms without rows are nan.
    """
    trained = frame[frame["system"] == "trained"]
    started = trained[(trained["arm"] == "a") & (trained["step"] == 0)].set_index("seed")["held_out"]
    read = trained[trained["step"] == STEPS]
    if at_same_auc:
        there = trained[reached(trained)].sort_values("step").drop_duplicates(["seed", "arm"], keep="last")
        never = read.set_index(["seed", "arm"]).index.difference(there.set_index(["seed", "arm"]).index)
        read = pd.concat([there, read[read.set_index(["seed", "arm"]).index.isin(never)]])
    read = read.replace({"arm": {f"{x}{i}": x for x in "de" for i in range(DRAWS)}})
    return read.pivot_table(index="seed", columns="arm", values="held_out", aggfunc="mean").sub(started, axis=0)


def reached(trained: pd.DataFrame) -> pd.Series:
    """Whether a row has the in-domain AUC of its seed's arm a at the end, within `SAME_AUC`."""
    of_a = trained[(trained["arm"] == "a") & (trained["step"] == STEPS)].set_index("seed")["in_domain_auc"]
    return trained["in_domain_auc"] >= trained["seed"].map(of_a) - SAME_AUC


def losses(g: pd.DataFrame, level: float, n: int = 10_000) -> pd.DataFrame:
    """L of each arm, and of c less e: `loss low high seeds`, with intervals by resampling the seeds that have both."""
    found = {arm: _loss(g[["a", arm]].dropna().to_numpy(), level, n) for arm in g if arm != "a"}
    if {"c", "e"} <= set(g):
        found["c - e"] = _loss(g[["a", "c", "e"]].dropna().to_numpy(), level, n)
    return pd.DataFrame.from_dict(found, orient="index", columns=["loss", "low", "high", "seeds"])


def _loss(values: np.ndarray, level: float, n: int) -> tuple[float, float, float, int]:
    """Of columns a, x: (a - x) / a of the means over rows. Of columns a, c, e: L(c) - L(e), which is (e - c) / a."""
    if len(values) == 0:
        return float("nan"), float("nan"), float("nan"), 0
    rows = np.random.default_rng(0).integers(len(values), size=(n, len(values)))
    weights = np.array([1.0, -1.0]) if values.shape[1] == 2 else np.array([0.0, -1.0, 1.0])
    means = values[rows].mean(axis=1)
    low, high = np.quantile(means @ weights / means[:, 0], [(1 - level) / 2, (1 + level) / 2])
    whole = values.mean(axis=0)
    return float(whole @ weights / whole[0]), float(low), float(high), len(values)


def clean(frame: pd.DataFrame) -> pd.Series:
    """By seed, whether c's cut leaves the start its in-domain AUC, before any training."""
    first = frame[(frame["step"] == 0) & (frame["system"] == "trained")].set_index(["arm", "seed"])["in_domain_auc"]
    return ((first["c"] - 0.5) >= CLEAN * (first["a"].loc[first["c"].index] - 0.5)).rename("clean")


def outcome(frame: pd.DataFrame) -> str:
    """The answer by the rule of `training_dynamics.py`."""
    g, kept = gains(frame), clean(frame)
    if kept.mean() < 0.5:
        return f"open: c is clean in {int(kept.sum())} of {len(kept)} seeds only"
    wide, narrow = losses(g, 0.95), losses(g, 0.9)
    if wide["low"]["c"] > NEEDS and wide["low"].get("c - e", -1.0) > NEEDS:
        return "generalization needs to read the core"
    if narrow["low"]["c"] > -EQUAL and narrow["high"]["c"] < EQUAL:
        return "generalization does not need to read the core"
    return "open"


def report(frame: pd.DataFrame) -> Iterator[str]:
    g, kept = gains(frame), clean(frame)
    yield f"outcome: {outcome(frame)}"
    yield (
        f"a: {len(g)} seeds, g {g['a'].mean():.3f} (from {g['a'].min():.3f} to {g['a'].max():.3f}), below {LITTLE} in "
        f"{int((g['a'] < LITTLE).sum())}; c is clean in {int(kept.sum())} of {len(kept)}"
    )
    yield losses(g, 0.95).round(3).to_string()
    trained = frame[frame["system"] == "trained"]
    never = ~reached(trained).groupby([trained["arm"], trained["seed"]]).any()
    counts = ", ".join(f"{arm} {n}" for arm, n in never.groupby(level=0).sum().items() if n)
    yield f"at the same in-domain AUC as a (never had, read at the end: {counts or 'none'}):"
    yield losses(gains(frame, at_same_auc=True), 0.95).round(3).to_string()
    shown = trained.groupby(["arm", "step"])
    yield shown[["in_domain", "in_domain_auc", "trained", "held_out"]].mean().round(3).to_string()
    others = frame[frame["system"] != "trained"].groupby(["arm", "system"])
    yield others[["in_domain", "trained", "held_out"]].mean().round(3).to_string()
    known = frame.drop_duplicates(["seed", "arm"]).groupby("arm")
    yield known[["rise", "unmatched", "seconds"]].mean().round(3).to_string()


def figure(frame: pd.DataFrame) -> "hc.figures.Figure":
    """Held-out separation over the updates of each arm, and L of each arm, with 95 % intervals over seeds."""
    from plotly.subplots import make_subplots

    from hc_interp.figures.chart import legend_below
    from hc_interp.figures.over_training import LINES
    from hc_interp.figures.style import MUTED, RULE, layout, pixels

    trained = frame[frame["system"] == "trained"].replace({"arm": {f"{x}{i}": x for x in "de" for i in range(DRAWS)}})
    plot = make_subplots(1, 2, column_widths=[0.55, 0.45], horizontal_spacing=0.2)
    arms = [arm for arm in WORDS if (trained["arm"] == arm).any()]
    table = losses(gains(frame), 0.95)
    rows = [arm for arm in [*WORDS, "c - e"] if arm in table.index]
    for arm, (color, symbol, dash) in zip(arms, LINES, strict=False):
        line = trained[trained["arm"] == arm].groupby(["step", "seed"])["held_out"].mean().unstack()
        x, (y, low, high) = [str(step) for step in line.index], _over_seeds(line.to_numpy())
        marker = {"color": color, "symbol": symbol, "size": pixels(5)}
        bars = {"type": "data", "symmetric": False, "array": high - y, "arrayminus": y - low, "width": 0}
        plot.add_scatter(
            x=x, y=y, error_y={**bars, "thickness": pixels(0.8), "color": color}, mode="lines+markers", marker=marker,
            line={"color": color, "dash": dash, "width": 1.5}, name=f"{arm}: {WORDS[arm]}", row=1, col=1,
        )  # fmt: skip
        if arm in table.index:
            value = table.loc[[arm]]
            plot.add_scatter(
                x=value["loss"], y=[arm], mode="markers", marker=marker, showlegend=False, row=1, col=2,
                error_x={**bars, "array": value["high"] - value["loss"], "arrayminus": value["loss"] - value["low"],
                         "thickness": pixels(0.8), "color": color},
            )  # fmt: skip
    if "c - e" in rows:
        value = table.loc[["c - e"]]
        plot.add_scatter(
            x=value["loss"], y=["c - e"], mode="markers", marker={"color": MUTED, "size": pixels(5)}, row=1, col=2,
            error_x={"type": "data", "symmetric": False, "array": value["high"] - value["loss"], "width": 0,
                     "arrayminus": value["loss"] - value["low"], "color": MUTED}, showlegend=False,
        )  # fmt: skip
    key = -(-len(arms) // 3)
    plot.update_layout(layout("double", 190 + 13 * key, legend=legend_below(44 / 190)))
    plot.update_layout(margin={"b": pixels(44 + 13 * key), "t": 12}, showlegend=True)
    plot.update_xaxes(title="updates from the heuristic checkpoint", row=1, col=1)
    plot.update_yaxes(title="separation, held-out cases", row=1, col=1)
    ends = [min(-0.45, table["low"].min() - 0.05), max(1.0, table["high"].max() + 0.05)]
    plot.update_xaxes(title="share of a's gain that is lost, L", range=ends, row=1, col=2)
    plot.update_yaxes(categoryorder="array", categoryarray=rows[::-1], range=[-0.6, len(rows) - 0.4], row=1, col=2)
    plot.add_vrect(x0=-EQUAL, x1=EQUAL, fillcolor=RULE, opacity=0.5, line_width=0, layer="below", row=1, col=2)
    plot.add_vline(x=NEEDS, line={"color": MUTED, "dash": "dot", "width": 1}, row=1, col=2)
    seeds = {arm: int(frame[frame["arm"].str.startswith(arm)]["seed"].nunique()) for arm in "ac"}
    caption = (
        "tiny-overlap, trained on from its last heuristic checkpoint. Left: mean over seeds of the separation of eight "
        "held-out pairs of cases. Right: the share of the free arm's gain that an arm loses; grey: where an interval "
        f"must lie for “does not need to read the core”, dotted: what “needs” must exceed. {seeds['a']} seeds of a, "
        f"{seeds['c']} of c; 95 % intervals by resampling seeds. Updates are evenly spaced, not to scale."
    )
    return hc.figures.Figure(plot, "Training on under interventions", caption, table.reset_index().to_dict("records"))


def _over_seeds(values: np.ndarray, n: int = 2000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean over seeds of `[step, seed]`, with its 95 % interval by resampling seeds that have the row."""
    rng = np.random.default_rng(0)
    drawn = rng.integers(values.shape[1], size=(n, values.shape[1]))
    means = np.nanmean(values[:, drawn], axis=2)
    low, high = np.nanquantile(means, [0.025, 0.975], axis=1)
    return np.nanmean(values, axis=1), low, high
