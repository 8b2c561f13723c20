"""How often is the reads-from test right? Verdicts, p values, edges and intervals on worlds whose circuit is known.

    python experiments/calibration.py --out calibration --worlds 200

Every world is one row of `worlds.csv` for each arm: "built" (the core and generalizing heads that were built in) and
"searched" (found by mask search and contrast). Rows are appended as they come, so that a run that was stopped goes on
where it was; `--arms built` leaves the slower arm for later. `coverage.csv` has the intervals' coverage. What is
printed at the end, and written to `calibration.md`, is made of the rows alone.

Worlds are drawn with seeds from `FIRST_SEED` on, and noise in the weights between 0.01 and 0.04 of a feature; the rules
of the test were fixed on other seeds. The truth of a world is the statistic on fresh pairs of its own distribution.
"""

import argparse
import csv
import multiprocessing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

import hc_interp as hc
from hc_interp.analysis.pair_runs import JointPath, PairRuns
from hc_interp.analysis.statistics import clopper_pearson, ratio_interval

FIRST_SEED = 10_000
NOISE = (0.01, 0.04)
TRUTH_PAIRS = 1_000  # per world
COVERAGE_PAIRS = 20_000
TEST_PAIRS = 40  # about as many as a world's test split has
EDGE_MARGIN = 0.01  # an edge is told from none if significant and above this share of the receiver's node effect
MARGIN = 0.05  # of the test, as `reads_from` has it
FLAT = 1e-4  # spread of a pair's share under which intervals are points
KINDS = ("heuristic core", "competing subnetworks", "mixed", "exchangeable", "null")
SEARCH: dict[str, Any] = {"seeds": range(2), "steps": 60}


def build(kind: str, seed: int, noise: float | None = None) -> Any:
    """The world of this kind and seed; heuristic core worlds take turns in what they read through."""
    size = float(np.random.default_rng([seed, 1]).uniform(*NOISE)) if noise is None else noise
    worlds = hc.testbeds
    if kind == "heuristic core":
        return worlds.heuristic_core(seed, worlds.THROUGH[seed % len(worlds.THROUGH)], size)
    make = {"competing subnetworks": worlds.competing_subnetworks, "mixed": worlds.mixed}
    make |= {"exchangeable": worlds.exchangeable, "null": worlds.null}
    return make[kind](seed, noise=size)


def measure(job: tuple[str, int, str, float | None]) -> dict[str, Any]:
    """One world, one arm: the verdict and what is true."""
    torch.set_num_threads(1)
    kind, seed, arm, noise = job
    world = build(kind, seed, noise)
    row: dict[str, Any] = {"kind": kind, "seed": seed, "arm": arm, "through": world.settings.get("through", "")}
    row["noise"] = world.settings["noise"]
    core, generalizing = (world.core, world.generalizing) if arm == "built" else searched(world)
    row |= {
        "core": names(core.heads if arm == "searched" else core),
        "core_is_built": set(heads(core)) == set(world.core),
    }
    row["generalizing"] = names(heads(generalizing))
    verdict = hc.reads_from(world.model, world.pairs, core=core, generalizing=generalizing, means=world.means)
    row |= {"answer": verdict.answer, "reason": verdict.reason, "via": verdict.via, "shown_on": "+".join(verdict.kinds)}
    for name, record in verdict.records.items():
        found = record.routes["all"]
        row |= {
            f"{name}_why": record.why,
            f"{name}_T": found.value,
            f"{name}_low": found.low,
            f"{name}_high": found.high,
        }
        row |= {f"{name}_p": record.p, f"{name}_labellings": record.n_labellings, f"{name}_limit": record.size_limit}
        if not record.why:
            numerator, whole = population(world, name, verdict.core, verdict.generalizing, TRUTH_PAIRS)
            row[f"{name}_truth"] = numerator.sum() / whole.sum()
    return row | (edges_told(verdict, world) if verdict.edges else {})


def heads(given: Any) -> Any:
    return getattr(given, "heads", given)


def names(given: Any) -> str:
    return " ".join(map(str, given))


