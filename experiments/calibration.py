"""How often is the verdict right? Premises, readings, answers and intervals on worlds whose circuit is known.

    python experiments/calibration.py --out calibration --quick     # 16 worlds of each kind
    python experiments/calibration.py --out calibration             # as many as each kind asks for; also coverage

Every world is one row of `worlds.csv` for each arm (`calibration_worlds`): who names the core and the generalizing
heads. The test is a function of the world and of these heads, so where the search finds what was built in, the arm's
row is the other one's (`measured` says which were measured). Rows are appended as they come, so that a run that was
stopped goes on where it was, and a quick run can be grown into a full one. `coverage.csv` has the intervals' coverage
(`calibration_coverage`). What is printed at the end, `calibration.md` and `calibration.png`, is made of the rows alone.

Worlds are drawn with seeds from `FIRST_SEED` on, and noise in the weights within `NOISE`; the rules of the test, the
noise and the search's settings were fixed on seeds below that. The truth of a world are its premises and
its S and R(G), as they were built. Noise moves T a little: its truth is the statistic on fresh pairs of the world's own
distribution, of which more are drawn while they do not tell on which side of the margin it lies.
"""

import argparse
import csv
import os
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from calibration_coverage import coverage
from calibration_tables import DELTA, figure, report
from calibration_truth import AT_ONCE, TRUTH_PAIRS, build, truth, truth_of_S
from calibration_worlds import ARMS, BUILT, KINDS, LARGEST, QUICK_WORLDS, SOME
from plain_hooks import use_plain_hooks

import hc_interp as hc
from hc_interp.cli.config import FILE
from hc_interp.cli.workers import workers
from hc_interp.patching.joint_effects import PairRuns
from hc_interp.reading.premise_rules import PREMISES
from hc_interp.reading.reads_from import HeadRoles

FIRST_SEED = 70_000  # of the worlds that are judged; tuning looked at seeds below
TEST_PAIRS = 40  # of each kind
BATCH_SIZE = 512  # rows of one pass of the verdict: small models cost by the pass
# How much the premises measure; donors, which decide nothing, are left out.
PREMISES_SETTINGS: dict[str, Any] = {
    "n_sets": 24, "n_donors": 0, "max_per_case": 50, "max_in_domain": 200, "batch_size": BATCH_SIZE,
}  # fmt: skip
NEAR_DELTA = 0.1  # S is measured on fresh pairs where it was built so near to what a verdict asks for
EXACT_OF = 10  # one of so many of the first worlds of a kind is also measured without noise
COVERED_OF = 40  # one of so many worlds of a kind has its coverage measured
EDGE_MARGIN = 0.01  # an edge is told from none if significant and above this share of the receiver's node effect
SEARCH: dict[str, Any] = {"seeds": range(3), "steps": 60, "batch_size": 16, "exchanges": 0}
MOST = 0.6  # of the searches: a core head is kept by two of three
RANDOM_SPARSITY = 0.5  # of the searches in models without a built core
N_LARGEST = 8  # generalizing heads of the arm "largest"

Job = tuple[str, int, bool, tuple[str, ...]]  # kind, seed, exact, arms


def measure(job: Job) -> list[dict[str, Any]]:
    """The rows of one world (without noise if `exact`), one for each arm: the verdict and what is true."""
    torch.set_num_threads(1)
    kind, seed, exact, arms = job
    started = time.monotonic()
    world = build(kind, seed, 0.0 if exact else None)
    use_plain_hooks(world.model)
    train = world.model.tokenize(world.task.train)
    means = hc.mean_activations(world.model, train, batch_size=256)
    known: dict[Any, dict[str, Any]] = {}
    rows = []
    core = None
    for arm in arms:
        if arm == BUILT:
            named = world.core, world.generalizing
        else:
            core = searched_core(world, train, means) if core is None else core
            named = core, largest(world, core) if arm == LARGEST else searched_heads(world, core)
        key = reading_ends(world, *named)
        row = {"kind": kind, "seed": seed, "arm": arm, "exact": exact, "variant": variant(world)}
        row |= {"noise": world.settings.get("noise", 0.0)}
        row |= {"core": names(heads(named[0])), "generalizing": names(heads(named[1]))}
        row |= {"core_is_built": set(heads(named[0])) == set(world.core), "measured": key not in known}
        row["ends_are_built"] = key == reading_ends(world, world.core, world.generalizing)
        row |= {f"true_{name}": word for name, word in world.premises.items()}
        for name, told in world.reading.items():
            row |= {f"{name}_true_R_G": told.R_G, f"{name}_true_S": told.S}
        if key not in known:
            known[key] = answer(world, *named, means)
        rows.append(row | known[key] | {"seconds": time.monotonic() - started})
    return rows


def variant(world: Any) -> str:
    """What worlds of one kind take turns in."""
    told = {name: world.settings[name] for name in ("through", "R_G", "scale") if name in world.settings}
    return " ".join(f"{name}={value}" for name, value in told.items())


