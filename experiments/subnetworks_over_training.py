"""Good subnetworks early and late in training: their core, how differently they generalize, and their ends.

    python experiments/subnetworks_over_training.py --out good          # tiny-overlap; goes on when called again

At the last heuristic checkpoint and at the last one of all: a sample of all subnetworks of half the components
(`hc.sample_subnetworks`), separation of its draws on lexical overlap, and the ends (`hc.search_extremes`) with
the sample, searches and AtP* beside them. Figures are in the folder `--out`.
"""

import argparse
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

import hc_interp as hc

SPARSITY = 0.5
HEURISTIC = "lexical_overlap"
ROUNDS = 4  # of a search for the ends
DRAWS, SEEDS = 64, 4
SAMPLE: dict[str, Any] = {"rows": 64, "warm_up": 80, "sweeps": 200}
SCORED, PER_CASE, MEANS, TRAIN = 40, 1000, 1000, 4000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", default="zoo:tiny-overlap")
    parser.add_argument("--steps", type=int, nargs="+", default=[450, 6500])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--suffix", default=".png", help="of the figures: .png, .svg or .html")
    given = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", hc.HCWarning)
    series = hc.load_series(given.series)
    task = hc.load_task("overlap-grammar", max_per_case=PER_CASE)
    for step in given.steps:
        started = time.monotonic()
        for name, figure in at_step(series[step], task, given.out / f"step-{step}").items():
            figure.write(given.out / f"step-{step}-{name}{given.suffix}")
        print(f"step {step}: {time.monotonic() - started:.0f} s\n", flush=True)


def at_step(model: hc.HookedModel, task: hc.Task, folder: Path) -> dict[str, Any]:
    """Prints what was found at one checkpoint, and returns the figures."""
    assert task.train is not None
    train = task.train.sample(min(TRAIN, len(task.train)))
    means = hc.mean_activations(model, train.sample(min(MEANS, len(train))))
    sample = hc.sample_subnetworks(model, train, SPARSITY, means=means, resume=folder / "sample", **SAMPLE)
    sample.save(folder / "sample.json")
    frame = sample.to_frame()
    varied = frame["frequency"].between(0.05, 0.95).sum()
    print(sample)
    print(f"shared core: {' '.join(map(str, sample.shared_core()))}; kept by 95 %: {len(sample.typical_core())}")
    print(f"{varied} of {len(frame)} components are kept by 5 to 95 %; pairs: {relations(sample)}")
    print(f"epsilon by {sample.settings['chosen_by']}")
    draws = {str(i): net for i, net in enumerate(sample.draws(DRAWS))}
    scores = hc.evaluate(model, task, draws, means, max_per_case=SCORED, pull_pairs=0).heuristic_scores
    assert scores is not None
    separation = np.asarray(scores.interval(scores.separation(HEURISTIC)).value)
    quantiles = np.quantile(separation[1:], [0, 0.05, 0.5, 0.95, 1]).round(3)
    print(f"separation: full {separation[0]:.3f}; draws: lowest, 5 %, median, 95 %, highest {quantiles.tolist()}")
    search = hc.search_masks(model, train, SPARSITY, range(SEEDS), means)
    screen = hc.attribution_patching(model, train.sample(min(512, len(train))), means).top(sparsity=SPARSITY)
    ends = hc.search_extremes(
        model, train, task, HEURISTIC, SPARSITY, sample.epsilon, means, resume=folder / "ends",
        beside={"draws of the sample": sample, "searches": search, "AtP*": screen}, rows=SAMPLE["rows"],
        rounds=ROUNDS,
    )  # fmt: skip
    ends.save(folder / "extremes.json")
    print(ends.to_frame().round(3).to_string(index=False))
    print(ends.summary)
    print(f"permuted within premise patterns: {ends.settings['within_patterns']:.2f}")
    print(ends.beside.groupby("group", sort=False)[["loss", "test"]].agg(["min", "mean", "max"]).round(3).to_string())
    return {**hc.figures.draw(sample), **hc.figures.draw(ends)}


def relations(sample: hc.SubnetworkSample) -> dict[str, int]:
    found: Any = sample.pairs()["relation"]
    return {str(name): int(n) for name, n in found[found != ""].value_counts().items()}


if __name__ == "__main__":
    main()