def searched(world: Any) -> tuple[Any, Any]:
    """The core that mask search keeps in all runs at the core's size, and the generalizing heads by contrast."""
    share = 1 - len(world.core) / len(world.model.components)
    found = hc.search_masks(world.model, world.task.train, sparsity=share, means=world.means, **SEARCH)
    core = hc.heuristic_core(found.subnetworks)
    return core, hc.generalizing_heads(world.model, world.task, core=core, means=world.means)


def population(world: Any, kind: str, core: Any, receivers: Any, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Effects of core on receivers and node effects, per fresh pair: the statistic is the ratio of their sums."""
    runs = PairRuns.of(world.model, world.fresh_pairs(kind, n, seed=world.settings["seed"] + 1), "logit_diff", (), 400)
    found = runs.measure([JointPath(core, receivers, "all")], [receivers])
    return found.paths[:, 0], found.nodes[:, 0]


def edges_told(verdict: Any, world: Any) -> dict[str, int]:
    """Single edges core -> generalizing head by input, against the built ones that these pairs can show."""
    frame = verdict.edges.to_frame()
    told = ((frame["q"] <= 0.05) & (frame["node_share_low"] > EDGE_MARGIN)).to_numpy()
    built = {(str(e.sender), str(e.receiver), e.through) for e in world.truth if verdict.edges_kind in e.kinds}
    true = np.array([key in built for key in zip(frame["sender"], frame["receiver"], frame["through"], strict=True)])
    right, false, missed = (int(part.sum()) for part in (told & true, told & ~true, ~told & true))
    return {"edges_right": right, "edges_false": false, "edges_missed": missed}


def coverage(job: tuple[str, int]) -> list[dict[str, Any]]:
    """A population of pairs, cut into as many test sets as it holds: do their intervals hold the population's T?"""
    torch.set_num_threads(1)
    kind, seed = job
    world = build(kind, seed)
    receivers = tuple(h for h in world.generalizing if h.layer > 0)
    core = tuple(h for h in world.core if h.layer == 0)
    rows = []
    for name in world.pairs:
        path, whole = population(world, name, core, receivers, COVERAGE_PAIRS)
        if abs(whole.mean()) < 0.05:
            continue
        truth = path.sum() / whole.sum()
        inside = n = 0
        for start in range(0, COVERAGE_PAIRS, TEST_PAIRS):
            cut = slice(start, start + TEST_PAIRS)
            found = ratio_interval(path[cut], whole[cut], seed=start)
            n += 1
            inside += int(found.low <= truth <= found.high)
        row = {"kind": kind, "seed": seed, "pairs": name, "truth": truth, "intervals": n, "inside": inside}
        rows.append(row | {"spread": float(np.std(path - truth * whole) / abs(whole.mean()))})
    return rows


def run(out: Path, n_worlds: int, processes: int, arms: list[str], first: int) -> None:
    """Measure what the tables still lack."""
    out.mkdir(parents=True, exist_ok=True)
    done = known(out / "worlds.csv", ["kind", "seed", "arm", "exact"])
    jobs = [
        (kind, first + i, arm, noise)
        for arm in arms
        for i in range(n_worlds)
        for kind in KINDS
        for noise in ((None, 0.0) if arm == "built" and i % 10 == 0 else (None,))
        if (kind, str(first + i), arm, str(noise == 0)) not in done
    ]
    cover = [(kind, first + i) for i in range(max(1, n_worlds // 40)) for kind in KINDS if kind != "null"]
    covered = known(out / "coverage.csv", ["kind", "seed"])
    cover = [job for job in cover if (job[0], str(job[1])) not in covered]
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        for row in pool.imap_unordered(measure, jobs):
            append(out / "worlds.csv", [row | {"exact": row["noise"] == 0}])
        for rows in pool.imap_unordered(coverage, cover):
            append(out / "coverage.csv", rows)


NUMBERS = ("why", "T", "low", "high", "p", "labellings", "limit", "truth")
COLUMNS = {
    "worlds.csv": [
        "kind", "seed", "arm", "exact", "through", "noise", "answer", "reason", "via", "shown_on", "core",
        "core_is_built", "generalizing", "edges_right", "edges_false", "edges_missed",
        *(f"{k}_{c}" for k in ("order", "overlap") for c in NUMBERS),
    ],
    "coverage.csv": ["kind", "seed", "pairs", "truth", "intervals", "inside", "spread"],
}  # fmt: skip


def append(path: Path, rows: list[dict[str, Any]]) -> None:
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS[path.name])
        if new:
            writer.writeheader()
        writer.writerows(rows)


def known(path: Path, columns: list[str]) -> set[tuple[str, ...]]:
    if not path.exists():
        return set()
    with path.open() as file:
        return {tuple(row[c] for c in columns) for row in csv.DictReader(file)}


def rate(k: int, n: int) -> str:
    found = clopper_pearson(int(k), int(n))
    return f"{k} of {n}: {100 * found.value:.1f} % [{100 * found.low:.1f}, {100 * found.high:.1f}]"


def report(out: Path) -> Iterator[str]:
    """The tables as markdown lines."""
    worlds = pd.read_csv(out / "worlds.csv", keep_default_na=False, na_values=[""])  # a world is called "null"
    noisy = worlds[~worlds["exact"]]
    yield "| world | arm | reads_from | does_not_read_from | inconclusive, and why |"
    yield "| --- | --- | --- | --- | --- |"
    for (kind, arm), part in noisy.groupby(["kind", "arm"], sort=False):
        told = [rate((part["answer"] == answer).sum(), len(part)) for answer in ("reads_from", "does_not_read_from")]
        why = part.loc[part["answer"] == "inconclusive", "reason"].value_counts()
        yield f"| {kind} | {arm} | {told[0]} | {told[1]} | {', '.join(f'{r} {n}' for r, n in why.items())} |"
    yield ""
    yield f"Answers on the wrong side of the margin by the population's T: {wrong_answers(noisy)}."
    apart = noisy[noisy["kind"] == "competing subnetworks"]
    apart = apart[(apart[["order_truth", "overlap_truth"]].abs() < MARGIN).all(axis=1)]
    if len(apart):
        told = rate((apart["answer"] == "does_not_read_from").sum(), len(apart))
        yield f"does_not_read_from in competing worlds whose population's T is inside the margin: {told}."
    p = noisy[(noisy["kind"] == "exchangeable") & (noisy["arm"] == "built")]["order_p"].dropna()
    for level in (0.01, 0.05, 0.1):
        yield f"p <= {level:g} in exchangeable worlds (order pairs): {rate((p <= level).sum(), len(p))}."
    yield from edge_lines(worlds[(worlds["arm"] == "built") & (worlds["kind"] != "exchangeable")])
    if (out / "coverage.csv").exists():
        cover = pd.read_csv(out / "coverage.csv")
        flat = cover["spread"] < FLAT
        inside, n = (int(cover.loc[~flat, c].sum()) for c in ("inside", "intervals"))
        left_out = f"{int(flat.sum())} populations without variance left out"
        yield f"Coverage of 95 % intervals of {TEST_PAIRS} pairs: {rate(inside, n)}; {left_out}."


def wrong_answers(worlds: pd.DataFrame) -> str:
    told = worlds[worlds["answer"] != "inconclusive"]
    truth = told[["order_truth", "overlap_truth"]]
    wrong_yes = (told["answer"] == "reads_from") & (truth.max(axis=1) < MARGIN)
    wrong_no = (told["answer"] == "does_not_read_from") & (truth.abs().max(axis=1) > MARGIN)
    return rate((wrong_yes | wrong_no).sum(), len(told)) if len(told) else "no answers"


def edge_lines(worlds: pd.DataFrame) -> Iterator[str]:
    """Precision and recall of single edges, pooled. Noise makes true weak edges, which count as false ones here."""
    for exact, name in ((True, "without noise"), (False, "with noise")):
        part = worlds[worlds["exact"] == exact]
        right, false, missed = (int(part[f"edges_{c}"].sum()) for c in ("right", "false", "missed"))
        if right:
            shares = f"precision {right / (right + false):.3f}, recall {right / (right + missed):.3f}"
            yield f"Edges core -> generalizing head {name}: {shares} ({right} right, {false} false, {missed} missed)."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--worlds", type=int, default=200, help="of each kind")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--arms", nargs="+", choices=("built", "searched"), default=["built", "searched"])
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED)
    given = parser.parse_args()
    run(given.out, given.worlds, given.processes, given.arms, given.first_seed)
    lines = [*report(given.out)]
    (given.out / "calibration.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
