"""The paper's figures over training, redrawn from a series, and beside them what it could not see.

    python experiments/over_training.py --series zoo:tiny-overlap --out over   # goes on when called again

At every checkpoint: accuracy in domain, separation and pull; which components searched masks keep; effective size in
domain and on the cases that break the heuristic; with the core of the last heuristic checkpoint and the generalizing
heads of the last one: the premises, and T, D and S. Each is a table and a figure in the folder `--out`.
"""

import argparse
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch

import hc_interp as hc
from hc_interp.dynamics.result import OverTraining

SPARSITY, SEEDS, SEARCH_STEPS = 0.5, 4, 150
GRID, GRID_SEEDS = (0.1, 0.3, 0.5, 0.7, 0.9), 2
PER_CASE, PULL_PAIRS, PAIRS = 100, 20, 48
HEURISTIC_STEP = 450  # of tiny-overlap: the last before counterexamples
PAIRS_OF = "lexical_overlap_ln_subject/object_swap"
PREMISES: dict[str, Any] = {"n_sets": 30, "n_donors": 0, "max_per_case": 60, "max_in_domain": 200}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", required=True, help="zoo:NAME or the folder of a series")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--heuristic-step", type=int, default=HEURISTIC_STEP, help="whose masks give the core")
    parser.add_argument("--suffix", default=".png", help="of the figures: .png, .svg or .html")
    given = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", hc.HCWarning)
    given.out.mkdir(parents=True, exist_ok=True)
    series = hc.load_series(given.series)
    task = hc.load_task("overlap-grammar", max_per_case=PER_CASE)
    take = partial(taken, series=series, out=given.out, suffix=given.suffix)

    search = {"steps": SEARCH_STEPS, "batch_size": 32}
    take("accuracy", hc.analyses.accuracy(task, pull_pairs=PULL_PAIRS))
    cores = take("core", hc.analyses.core(task, SPARSITY, SEEDS, **search))
    core = cores[given.heuristic_step].heads
    print(f"core of step {given.heuristic_step}: {' '.join(map(str, core))}")
    found = hc.generalizing_heads(series[series.steps[-1]], task, core=core)
    heads = found.heads
    print(f"generalizing heads of step {series.steps[-1]}: {' '.join(map(str, heads))}")
    if heads:
        take("premises", hc.analyses.premises(task, core, heads, **PREMISES))
        take("reading", hc.analyses.reading(task, core, heads, PAIRS_OF, pairs=PAIRS))
    sizes = take("subnetworks", hc.analyses.subnetworks(task, GRID, GRID_SEEDS, max_per_case=PER_CASE // 2, **search))
    by_group = sizes.effective_sizes(task)
    hc.figures.effective_size(by_group).write(given.out / f"sizes{given.suffix}")
    table = pd.concat([size.to_frame().assign(group=name) for name, size in by_group.items()])
    table.to_csv(given.out / "sizes.csv", index=False, float_format="%.4f")
    print(table.pivot_table(index="group", columns="step", values="size").to_string())


def taken(name: str, analysis: Callable[[Any], Any], *, series: Any, out: Path, suffix: str) -> OverTraining:
    """The analysis at every checkpoint; its table and its figure are in `out`."""
    started = time.monotonic()
    found = hc.over_training(series, analysis, resume=out / name)
    table = found.trajectory()
    table.to_csv(out / f"{name}.csv", index=False, float_format="%.4f")
    for figure in hc.figures.draw(found).values():
        figure.write(out / f"{name}{suffix}")
    print(f"{name}: {time.monotonic() - started:.0f} s")
    return found


if __name__ == "__main__":
    main()
