"""What `calibration.py` measured, as tables and as a figure: made of the rows of its files alone."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

import hc_interp as hc
from hc_interp.statistics.tests import clopper_pearson

MARGIN = 0.05  # of the test, as `reads_from` has it
FLAT = 1e-4  # spread of a pair's share under which intervals are points
ANSWERS = ("reads_from", "does_not_read_from", "inconclusive")
LEVELS = (0.01, 0.05, 0.1)
LARGEST = 0.08  # upper end of the interval of a false answer's rate
# World, answer, and the least share of it, or the most.
ASKED = (
    ("heuristic core", "reads_from", 0.95, None),
    ("heuristic core", "does_not_read_from", None, 0.05),
    ("competing subnetworks", "does_not_read_from", 0.8, None),
    ("competing subnetworks", "reads_from", None, 0.05),
    ("exchangeable", "reads_from", None, 0.05),
)
NOTHING = ("no generalizing heads", "no core upstream", "uninformative")


def rows_of(out: Path) -> pd.DataFrame:
    return pd.read_csv(out / "worlds.csv", keep_default_na=False, na_values=["", "nan"])  # a world is called "null"


def rate(k: int, n: int) -> str:
    """A count with its Clopper-Pearson interval."""
    if not n:
        return "none"
    found = clopper_pearson(int(k), int(n))
    return f"{k} of {n}: {100 * found.value:.1f} % [{100 * found.low:.1f}, {100 * found.high:.1f}]"


def report(out: Path) -> Iterator[str]:
    """The tables as markdown lines."""
    worlds = rows_of(out)
    noisy = worlds[~worlds["exact"]]
    cover = pd.read_csv(out / "coverage.csv") if (out / "coverage.csv").exists() else None
    yield from criteria_lines(worlds, cover)
    yield ""
    yield from verdict_lines(noisy)
    yield ""
    yield from truth_lines(noisy)
    yield from search_lines(noisy[noisy["arm"] == "searched"])
    yield from p_lines(noisy[noisy["kind"] == "exchangeable"])
    yield ""
    yield from edge_lines(worlds[(worlds["arm"] == "built") & (worlds["kind"] != "exchangeable")])
    if cover is not None:
        yield ""
        yield from coverage_lines(cover)


def criteria_lines(worlds: pd.DataFrame, cover: pd.DataFrame | None) -> Iterator[str]:
    """What was asked of the test before it was run, and whether it is so."""
    noisy = worlds[~worlds["exact"]]
    yield "| asked | core | found | so |"
    yield "| --- | --- | --- | --- |"
    for arm, part in noisy.groupby("arm", sort=False):
        for kind, verdict, low, high in ASKED:
            some = part[part["kind"] == kind]
            k, n = int((some["answer"] == verdict).sum()), len(some)
            if not n:
                continue
            found = clopper_pearson(k, n)
            if low:
                asked, so = f">= {low:.0%}", float(found.value) >= low
            else:
                asked = f"<= {high:.0%}, whole interval <= {LARGEST:.0%}"
                so = float(found.value) <= high and float(found.high) <= LARGEST
            yield f"| {kind}: {verdict} {asked} | {arm} | {rate(k, n)} | {'yes' if so else 'no'} |"
        nothing = part[part["kind"] == "null"]
        if len(nothing):
            right = nothing["reason"].isin(NOTHING).sum()
            so = "yes" if right == len(nothing) else "no"
            yield f"| null: inconclusive, since nothing generalizes | {arm} | {rate(right, len(nothing))} | {so} |"
    exact = worlds[worlds["exact"] & (worlds["kind"] != "exchangeable")]
    if len(exact):
        right, false, missed = (int(exact[f"edges_{c}"].sum()) for c in ("right", "false", "missed"))
        shares = [right / max(right + n, 1) for n in (false, missed)]
        found, so = f"{shares[0]:.3f} and {shares[1]:.3f}", "yes" if min(shares) >= 0.98 else "no"
        yield f"| edges without noise: precision and recall >= .98 | built | {found} | {so} |"
    if cover is not None:
        varied = cover[cover["spread"] >= FLAT]
        inside, n = int(varied["inside"].sum()), int(varied["intervals"].sum())
        so = "yes" if 0.93 <= inside / max(n, 1) <= 0.97 else "no"
        yield f"| coverage of 95 % intervals between 93 and 97 % | built | {rate(inside, n)} | {so} |"


def verdict_lines(worlds: pd.DataFrame) -> Iterator[str]:
    yield "| world | core | reads_from | does_not_read_from | inconclusive, and why |"
    yield "| --- | --- | --- | --- | --- |"
    for (kind, arm), part in worlds.groupby(["kind", "arm"], sort=False):
        told = [rate((part["answer"] == answer).sum(), len(part)) for answer in ANSWERS[:2]]
        why = part.loc[part["answer"] == "inconclusive", "reason"].value_counts()
        yield f"| {kind} | {arm} | {told[0]} | {told[1]} | {', '.join(f'{r} {n}' for r, n in why.items())} |"


def truth_lines(worlds: pd.DataFrame) -> Iterator[str]:
    """Answers against the population's T, and competing worlds by whether noise left them what they are called."""
    told = worlds[worlds["answer"] != "inconclusive"]
    truth = told[["order_truth", "overlap_truth"]]
    wrong_yes = (told["answer"] == "reads_from") & (truth.max(axis=1) < MARGIN)
    wrong_no = (told["answer"] == "does_not_read_from") & (truth.abs().max(axis=1) > MARGIN)
    wrong = rate((wrong_yes | wrong_no).sum(), len(told))
    yield f"- Answers on the wrong side of the margin by the population's T: {wrong}."
    apart = worlds[(worlds["kind"] == "competing subnetworks") & (worlds["arm"] == "built")]
    inside = (apart[["order_truth", "overlap_truth"]].abs() < MARGIN).all(axis=1)
    for part, name in ((apart[inside], "inside"), (apart[~inside], "outside")):
        said = rate((part["answer"] == "does_not_read_from").sum(), len(part))
        yield f"- does_not_read_from in competing worlds whose population's T is {name} the margin: {said}."


