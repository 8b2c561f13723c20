"""How often is the reads-from test right? Verdicts, p values, edges and intervals on worlds whose circuit is known.

    python experiments/calibration.py --out calibration --worlds 200

Every world is one row of `worlds.csv` for each arm: "built" (the core and generalizing heads that were built in) and
"searched" (the core by mask search, the generalizing heads by contrast). The test is a function of the world and of
these heads, so where the search finds what was built in, the arm's row is the other one's (`measured` says which were
measured). Rows are appended as they come, so that a run that was stopped goes on where it was. `coverage.csv` has the
intervals' coverage. What is printed at the end, `calibration.md` and `calibration.png`, is made of the rows alone.

Worlds are drawn with seeds from `FIRST_SEED` on, and noise in the weights within `NOISE`; the rules of the test, the
noise and the search's settings were fixed on other seeds. With noise, the truth of a world is the statistic on fresh
pairs of its own distribution: 200, and up to 20,000 where that does not tell on which side of the margin it lies.
"""

import argparse
import csv
import multiprocessing
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from calibration_tables import MARGIN, figure, report
from plain_hooks import use_plain_hooks

import hc_interp as hc
from hc_interp.patching.joint_effects import JointPath, PairRuns
from hc_interp.reading.necessity import INTERVAL
from hc_interp.reading.reads_from import HeadRoles
from hc_interp.statistics.tests import ratio_interval

FIRST_SEED = 50_000
NOISE = (0.005, 0.02)
TEST_PAIRS = 40  # of each kind
TRUTH_PAIRS = (200, 1_800, 18_000)  # a further part is measured while the truth is not told from the margin
SURE = 3  # standard errors between a truth and the margin
COVERAGE_PAIRS = 2_000
CHUNK = 4_000  # pairs that are drawn at once
AT_ONCE = 200  # pairs of one pass
EDGE_MARGIN = 0.01  # an edge is told from none if significant and above this share of the receiver's node effect
KINDS = ("heuristic core", "competing subnetworks", "mixed", "exchangeable", "null")
ARMS = ("built", "searched")
SEARCH: dict[str, Any] = {"seeds": range(3), "steps": 60, "batch_size": 16, "exchanges": 0}
MOST = 0.6  # of the searches: a core head is kept by two of three


def build(kind: str, seed: int, noise: float | None = None) -> Any:
    """The world of this kind and seed; heuristic core worlds take turns in what they read through."""
    size = float(np.random.default_rng([seed, 1]).uniform(*NOISE)) if noise is None else noise
    worlds = hc.testbeds
    if kind == "heuristic core":
        return worlds.heuristic_core(seed, worlds.THROUGH[seed % len(worlds.THROUGH)], size)
    make = {"competing subnetworks": worlds.competing_subnetworks, "mixed": worlds.mixed}
    make |= {"exchangeable": worlds.exchangeable, "null": worlds.null}
    return make[kind](seed, noise=size)


def measure(job: tuple[str, int, bool, tuple[str, ...]]) -> list[dict[str, Any]]:
    """The rows of one world (without noise if `exact`), one for each arm: the verdict and what is true."""
    torch.set_num_threads(1)
    kind, seed, exact, arms = job
    world = build(kind, seed, 0.0 if exact else None)
    use_plain_hooks(world.model)
    train = world.model.tokenize(world.task.train)
    means = hc.mean_activations(world.model, train, batch_size=256)
    known: dict[Any, dict[str, Any]] = {}
    rows = []
    for arm in arms:
        core, generalizing = searched(world, train, means) if arm == "searched" else (world.core, world.generalizing)
        key = reading_ends(world, core, generalizing)
        row = {"kind": kind, "seed": seed, "arm": arm, "exact": exact, "through": world.settings.get("through", "")}
        row |= {
            "noise": world.settings["noise"],
            "core": names(heads(core)),
            "generalizing": names(heads(generalizing)),
        }
        row |= {"core_is_built": set(heads(core)) == set(world.core), "measured": key not in known}
        row["ends_are_built"] = key == reading_ends(world, world.core, world.generalizing)
        if key not in known:
            known[key] = answer(world, core, generalizing, means)
        rows.append(row | known[key])
    return rows


def reading_ends(world: Any, core: Any, generalizing: Any) -> tuple[Any, ...]:
    """All that `reads_from` takes from the two sets of heads: relays are listed and play no part."""
    roles = HeadRoles.of(world.model, core, generalizing)
    return roles.core, roles.unread, roles.generalizing


def answer(world: Any, core: Any, generalizing: Any, means: Any) -> dict[str, Any]:
    """The verdict in numbers, and the truth of each kind of pairs that it rests on."""
    pairs = {kind: part.sample(TEST_PAIRS) for kind, part in world.pairs.items()}
    verdict = hc.reads_from(world.model, pairs, core=core, generalizing=generalizing, means=means)
    row: dict[str, Any] = {"answer": verdict.answer, "reason": verdict.reason, "via": verdict.via}
    row["shown_on"] = "+".join(verdict.kinds)
    for name, record in verdict.records.items():
        found = record.routes["all"]
        values: dict[str, Any] = {"why": record.why, "T": found.value, "low": found.low, "high": found.high}
        values |= {"p": record.p, "labellings": record.n_labellings, "limit": record.size_limit}
        if not record.why:
            values |= truth(world, name, verdict.core, verdict.generalizing)
        row |= {f"{name}_{column}": value for column, value in values.items()}
    return row | (edges_told(verdict, world) if verdict.edges else {})


def heads(given: Any) -> Any:
    return getattr(given, "heads", given)


