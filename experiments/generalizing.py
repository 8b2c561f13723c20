"""Which heads outside the core generalize, by each of three kinds of evidence? Contrast, presence and ablation.

    python experiments/generalizing.py --data DATA --searches FOLDER [--seeds 12] [--exchanges 0] [--max-pairs 512]

Searches are kept in `--searches` (those of `agreement.py --out OUT` are in OUT/all). The core is what all of them keep.
Presence and ablation look at the HANS cases that the heuristic gets wrong. A row for each head that at least one method
passes, and how many heads two methods have in common, beside the number that as many heads drawn at random would.
"""

import argparse
from itertools import combinations
from pathlib import Path

import hc_interp as hc

MODEL = "zoo:minilm-nli"
N_MEANS = 4096
METHODS = ("contrast", "presence", "ablation")
WRONG = ("ln_", "sn_", "cn_")  # HANS' subcases in which all words overlap and nothing is entailed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--searches", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=12)
    parser.add_argument("--exchanges", type=int, default=0)
    parser.add_argument("--max-pairs", type=int, default=512)
    options = parser.parse_args()
    model, task = hc.load(MODEL), hc.load_task("mnli-hans", data_dir=options.data)
    means = hc.mean_activations(model, task.train.sample(N_MEANS))
    found = hc.search_masks(
        model, task.train, 0.5, range(options.seeds), means, exchanges=options.exchanges, resume=options.searches
    )
    core = hc.heuristic_core(found.subnetworks)
    cases = [name for name in task.cases if any(part in name for part in WRONG)]
    every = {}
    for method in METHODS:
        own = {"cases": None if method == "contrast" else cases, "max_pairs": options.max_pairs}
        every[method] = hc.generalizing_heads(model, task, core=core, found=found, means=means, method=method, **own)
        print(every[method], flush=True)
        for note in every[method].notes:
            print(f"  {note}")
    table = every["contrast"].beside(*(every[method] for method in METHODS[1:]))
    shown = ["contrast_share", "contrast_passes", "presence_difference", "presence_passes", "ablation_excess",
             "ablation_passes"]  # fmt: skip
    passed = table[table["passed_by"] > 0].sort_values("passed_by", ascending=False)
    print(passed[["head", *shown, "passed_by"]].to_string(index=False, float_format=lambda value: f"{value:.3f}"))
    for first, second in combinations(METHODS, 2):
        a, b = table[f"{first}_passes"], table[f"{second}_passes"]
        print(f"{first} and {second}: {(a & b).sum()} heads in common, {a.sum() * b.sum() / len(table):.1f} by chance")


if __name__ == "__main__":
    main()