def search_lines(searched: pd.DataFrame) -> Iterator[str]:
    for kind, part in searched.groupby("kind", sort=False):
        core = rate(part["core_is_built"].sum(), len(part))
        ends = rate(part["ends_are_built"].sum(), len(part))
        yield f"- {kind}: the searched core is the built one in {core}; core and readers both in {ends}."


def p_lines(worlds: pd.DataFrame) -> Iterator[str]:
    for arm, part in worlds.groupby("arm", sort=False):
        for kind in ("order", "overlap"):
            p = part[f"{kind}_p"].dropna()
            reached = "; ".join(f"p <= {level:g} in {rate((p <= level).sum(), len(p))}" for level in LEVELS)
            yield f"- Exchangeable worlds, {arm} core, {kind} pairs: {reached}."


def edge_lines(worlds: pd.DataFrame) -> Iterator[str]:
    """Precision and recall of single edges, pooled. Noise makes true weak edges, which count as false ones here."""
    yield "| edges core -> generalizing head | noise | precision | recall | right | false | missed |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for exact, noise in ((True, "none"), (False, "in all weights")):
        part = worlds[worlds["exact"] == exact]
        kinds = [*part.groupby("kind", sort=False), ("all", part)]
        for kind, some in kinds:
            right, false, missed = (int(some[f"edges_{c}"].sum()) for c in ("right", "false", "missed"))
            if right + missed or false:
                precision, recall = (f"{right / (right + n):.3f}" if right + n else "-" for n in (false, missed))
                yield f"| {kind} | {noise} | {precision} | {recall} | {right} | {false} | {missed} |"


def coverage_lines(cover: pd.DataFrame) -> Iterator[str]:
    flat = cover["spread"] < FLAT
    varied = cover[~flat]
    left_out = f"{int(flat.sum())} populations without variance left out"
    found = rate(varied["inside"].sum(), varied["intervals"].sum())
    yield f"Coverage of the 95 % intervals, {len(varied)} populations: {found}; {left_out}."


def verdict_frame(worlds: pd.DataFrame) -> pd.DataFrame:
    """What `hc.figures.calibration` draws: a row for each kind of world, arm and answer."""
    found = []
    for (kind, arm), part in worlds.groupby(["kind", "arm"], sort=False):
        for verdict in ANSWERS:
            share = clopper_pearson(int((part["answer"] == verdict).sum()), len(part))
            row = {"world": kind, "core": f"{arm} core", "verdict": verdict, "rate": share.value}
            found.append(row | {"low": share.low, "high": share.high, "n": len(part)})
    return pd.DataFrame(found)


def figure(out: Path) -> "hc.figures.Figure":
    worlds = rows_of(out)
    return hc.figures.calibration(verdict_frame(worlds[~worlds["exact"]]))
