"""Why do mask searches agree? The same search again and again, with only some of its random streams drawn anew.

    python experiments/agreement.py --data DATA --out agreement [--runs 4] [--sparsity 0.5] [--exchanges 0]
                                    [--start 2 2]

Agreement between independent runs says that a core exists, or that the search has one place to end in whatever it
starts from. Here runs share all streams but one: the examples, their order, the gates' start, their noise, or what
exchanges measure. A row for each: mean Jaccard of the runs' heads, beside what random subnetworks of the same size
share, heads that all runs keep, beside how many would be kept by chance, and held-out KL. Finished runs are kept in
`--out`, so a stopped run goes on. `--start MEAN STD` draws the gates' `log_alpha` from elsewhere than `search_masks`.
"""

import argparse
from pathlib import Path

import hc_interp as hc
from hc_interp.heads.core import core_size_by_chance
from hc_interp.search import training
from hc_interp.search.plan import STREAMS

MODEL = "zoo:minilm-nli"
N_MEANS = 4096


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--runs", type=int, default=4)
    parser.add_argument("--sparsity", type=float, default=0.5)
    parser.add_argument("--exchanges", type=int, default=16)
    parser.add_argument("--streams", nargs="+", choices=("all", *STREAMS), default=["all", *STREAMS])
    parser.add_argument("--start", type=float, nargs=2, metavar=("MEAN", "STD"))
    options = parser.parse_args()
    if options.start is not None:
        training.INIT_MEAN, training.INIT_STD = options.start
        options.out /= (
            f"start-{options.start[0]:g}-{options.start[1]:g}"  # a finished run does not know where it started
        )
    model, train = hc.load(MODEL), hc.load_task("mnli-hans", data_dir=options.data).train
    means = hc.mean_activations(model, train.sample(N_MEANS))
    print("| drawn anew | Jaccard | by chance | heads in all | by chance | KL |\n| --- | --- | --- | --- | --- | --- |")
    for stream in options.streams:
        vary = STREAMS if stream == "all" else (stream,)
        found = hc.search_masks(
            model, train, options.sparsity, range(options.runs), means,
            exchanges=options.exchanges, vary=vary, resume=options.out / stream,
        )  # fmt: skip
        core = hc.heuristic_core(found.subnetworks)
        n_heads = model.n_layers * model.n_heads
        by_chance = core_size_by_chance([len(item.heads) for item in found.subnetworks], n_heads, options.runs)
        print(
            f"| {stream} | {core.jaccard:.2f} | {core.jaccard_by_chance:.2f} | {len(core.heads)} of "
            f"{len(found.subnetworks[0].heads)} | {by_chance:.1f} | {found.kl.min():.3f} to "
            f"{found.kl.max():.3f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
