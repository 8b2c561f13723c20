"""What is a search's time best spent on? Rows of a pass, steps of training, their size, and swaps after them.

    python experiments/search_budget.py --data DATA [--steps 30 60 120] [--batch 8 16] [--traded 30 120] [--seeds 2]

First what a step costs for each example by the number of rows in its pass, each row under its own gates: what is left
to gain if several masks share a pass. Then a row for each number of steps and examples a step: seconds of a search
without swaps and the KL it leaves; with swaps too where `--traded` names the steps. KL is on the search's own
held-out examples, one number for each seed; means are computed before. A search without swaps draws no more examples
than its steps can use, so it is not the first part of the one beside it.
"""

import argparse
import time
from statistics import median

import torch

import hc_interp as hc
from hc_interp.search.hard_concrete import sample_gates
from hc_interp.search.objective import Objective
from hc_interp.search.pool import build_pool

MODEL = "zoo:minilm-nli"
N_MEANS = 4096
ROWS = (4, 8, 16, 32, 64)
N_TIMED = 256  # examples of a timed epoch
EPOCHS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--steps", type=int, nargs="+", default=[30, 60, 120])
    parser.add_argument("--batch", type=int, nargs="+", default=[8, 16])
    parser.add_argument("--traded", type=int, nargs="*", default=[30, 120])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--sparsity", type=float, default=0.5)
    parser.add_argument("--exchanges", type=int, default=16)
    options = parser.parse_args()
    model, train = hc.load(MODEL), hc.load_task("mnli-hans", data_dir=options.data).train
    means = hc.mean_activations(model, train.sample(N_MEANS))
    passes(model, train, means)
    print("| steps | examples a step | without swaps, s | KL | with swaps, s | KL | rounds | Jaccard of heads |")
    print("| --- " * 8 + "|")
    for size in options.batch:
        for steps in options.steps:
            rounds = [0, options.exchanges] if steps in options.traded and size == options.batch[-1] else [0]
            cells = []
            for own in rounds:
                begun = time.perf_counter()
                found = hc.search_masks(
                    model, train, options.sparsity, range(options.seeds), means,
                    steps=steps, batch_size=size, exchanges=own,
                )  # fmt: skip
                seconds = (time.perf_counter() - begun) / options.seeds
                cells.append(f"{seconds:.0f} | {' '.join(f'{kl:.4f}' for kl in found.kl)}")
            cells += [" | "] * (2 - len(cells))
            n_rounds = f"{len(found.exchanges) / options.seeds:.1f}" if len(rounds) > 1 else ""
            jaccard = hc.heuristic_core(found.subnetworks).jaccard
            print(f"| {steps} | {size} | {' | '.join(cells)} | {n_rounds} | {jaccard:.2f} |", flush=True)


def passes(model: hc.HookedModel, train: hc.Examples, means: hc.MeanActivations) -> None:
    """Milliseconds of forward and backward pass for each example, by rows in a pass; rows of like length together."""
    pool = build_pool(model, [train.sample(N_TIMED)], with_gold=False, interventions=(), size=64)
    goal = Objective(model, model.components, means, pool, "kl")
    generator = torch.Generator().manual_seed(0)
    order = torch.argsort(pool.lengths, stable=True)
    times: dict[int, list[float]] = {size: [] for size in ROWS}
    for _ in range(EPOCHS):
        for size in ROWS:
            begun = time.perf_counter()
            for rows in order.split(size):
                alpha = torch.full((len(goal.universe),), 2.0, requires_grad=True)
                uniform = torch.rand(len(rows), len(goal.universe), generator=generator)
                goal.loss(goal.logits(sample_gates(alpha, uniform), rows), rows).mean().backward()
            times[size].append((time.perf_counter() - begun) / N_TIMED * 1000)
    print("| rows in a pass | " + " | ".join(map(str, ROWS)) + " |\n" + "| --- " * (len(ROWS) + 1) + "|")
    print("| ms an example | " + " | ".join(f"{median(own):.1f}" for own in times.values()) + " |\n", flush=True)


if __name__ == "__main__":
    main()
