"""From which words to which: paths from the core to the generalizing heads, by the roles that they run between.

    python experiments/spans.py --model zoo:minilm-nli --out experiments/spans.csv     # minutes on one core
    python experiments/spans.py --model zoo:tiny-overlap@6500 --case lexical_overlap_ln_preposition

On the grammar: the core is what `SEEDS` searched masks share, the generalizing heads are those of
`hc.generalizing_heads` beside it (or the `MOST` other heads with the largest effect if none passes, which is said). The
paths are direct, on the order pairs of one case that no choice saw ("test"), one for each pair of the roles that the
grammar names. Each has its effect in logits of the gold answer less the others, its interval over the units of the
grammar, and q over all paths; `share` is of the receiver's own effect at that role. Effects of roles do not add up,
since roles overlap (`subject` lies in `first_text`).
"""

import argparse
import time
import warnings
from pathlib import Path

import torch

import hc_interp as hc

SPARSITY, SEEDS, STEPS = 0.5, 12, 120
PAIRS, MOST, SHOWN = 64, 3, 15
COLUMNS = ["sender", "receiver", "effect", "low", "high", "q", "node_share", "node_share_low", "node_share_high"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="zoo:minilm-nli")
    parser.add_argument("--case", default="lexical_overlap_ln_subject/object_swap")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--out", type=Path, help="where the paths with q at most .05 are written (.csv)")
    parser.add_argument("--figure", type=Path, help="where the figure of the strongest receiver is written")
    given = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", hc.HCWarning)
    began = time.process_time()
    model, task = hc.load(given.model), hc.load_task("overlap-grammar")
    assert task.train is not None
    means = hc.mean_activations(model, task.train.sample(512, 0))
    found = hc.search_masks(model, task.train.sample(1024, 0), SPARSITY, given.seeds, means, steps=STEPS)
    core = hc.heuristic_core(found).heads
    heads, passed = generalizing(model, task, core)
    print(f"{given.model}: core {' '.join(map(str, core))}")
    print(f"generalizing heads {' '.join(map(str, heads))}{'' if passed else ' (none passes: the largest effects)'}")
    pairs = task.contrast_pairs(given.case, kind="order", split="test").sample(given.pairs, 0)
    paths = hc.path_effects(model, pairs, [h for h in core if h.layer < max(heads).layer], heads, positions="roles")
    frame = paths.to_frame().dropna(subset=["effect"])
    strongest = frame.reindex(frame["effect"].abs().sort_values(ascending=False).index)
    n_paths, n_found = len(frame), int((frame["q"] <= 0.05).sum())
    print(f"{given.case}, {len(pairs)} pairs: {n_paths} paths between roles, {n_found} with q at most .05")
    print(strongest[COLUMNS].head(SHOWN).round(3).to_string(index=False))
    if given.out is not None:
        strongest[strongest["q"] <= 0.05][COLUMNS].to_csv(given.out, index=False, float_format="%.4f")
    if given.figure is not None:
        print(hc.figures.path_roles(paths).write(given.figure))
    print(f"{time.process_time() - began:.0f} s of processor time")


def generalizing(model: hc.HookedModel, task: hc.Task, core: list[hc.Head]) -> tuple[list[hc.Head], bool]:
    """The generalizing heads beside the core, or the heads with the largest effects; and whether they pass."""
    found = hc.generalizing_heads(model, task, core=core)
    if found.heads:
        return sorted(found.heads), True
    table = found.table[[hc.component(name) not in core for name in found.table["head"]]]
    column = "share" if "share" in table else "effect"
    names = table.reindex(table[column].abs().sort_values(ascending=False).index)["head"].head(MOST)
    return sorted(hc.component(name) for name in names), False


if __name__ == "__main__":
    main()
