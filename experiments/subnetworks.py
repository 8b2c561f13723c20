"""What do samples of good subnetworks and their ends show where the truth is known?

    python experiments/subnetworks.py worlds --out experiments/subnetwork_worlds.csv    # 1,620 worlds, a minute each
    python experiments/subnetworks.py ends --out experiments/subnetwork_ends.csv        # 20 models

"worlds": built worlds (`subnetwork_worlds.py`), seeds from `FIRST_SEED` on. A row for each: whether the sample has
mixed, whether its shared core is what was built, and whether `alternatives()` finds groups on half of the chains and
shows them on the others. Only "side by side" has alternatives. Rows are appended as they come; the same command does
what is missing. What is printed is made of all rows.

"ends": the ends of `hc.search_extremes` against all 924 masks of random BERTs of 12 components, those of
`subnetwork_sets.py`. A row for each model: the masks within the bound, and select separations of the ends beside the
lowest and the highest of all these masks.
"""

import argparse
import csv
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from calibration_truth import NOISE
from plain_hooks import use_plain_hooks
from subnetwork_sets import GOOD, KEPT, ROWS, N, all_masks, random_model
from subnetwork_worlds import KINDS, SharedWorld

import hc_interp as hc
from hc_interp.statistics.tests import clopper_pearson
from hc_interp.testbeds import language

FIRST_SEED = 90_000  # of the worlds that are judged; settings were fixed on seeds below 61,100
CORE_WORLDS = 20  # of "competing subnetworks", of which only the shared core is asked for
SAMPLE: dict[str, Any] = {"chains": 8, "rows": 24, "warm_up": 40, "sweeps": 60, "steps": 30}
ALPHA = 0.05
FIRST_MODEL = 20  # of the models that are judged, as in subnetwork_sets.py
SELECT_ROWS = 50  # of a search for ends
CLOSE = 1e-6  # rounding of a separation


def world_row(kind: str, seed: int) -> dict[str, Any]:
    """One world: its sample, shared core and alternatives."""
    started = time.monotonic()
    noise = float(np.random.default_rng([seed, 1]).uniform(*NOISE))
    built = KINDS[kind](seed, noise)
    model = built.world.model
    use_plain_hooks(model)
    train = model.tokenize(built.world.task.train)
    means = hc.mean_activations(model, train, batch_size=256)
    epsilon = built.epsilon(train, means)
    sparsity = 1 - built.kept / len(model.components)
    sample = hc.sample_subnetworks(model, train, sparsity, epsilon, means=means, seed=seed, **SAMPLE)
    core, mixing, groups = set(sample.shared_core()), sample.mixing(), sample.alternatives()
    row = {
        "kind": kind, "seed": seed, "noise": noise, "kept": len(sample.best), "epsilon": epsilon,
        "best_loss": sample.best_loss, "mixed": sample.mixed, "rhat": mixing.worst,
        "ess": float(np.nanmin(mixing.ess, initial=np.inf)), "core_is_built": core == set(built.shared),
        "missing": names(set(built.shared) - core), "extra": names(core - set(built.shared)), "p": groups.p,
        "found": groups.found, "first": names(groups.first), "second": names(groups.second),
        "right": divided(groups, built), "named_p": named_p(sample, built),
    }  # fmt: skip
    return row | {"seconds": time.monotonic() - started}


def ends_row(kind: str, seed: int) -> dict[str, Any]:
    """One random model: its ends, and those of the list of all masks within the bound."""
    started = time.monotonic()
    model, task = random_model(seed), language.task("listed", seed)
    assert task.train is not None
    means = hc.mean_activations(model, task.train)
    masks, losses = all_masks(model, task.train, means, seed)
    epsilon = float(np.quantile(losses, GOOD) - losses.min())
    items = model.components
    good = [
        hc.Subnetwork(frozenset(item for item, kept in zip(items, mask, strict=True) if kept), items)
        for mask in masks[losses <= losses.min() + epsilon + CLOSE]
    ]
    found = hc.search_extremes(
        model, task.train, task, None, 1 - KEPT / N, epsilon, means, seed, rows=ROWS, steps=SAMPLE["steps"],
        max_per_case=SELECT_ROWS, beside={"all": good},
    )  # fmt: skip
    inside = found.beside[found.beside["loss"] <= found.bound]["select"]
    low, high = found.control_low[0], found.control_high[0]
    close = {"low_is_lowest": low <= inside.min() + CLOSE, "high_is_highest": high >= inside.max() - CLOSE}
    return {
        "kind": kind, "seed": seed, "masks": len(inside), "measured": found.settings["masks_measured"], "low": low,
        "lowest": inside.min(), "high": high, "highest": inside.max(), **close, "seconds": time.monotonic() - started,
    }  # fmt: skip


