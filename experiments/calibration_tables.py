"""What `calibration.py` measured, as tables and as a figure: made of the rows of its files alone."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from calibration_worlds import ARMS, KINDS

import hc_interp as hc
from hc_interp.reading.premise_rules import PREMISES
from hc_interp.statistics.tests import clopper_pearson

MARGIN = 0.05  # of the test, as `reads_from` has it
DELTA = 0.3
ROUNDING = 1e-9  # a world whose S is delta may be called either way
FLAT = 1e-4  # spread of a statistic between test sets under which intervals are points
ANSWERS = ("reads_from", "shared_trunk", "does_not_read_from", "premise_fails", "inconclusive")
READINGS = ("reads_specifically", "shared_trunk", "specificity_open", "does_not_read_from", "inconclusive")
RANDOM = "random BERT"
LEVELS = (0.01, 0.05, 0.1)
MOST_WRONG = 0.1  # of the worlds of a kind: 4 of 40
ONE_OTHER_HEAD = "one other head"  # such worlds have fewer than 20 comparison sets
LEAST_COVERED = 0.92  # of the intervals of T, S and separation
WIDEST = 1.5  # of the intervals of T and separation, over the width that the spread between test sets asks for


@dataclass(frozen=True)
class Asked:
    """A share of the worlds of a kind, asked for before it was measured: at least `low`, at most `high`, or with a
    one-sided 95 % upper bound of at most `bound`. `variants` begin the names of those that count."""

    kind: str
    column: str
    word: str
    low: float | None = None
    high: float | None = None
    bound: float | None = None
    variants: tuple[str, ...] = ("",)

    def line(self, part: pd.DataFrame, arm: str) -> str:
        """The row of the table of criteria, from the rows of this kind and arm."""
        part = part[part["variant"].astype(object).fillna("").astype(str).str.startswith(self.variants)]
        k, n = int((part[self.column] == self.word).sum()), len(part)
        if self.low is not None:
            asked, so = f">= {self.low:.0%}", k >= self.low * n
        elif self.high is not None:
            asked, so = f"<= {self.high:.1%}", k <= self.high * n
        else:
            assert self.bound is not None
            asked, so = f"upper bound <= {self.bound:.0%}", float(clopper_pearson(k, n, 0.9).high) <= self.bound
        which = f" ({' or '.join(self.variants)})" if any(self.variants) else ""
        about = f"{self.kind}{which}: {self.column.replace('_', ' ')} {self.word} {asked}"
        return f"| {about} | {arm} | {rate(k, n)} | {'yes' if so else 'no'} |"


SPECIFIC = ("reading", "reads_specifically")
AT_DELTA = "graded, S = 0.3"
ASKED = (
    *(Asked(kind, *SPECIFIC, bound=0.08) for kind in ("trunk", RANDOM, "exchangeable", "competing subnetworks")),
    Asked(AT_DELTA, *SPECIFIC, high=0.05),
    Asked("heuristic core", *SPECIFIC, low=0.95),
    Asked("graded, S = 0.7", *SPECIFIC, low=0.8, variants=("R_G=0.5", "R_G=0.95")),
    Asked("competing subnetworks", "reading", "does_not_read_from", low=0.8),
    Asked("null", "reading_reason", "no generalizing heads", low=0.95),
    Asked("weak but exclusive", "reading", "shared_trunk", high=0.075),
)


def rows_of(out: Path) -> pd.DataFrame:
    """The rows, by kind in the order of `KINDS`, and by arm."""
    rows = pd.read_csv(out / "worlds.csv", keep_default_na=False, na_values=["", "nan"])  # a world is called "null"
    places = {name: place for place, name in enumerate((*KINDS, *ARMS))}
    return rows.sort_values(["kind", "arm", "seed"], key=lambda c: c.map(places).fillna(c), ignore_index=True)


def rate(k: int, n: int) -> str:
    """A count with its Clopper-Pearson interval."""
    if not n:
        return "none"
    found = clopper_pearson(int(k), int(n))
    return f"{k} of {n}: {100 * found.value:.1f} % [{100 * found.low:.1f}, {100 * found.high:.1f}]"


def judged(worlds: pd.DataFrame) -> pd.DataFrame:
    """The rows whose truth is known: of the built heads, and of models in which nothing was built."""
    return worlds[worlds["ends_are_built"] | (worlds["kind"] == RANDOM)]


def wrong_answers(worlds: pd.DataFrame) -> pd.Series:
    """Whether each row's answer says what is not true. "Inconclusive" is never wrong.

    "reads_from" needs true premises and a specific reading. "premise_fails" needs a premise that fails.
    """
    true = worlds[[f"true_{name}" for name in PREMISES]]
    answer = worlds["answer"]
    built = worlds["kind"] != RANDOM
    false_yes = (answer == "reads_from") & ~((true == "holds").all(axis=1) & built)
    false_premise = (answer == "premise_fails") & built & ~(true == "fails").any(axis=1)
    return false_yes | false_premise | wrong_readings(worlds.assign(reading=_as_reading(answer)))


def wrong_readings(worlds: pd.DataFrame) -> pd.Series:
    """Whether each row's reading says what is not true of its paths; "inconclusive" and "open" are never wrong.

    A reading is true if it is true on some kind of pairs. "does_not_read_from" is by the population's T, and cannot be
    judged in models in which nothing was built. S is the population's where it was measured, else the built one.
    """
    reading, built = worlds["reading"], worlds["kind"] != RANDOM
    specific, trunk = (pd.Series(False, index=worlds.index) for _ in range(2))
    for kind in ("order", "overlap"):
        s = worlds[f"{kind}_truth_S"].fillna(worlds[f"{kind}_true_S"])
        reads = worlds[f"{kind}_true_R_G"] > MARGIN
        specific |= reads & (s >= DELTA - ROUNDING)
        trunk |= reads & (s <= DELTA + ROUNDING)
    largest = worlds[["order_truth", "overlap_truth"]].abs().max(axis=1)
    false_no = (reading == "does_not_read_from") & built & (largest > MARGIN)
    false_trunk = (reading == "shared_trunk") & built & ~trunk
    return false_no | false_trunk | ((reading == "reads_specifically") & ~specific)


def _as_reading(answer: pd.Series) -> pd.Series:
    """What an answer says of the paths."""
    return answer.replace({"reads_from": "reads_specifically", "premise_fails": "inconclusive"})


def report(out: Path) -> Iterator[str]:
    """The tables as markdown lines."""
    worlds = rows_of(out)
    noisy = worlds[~worlds["exact"]]
    cover = pd.read_csv(out / "coverage.csv") if (out / "coverage.csv").exists() else None
    yield from criteria_lines(worlds, cover)
    for title, column, words in (("answer", "answer", ANSWERS), ("reading", "reading", READINGS)):
        yield ""
        yield from share_lines(noisy, title, column, words)
    yield ""
    yield from premise_lines(noisy)
    yield ""
    yield from number_lines(noisy)
    yield ""
    yield from truth_lines(noisy)
    yield from search_lines(noisy[(noisy["arm"] == "searched") & (noisy["kind"] != RANDOM)])
    yield from p_lines(noisy[noisy["kind"] == "exchangeable"])
    edges = worlds[(worlds["arm"] == "built") & ~worlds["kind"].isin(["exchangeable", RANDOM])]
    if edges["edges_right"].notna().any():
        yield ""
        yield from edge_lines(edges)
    if cover is not None:
        yield ""
        yield from coverage_lines(cover)


def criteria_lines(worlds: pd.DataFrame, cover: pd.DataFrame | None) -> Iterator[str]:
    """What was asked of the test before it was run, and whether it is so."""
    noisy = worlds[~worlds["exact"]]
    yield "| asked | arm | found | so |"
    yield "| --- | --- | --- | --- |"
    for (kind, arm), part in judged(noisy).groupby(["kind", "arm"], sort=False):
        n, k = len(part), int(wrong_answers(part).sum())
        so = "yes" if k <= MOST_WRONG * n else "no"
        yield f"| {kind}: a wrong answer <= {MOST_WRONG:.0%} | {arm} | {rate(k, n)} | {so} |"
    for asked in ASKED:
        for arm, part in noisy[noisy["kind"] == asked.kind].groupby("arm", sort=False):
            yield asked.line(part, str(arm))
    at_delta = noisy[(noisy["kind"] == AT_DELTA) & (noisy["reading"] == "reads_specifically")]
    k, n = int(wrong_readings(at_delta).sum()), int((noisy["kind"] == AT_DELTA).sum())
    so = "yes" if k <= 0.05 * n else "no"
    yield f"| {AT_DELTA}: the same, where the population's S is not above .3 <= 5.0% | built | {rate(k, n)} | {so} |"
    yield from premise_criteria(judged(noisy))
    exact = worlds[worlds["exact"] & (worlds["kind"] != "exchangeable")]
    if len(exact):
        right, false, missed = (int(exact[f"edges_{c}"].sum()) for c in ("right", "false", "missed"))
        shares = [right / max(right + n, 1) for n in (false, missed)]
        found, so = f"{shares[0]:.3f} and {shares[1]:.3f}", "yes" if min(shares) >= 0.98 else "no"
        yield f"| edges without noise: precision and recall >= .98 | built | {found} | {so} |"
    if cover is not None:
        for statistic, part in varied(cover).groupby("statistic", sort=False):
            inside, n = int(part["inside"].sum()), int(part["intervals"].sum())
            so = "yes" if inside >= LEAST_COVERED * n else "no"
            yield f"| coverage of {statistic} >= {LEAST_COVERED:.0%} | built | {rate(inside, n)} | {so} |"
            if statistic != "S":  # its intervals also cover other heads, which do not vary here
                wide = float((part["width"] / (2 * 1.96 * part["spread"])).median())
                so = "yes" if wide <= WIDEST else "no"
                yield f"| median width of {statistic} <= {WIDEST} of what is needed | built | {wide:.2f} | {so} |"


def premise_criteria(worlds: pd.DataFrame) -> Iterator[str]:
    """How often a true premise holds, and how often a false one does, over all worlds in which either was built."""
    for name in PREMISES:
        true, false = (worlds[worlds[f"true_{name}"] == word] for word in ("holds", "fails"))
        few = true["kind"].str.endswith(ONE_OTHER_HEAD) & (name == "heads_generalize")
        for part, which in ((true[~few], "true"), (true[few], "true, but with too few comparison sets")):
            if len(part):
                k = int((part[name] == "holds").sum())
                so = ("yes" if k >= 0.95 * len(part) else "no") if which == "true" else "not asked"
                yield f"| {name}, where {which}: holds >= 95% | all | {rate(k, len(part))} | {so} |"
        false = false[name]
        k = int((false == "holds").sum())
        so = "yes" if k <= 0.05 * len(false) else "no"
        yield f"| {name}, where false: holds <= 5% | all | {rate(k, len(false))} | {so} |"


def varied(cover: pd.DataFrame) -> pd.DataFrame:
    """The populations whose statistic differs between test sets."""
    return cover[cover["spread"] >= FLAT]


def share_lines(worlds: pd.DataFrame, title: str, column: str, words: tuple[str, ...]) -> Iterator[str]:
    """Shares of each answer or reading by kind and arm, how many are wrong, and the reasons of those that are open."""
    reason = "reason" if column == "answer" else "reading_reason"
    yield f"| {title}: world | arm | {' | '.join(words)} | wrong | why open |"
    yield f"| --- | --- | {' | '.join('---' for _ in words)} | --- | --- |"
    for (kind, arm), part in worlds.groupby(["kind", "arm"], sort=False):
        told = [rate((part[column] == word).sum(), len(part)) for word in words]
        known = judged(part)
        wrong = (wrong_answers if column == "answer" else wrong_readings)(known).sum()
        why = part.loc[part[column].isin(["inconclusive", "specificity_open"]), reason].value_counts()
        reasons = ", ".join(f"{name} {n}" for name, n in why.items())
        yield f"| {kind} | {arm} | {' | '.join(told)} | {wrong} of {len(known)} | {reasons} |"


def premise_lines(worlds: pd.DataFrame) -> Iterator[str]:
    """What was said of each premise, beside what is true."""
    yield f"| premises: world | arm | {' | '.join(PREMISES)} |"
    yield "| --- | --- | --- | --- | --- |"
    for (kind, arm), part in worlds.groupby(["kind", "arm"], sort=False):
        cells = []
        for name in PREMISES:
            true = ", ".join(map(str, part[f"true_{name}"].dropna().unique())) or "not known"
            said = part[name].value_counts()
            cells.append(f"{', '.join(f'{word} {n}' for word, n in said.items())} (true: {true})")
        yield f"| {kind} | {arm} | {' | '.join(cells)} |"


def number_lines(worlds: pd.DataFrame) -> Iterator[str]:
    """Medians of what decides, over worlds and directions, beside the built values."""
    yield "| numbers: world | arm | pairs | R(G), true | S, true | T | p | R(G) | S | width of S | p of D |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    for (kind, arm), part in worlds.groupby(["kind", "arm"], sort=False):
        for pairs in ("order", "overlap"):
            told = part[part[f"{pairs}_as_is_T"].notna()]
            if not len(told):
                continue
            both = {
                name: pd.concat([told[f"{pairs}_{way}_{name}"] for way in ("as_is", "reversed")])
                for name in ("T", "p", "R_G", "S", "S_low", "S_high", "p_D")
            }
            true = [told[f"{pairs}_true_{name}"].median() for name in ("R_G", "S")]
            values = [both[name].median() for name in ("T", "p", "R_G", "S")]
            width = (both["S_high"] - both["S_low"]).median()
            cells = " | ".join(f"{value:.2f}" for value in (*true, *values, width, both["p_D"].median()))
            yield f"| {kind} | {arm} | {pairs} | {cells} |"


def truth_lines(worlds: pd.DataFrame) -> Iterator[str]:
    """Competing worlds by whether noise left them what they are called: by the population's T."""
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
            p = part[[f"{kind}_{way}_p" for way in ("as_is", "reversed")]].max(axis=1).dropna()  # as the test takes it
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
    """Coverage by statistic and by kind of world."""
    used = varied(cover)
    yield "| coverage: world | statistic | inside | width over what is needed |"
    yield "| --- | --- | --- | --- |"
    for (kind, statistic), part in used.groupby(["kind", "statistic"], sort=False):
        wide = float((part["width"] / (2 * 1.96 * part["spread"])).median())
        yield f"| {kind} | {statistic} | {rate(part['inside'].sum(), part['intervals'].sum())} | {wide:.2f} |"
    yield f"\n{len(cover) - len(used)} populations without variance are left out."


def verdict_frame(worlds: pd.DataFrame) -> pd.DataFrame:
    """What `hc.figures.calibration` draws: a row for each kind of world, arm and answer."""
    found = []
    for (kind, arm), part in worlds.groupby(["kind", "arm"], sort=False):
        for verdict in ANSWERS:
            share = clopper_pearson(int((part["answer"] == verdict).sum()), len(part))
            row = {"world": kind, "core": f"{arm} heads", "verdict": verdict, "rate": share.value}
            found.append(row | {"low": share.low, "high": share.high, "n": len(part)})
    return pd.DataFrame(found)


def figure(out: Path) -> "hc.figures.Figure":
    worlds = rows_of(out)
    return hc.figures.calibration(verdict_frame(worlds[~worlds["exact"]]))