def reading_ends(world: Any, core: Any, generalizing: Any) -> tuple[Any, ...]:
    """All that a verdict takes from the two sets of heads.

    The core alone keeps all MLPs where it is a list of heads, and its own where it is the result of a search. MLPs
    outside the circuit carry noise and no more, so that only those of the circuit count.
    """
    roles = HeadRoles.of(world.model, core, generalizing)
    kept = getattr(core, "components", world.model.components)
    lost = tuple(item for item in world.circuit if isinstance(item, hc.MLP) and item not in kept)
    return roles.core, roles.unread, roles.generalizing, roles.relay, lost


def answer(world: Any, core: Any, generalizing: Any, means: Any) -> dict[str, Any]:
    """The verdict in numbers, and the truth of T (and of S near delta) on each kind of pairs that it rests on."""
    pairs = {kind: part.sample(TEST_PAIRS) for kind, part in world.pairs.items()}
    checked = hc.premises(world.model, world.task, core, generalizing, means, **PREMISES_SETTINGS)
    verdict = hc.reads_from(
        world.model, pairs, core=core, generalizing=generalizing, means=means, premises=checked, routes=("all",),
        batch_size=BATCH_SIZE,
    )  # fmt: skip
    row: dict[str, Any] = {"answer": verdict.answer, "reason": verdict.reason}
    row |= {"reading": verdict.reading, "reading_reason": verdict.reading_reason}
    row |= {name: getattr(verdict.premises, name) for name in PREMISES}
    row["shown_on"] = "+".join(verdict.kinds)
    for name, record in verdict.records.items():
        row |= {f"{name}_why": record.why, f"{name}_reading": record.reading, f"{name}_reason": record.reason}
        for direction, found in record.directions.items():
            values = {"T": found.T}
            if specific := found.specificity.get("all"):
                values |= {"S": specific.S, "R_G": specific.R_G, "R_O": specific.R_O}
            row |= {
                f"{name}_{direction}_{column}{end}": float(getattr(value, end[1:] or "value"))
                for column, value in values.items()
                for end in ("", "_low", "_high")
            }
            row |= {f"{name}_{direction}_p": found.p, f"{name}_{direction}_p_D": found.p_D}
        if not record.why and world.truth:
            told = truth(world, name, verdict.core, verdict.generalizing, TRUTH_PAIRS)
            row |= {f"{name}_{column}": value for column, value in told.items()}
            if name in world.reading and abs(world.reading[name].S - DELTA) < NEAR_DELTA:
                row[f"{name}_truth_S"] = truth_of_S(world, name, HeadRoles.of(world.model, core, generalizing))
    return row | (edges_told(verdict, world) if verdict.edges and world.truth else {})


def heads(given: Any) -> Any:
    return getattr(given, "heads", given)


def names(given: Any) -> str:
    return " ".join(map(str, given))


def searched_core(world: Any, train: Any, means: Any) -> Any:
    """The heads that most searches keep, at the built core's size."""
    share = 1 - len(world.core) / len(world.model.components) if world.core else RANDOM_SPARSITY
    found = hc.search_masks(world.model, train, sparsity=share, means=means, **SEARCH)
    with warnings.catch_warnings():  # a world has one core, so that its masks agree
        warnings.filterwarnings("ignore", "These .* nearly one mask", hc.HCWarning)
        return hc.heuristic_core(found.subnetworks, share=MOST)


def searched_heads(world: Any, core: Any) -> Any:
    return hc.generalizing_heads(world.model, world.task, core=core)


def largest(world: Any, core: Any) -> list[Any]:
    """The heads above a core head with the largest mean |node effect| on order pairs of the select split."""
    first = min((head.layer for head in core.heads), default=0)
    choices = [
        item
        for item in world.model.components
        if isinstance(item, hc.Head) and item not in core.heads and item.layer > first
    ]
    pairs = world.task.contrast_pairs("swap", "order", split="select")
    runs = PairRuns.of(world.model, pairs, "logit_diff", (), AT_ONCE)
    size = np.abs(runs.measure(nodes=[(head,) for head in choices]).nodes).mean(axis=0)
    return sorted(choices[i] for i in np.argsort(-size)[:N_LARGEST])


def edges_told(verdict: Any, world: Any) -> dict[str, int]:
    """Single edges core -> generalizing head by input, against the built ones that these pairs can show."""
    frame = verdict.edges.to_frame()
    told = ((frame["q"] <= 0.05) & (frame["node_share_low"] > EDGE_MARGIN)).to_numpy()
    built = {(str(e.sender), str(e.receiver), e.through) for e in world.truth if verdict.edges_kind in e.kinds}
    true = np.array([key in built for key in zip(frame["sender"], frame["receiver"], frame["through"], strict=True)])
    right, false, missed = (int(part.sum()) for part in (told & true, told & ~true, ~told & true))
    return {"edges_right": right, "edges_false": false, "edges_missed": missed}