def report_ends(path: Path) -> None:
    rows = table(path)
    print(rows.round(3).to_string(index=False))
    print(f"low end {share(rows['low_is_lowest'])}; high end {share(rows['high_is_highest'])}")
    print(f"{rows['seconds'].sum():.0f} s; of {len(rows)} models {rows['measured'].mean():.0f} masks measured of 924")


def names(items: Any) -> str:
    return " ".join(sorted(map(str, items)))


def divided(groups: hc.Alternatives, built: SharedWorld) -> Any:
    """Whether each group that was found has at least two components of one circuit and none of the other."""
    if built.groups is None:
        return ""
    first, second = ({*group} for group in built.groups)
    one, other = set(groups.first), set(groups.second)
    ways = ((one, other), (other, one))
    return any(len(a & first) > 1 and len(b & second) > 1 and not a & second and not b & first for a, b in ways)


def named_p(sample: hc.SubnetworkSample, built: SharedWorld) -> Any:
    """p of the built circuits as named groups, of their components that vary over the sample."""
    if built.groups is None:
        return ""
    frequency = dict(zip(sample.universe, sample.mixing().mean, strict=True))
    varying = [[item for item in group if 0 < frequency[item] < 1] for group in built.groups]
    return sample.alternatives((varying[0], varying[1])).p if min(map(len, varying)) > 1 else 1.0


def jobs(n: int, first: int) -> Iterator[tuple[str, int]]:
    """Worlds by seed, so that a run that is stopped has as many of each kind."""
    for i in range(n):
        for kind in KINDS:
            if kind != "competing subnetworks" or i < CORE_WORLDS:
                yield kind, first + i


def append(path: Path, row: dict[str, Any]) -> None:
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, list(row))
        if new:
            writer.writeheader()
        writer.writerow({key: f"{value:.6g}" if isinstance(value, float) else value for key, value in row.items()})


def run(path: Path, todo: Iterator[tuple[str, int]], measure: Callable[[str, int], dict[str, Any]]) -> None:
    """Append the rows that the table lacks."""
    done: set[tuple[str, int]] = set()
    if path.exists():
        done = {(str(kind), int(seed)) for kind, seed in table(path)[["kind", "seed"]].to_numpy().tolist()}
    for kind, seed in todo:
        if (kind, seed) not in done:
            append(path, measure(kind, seed))


def table(path: Path) -> Any:
    """The rows so far; "null" is a kind and not a missing value."""
    return pd.read_csv(path, keep_default_na=False, na_values=[""])


def report_worlds(path: Path) -> None:
    rows = table(path)
    print("| world | worlds | mixed | core is the built one | alternatives found | in the built division | named |")
    print("| --- " * 7 + "|")
    for kind, part in rows.groupby("kind", sort=False):
        groups = part["right"].notna().any()
        cells = [str(kind), str(len(part)), str(int(part["mixed"].sum())), share(part["core_is_built"])]
        cells += [share(part["found"]), share(part["found"] & (part["right"] == True)) if groups else ""]  # noqa: E712
        cells += [share(part["named_p"] <= ALPHA) if groups else ""]
        print("| " + " | ".join(cells) + " |")
    print(f"{rows['seconds'].sum():.0f} s, median {rows['seconds'].median():.0f} s a world")


def share(told: Any) -> str:
    right, n = int(told.astype(bool).sum()), len(told)
    rate = clopper_pearson(right, n)
    return f"{right} of {n}: {100 * right / n:.1f} % [{100 * float(rate.low):.1f}, {100 * float(rate.high):.1f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["worlds", "ends"])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--worlds", type=int, default=400, help="of each kind; 0: only the table again")
    parser.add_argument("--models", type=int, default=20, help="of the ends")
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED, help="of the worlds")
    given = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", category=hc.HCWarning)
    if given.what == "worlds":
        run(given.out, jobs(given.worlds, given.first_seed), world_row)
        report_worlds(given.out)
    else:
        run(given.out, (("random BERT", FIRST_MODEL + i) for i in range(given.models)), ends_row)
        report_ends(given.out)


if __name__ == "__main__":
    main()
