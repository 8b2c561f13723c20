"""What is a search's time best spent on? Steps of training, their size, and trades after them: seconds and KL.

    python experiments/search_budget.py --data DATA [--steps 30 60 120] [--batch 8 16] [--seeds 2] [--exchanges 16]

A row for each number of steps and examples a step: what training alone takes and leaves, and what a search with trades
does. KL is on the search's own held-out examples, one number for each seed; means are computed before. A search without
trades draws no more examples than its steps can use, so it is not the first part of the one beside it.
"""

import argparse
import time

import hc_interp as hc

MODEL = "zoo:minilm-nli"
N_MEANS = 4096


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--steps", type=int, nargs="+", default=[30, 60, 120])
    parser.add_argument("--batch", type=int, nargs="+", default=[16])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--sparsity", type=float, default=0.5)
    parser.add_argument("--exchanges", type=int, default=16)
    options = parser.parse_args()
    model, train = hc.load(MODEL), hc.load_task("mnli-hans", data_dir=options.data).train
    means = hc.mean_activations(model, train.sample(N_MEANS))
    print("| steps | examples a step | training, s | KL | with trades, s | KL | rounds | Jaccard of heads |")
    print("| --- " * 8 + "|")
    for steps in options.steps:
        for size in options.batch:
            cells = []
            for rounds in (0, options.exchanges):
                begun = time.perf_counter()
                found = hc.search_masks(
                    model, train, options.sparsity, range(options.seeds), means,
                    steps=steps, batch_size=size, exchanges=rounds,
                )  # fmt: skip
                seconds = (time.perf_counter() - begun) / options.seeds
                cells.append(f"{seconds:.0f} | {' '.join(f'{kl:.4f}' for kl in found.kl)}")
            n_rounds = len(found.exchanges) / options.seeds
            jaccard = hc.heuristic_core(found.subnetworks).jaccard
            print(f"| {steps} | {size} | {' | '.join(cells)} | {n_rounds:.1f} | {jaccard:.2f} |", flush=True)


if __name__ == "__main__":
    main()