def run(
    out: Path,
    most: int | None,
    executor: Any,
    arms: tuple[str, ...],
    first: int,
    kinds: tuple[str, ...] = tuple(KINDS),
    quick: bool = False,
) -> None:
    """Measure what the tables still lack: worlds by seed, so that a stopped run has as many of each kind.

    `most` bounds the worlds of a kind and arm.
    """
    out.mkdir(parents=True, exist_ok=True)
    done = known(out / "worlds.csv", ["kind", "seed", "exact", "arm"])
    most = QUICK_WORLDS if most is None and quick else most
    asked = {kind: {arm: n if most is None else min(n, most) for arm, n in KINDS[kind].arms.items()} for kind in kinds}
    asked = {kind: {arm: n for arm, n in by_arm.items() if arm in arms} for kind, by_arm in asked.items()}
    jobs: list[Job] = []
    cover = []
    for i in range(max(n for by_arm in asked.values() for n in by_arm.values())):
        for kind, by_arm in asked.items():
            exact = not quick and i < SOME and i % EXACT_OF == 0
            for without_noise in (True, False) if exact else (False,):
                wanted = [arm for arm, n in by_arm.items() if i < n and (arm == BUILT or not without_noise)]
                missing = [arm for arm in wanted if (kind, str(first + i), str(without_noise), arm) not in done]
                if missing:
                    jobs.append((kind, first + i, without_noise, tuple(missing)))
            if not quick and i < by_arm.get(BUILT, 0) and i % COVERED_OF == 0:
                cover.append((kind, first + i))
    covered = known(out / "coverage.csv", ["kind", "seed"])
    cover = [job for job in cover if (job[0], str(job[1])) not in covered]
    failed = [
        *take(out / "worlds.csv", each(executor, partial(attempt, measure), jobs)),
        *take(out / "coverage.csv", each(executor, partial(attempt, coverage), cover)),
    ]
    if failed:
        raise SystemExit("\n\n".join(("These worlds failed; all others are measured:", *failed)))


def each(executor: Any, function: Callable[[Any], Any], jobs: list[Any]) -> Iterator[Any]:
    """What the function gives for each world, as it comes: here, or from the workers of an executor."""
    if executor is None:
        yield from map(function, jobs)
        return
    for job, future in hc.spread.as_finished(executor, function, jobs):
        try:
            yield future.result()
        except Exception:  # the worker was lost: the world is said at the end, and the next call measures it
            yield f"{job}\n{traceback.format_exc()}"


def attempt(function: Callable[[Any], list[dict[str, Any]]], job: Any) -> list[dict[str, Any]] | str:
    """The rows, or what went wrong: one world must not lose those that are measured beside it."""
    try:
        return function(job)
    except Exception:  # it is said at the end of the run
        return f"{job}\n{traceback.format_exc()}"


def take(path: Path, found: Iterable[list[dict[str, Any]] | str]) -> Iterator[str]:
    """Append rows as they come; what went wrong is handed on."""
    for item in found:
        if isinstance(item, str):
            yield item
        else:
            append(path, item)


VALUES = [f"{name}{end}" for name in ("T", "S", "R_G", "R_O") for end in ("", "_low", "_high")]
OF_KIND = [
    "true_R_G", "true_S", "truth_S", "truth", "truth_error", "truth_pairs", "why", "reading", "reason",
    *(f"{direction}_{name}" for direction in ("as_is", "reversed") for name in (*VALUES, "p", "p_D")),
]  # fmt: skip
COLUMNS = {
    "worlds.csv": [
        "kind", "seed", "arm", "exact", "variant", "noise", "answer", "reason", "reading", "reading_reason", *PREMISES,
        *(f"true_{name}" for name in PREMISES), "shown_on", "measured", "core", "core_is_built", "generalizing",
        "ends_are_built", "edges_right", "edges_false", "edges_missed", "seconds",
        *(f"{kind}_{name}" for kind in ("order", "overlap") for name in OF_KIND),
    ],
    "coverage.csv": ["kind", "seed", "statistic", "of", "truth", "intervals", "inside", "width", "spread"],
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
    parser.add_argument("--worlds", type=int, help="at most so many of each kind; 0: only the tables again")
    parser.add_argument(
        "--quick",
        action="store_true",
        help=f"{QUICK_WORLDS} worlds of each, no coverage",
    )
    parser.add_argument("--on", choices=["here", "processes", "slurm", "dask"], default="processes")
    parser.add_argument("--jobs", type=int, help="workers (default: one for each core)")
    parser.add_argument("--config", type=Path, help="TOML file with the table [slurm] or [dask]; see docs/spread.md")
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED)
    parser.add_argument("--figure", type=Path, help="where to draw the table, by suffix (.png, .svg, .html)")
    given = parser.parse_args()
    started = time.monotonic()
    if given.worlds != 0:
        arms, kinds = tuple(given.arms), tuple(given.kinds)
        FILE.set(given.config)
        os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
        with workers(given.on, given.jobs, 1, given.out) as executor:
            run(given.out, given.worlds, executor, arms, given.first_seed, kinds, given.quick)
    lines = [*report(given.out)]
    (given.out / "calibration.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    print(f"\n{time.monotonic() - started:.0f} s on {given.on}")
    if given.figure:
        figure(given.out).write(given.figure)


if __name__ == "__main__":
    main()