def names(given: Any) -> str:
    return " ".join(map(str, given))


def searched(world: Any, train: Any, means: Any) -> tuple[Any, Any]:
    """The heads that most searches at the core's size keep, and the generalizing heads by contrast."""
    share = 1 - len(world.core) / len(world.model.components)
    found = hc.search_masks(world.model, train, sparsity=share, means=means, **SEARCH)
    core = hc.heuristic_core(found.subnetworks, share=MOST)
    return core, hc.generalizing_heads(world.model, world.task, core=core)


def truth(world: Any, kind: str, core: Any, receivers: Any) -> dict[str, float]:
    """T on fresh pairs with its standard error, from as many as tell on which side of the margin it lies."""
    path, whole = np.empty(0), np.empty(0)
    value = error = float("nan")
    for part, n in enumerate(TRUTH_PAIRS):
        more = population(world, kind, core, receivers, n, part)
        path, whole = np.append(path, more[0]), np.append(whole, more[1])
        value = path.sum() / whole.sum()
        error = float(np.std(path - value * whole) / abs(whole.mean()) / len(path) ** 0.5)
        if abs(abs(value) - MARGIN) > SURE * error:
            break
    return {"truth": value, "truth_error": error, "truth_pairs": len(path)}


def population(world: Any, kind: str, core: Any, receivers: Any, n: int, part: int) -> tuple[np.ndarray, np.ndarray]:
    """Effects of core on receivers and node effects, per fresh pair: the statistic is the ratio of their sums."""
    seeds = np.random.SeedSequence([world.settings["seed"], part]).generate_state(-(-n // CHUNK))
    paths, nodes = [], []
    for seed, start in zip(seeds.tolist(), range(0, n, CHUNK), strict=True):
        pairs = world.population(kind, min(CHUNK, n - start), seed)
        runs = PairRuns.of(world.model, pairs, "logit_diff", (), AT_ONCE)
        found = runs.measure([JointPath(core, receivers, "all")], [receivers])
        paths.append(found.paths[:, 0])
        nodes.append(found.nodes[:, 0])
    return np.concatenate(paths), np.concatenate(nodes)


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
    core, _, receivers = reading_ends(world, world.core, world.generalizing)
    rows = []
    for name in world.pairs:
        path, whole = population(world, name, core, receivers, COVERAGE_PAIRS, len(TRUTH_PAIRS))
        if abs(whole.mean()) < 0.05:  # the test refuses such pairs
            continue
        value = path.sum() / whole.sum()
        inside = 0
        for start in range(0, COVERAGE_PAIRS, TEST_PAIRS):
            cut = slice(start, start + TEST_PAIRS)
            found = ratio_interval(path[cut], whole[cut], method=INTERVAL, seed=start)
            inside += int(found.low <= value <= found.high)
        row = {"kind": kind, "seed": seed, "pairs": name, "truth": value, "inside": inside}
        row["intervals"] = COVERAGE_PAIRS // TEST_PAIRS
        rows.append(row | {"spread": float(np.std(path - value * whole) / abs(whole.mean()))})
    return rows


def run(
    out: Path, n_worlds: int, processes: int, arms: tuple[str, ...], first: int, kinds: tuple[str, ...] = KINDS
) -> None:
    """Measure what the tables still lack."""
    out.mkdir(parents=True, exist_ok=True)
    done = known(out / "worlds.csv", ["kind", "seed", "exact", "arm"])
    wanted = [(first + i, exact) for i in range(n_worlds) for exact in ((True, False) if i % 10 == 0 else (False,))]
    jobs = []
    for (seed, exact), kind in ((world, kind) for world in wanted for kind in KINDS):
        asked = ("built",) if exact else arms
        if missing := tuple(arm for arm in asked if (kind, str(seed), str(exact), arm) not in done):
            jobs.append((kind, seed, exact, missing))
    cover = [(kind, first + i) for i in range(max(1, n_worlds // 40)) for kind in kinds if kind != "null"]
    covered = known(out / "coverage.csv", ["kind", "seed"])
    cover = [job for job in cover if (job[0], str(job[1])) not in covered]
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        for rows in pool.imap_unordered(coverage, cover):
            append(out / "coverage.csv", rows)
        for rows in pool.imap_unordered(measure, jobs):
            append(out / "worlds.csv", rows)


NUMBERS = ("why", "T", "low", "high", "p", "labellings", "limit", "truth", "truth_error", "truth_pairs")
COLUMNS = {
    "worlds.csv": [
        "kind", "seed", "arm", "exact", "through", "noise", "answer", "reason", "via", "shown_on", "measured", "core",
        "core_is_built", "generalizing", "ends_are_built", "edges_right", "edges_false", "edges_missed",
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
        for row in rows:
            writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})


def known(path: Path, columns: list[str]) -> set[tuple[str, ...]]:
    if not path.exists():
        return set()
    with path.open() as file:
        return {tuple(row[c] for c in columns) for row in csv.DictReader(file)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--worlds", type=int, default=200, help="of each kind; 0: only the tables again")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED)
    parser.add_argument("--figure", type=Path, help="where to draw the table, by suffix (.png, .svg, .html)")
    given = parser.parse_args()
    started = time.monotonic()
    if given.worlds:
        run(given.out, given.worlds, given.processes, tuple(given.arms), given.first_seed, tuple(given.kinds))
    lines = [*report(given.out)]
    (given.out / "calibration.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    print(f"\n{time.monotonic() - started:.0f} s with {given.processes} processes")
    if given.figure:
        figure(given.out).write(given.figure)


if __name__ == "__main__":
    main()
