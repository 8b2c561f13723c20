"""EAP and EAP-IG against exact effects: do estimates rank the paths from every head into every later head rightly?

    python experiments/benchmarks/attribution.py [--data DIR] [--threads 2] [--pairs 32] [--steps 1 2 5 10 30]
    python experiments/benchmarks/attribution.py --random-gpt2

Without --data (a folder with the task's files) the pairs are those of the grammar that comes with the package. The
random GPT-2 is a pre-norm model whose answers mean nothing: it shows what the estimates do there, not what they find.
"""

import argparse
import time

import torch
from path_patching import load
from scipy.stats import spearmanr
from transformers import GPT2Config, GPT2ForSequenceClassification

import hc_interp as hc

TOP = 0.05  # the share of paths whose largest effects are looked for


def random_gpt2(options):
    """A GPT-2 with weights large enough that all heads matter, and pairs of random tokens that differ in one."""
    torch.manual_seed(0)
    config = GPT2Config(n_embd=96, n_layer=6, n_head=6, n_positions=32, vocab_size=200, num_labels=3, pad_token_id=0)
    module = GPT2ForSequenceClassification(config)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.15)
    model = hc.load(module, labels=["entailment", "neutral", "contradiction"])
    ids = torch.randint(1, 200, (options.pairs, 16))
    other = ids.clone()
    other[:, 8] = (ids[:, 8] % 199) + 1
    clean, corrupt = (hc.Batch(side, torch.ones_like(side)) for side in (ids, other))
    pairs = hc.ContrastPairs(clean, corrupt, [0] * options.pairs, groups=((0,), (1, 2)))
    heads = [c for c in model.components if isinstance(c, hc.Head)]
    return model, pairs, [h for h in heads if h.layer < 5], [h for h in heads if h.layer > 0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=32)
    parser.add_argument("--steps", type=int, nargs="+", default=[1, 2, 5, 10, 30])
    parser.add_argument("--random-gpt2", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model, pairs, senders, receivers = random_gpt2(options) if options.random_gpt2 else load(options)
    begun = time.perf_counter()
    found = hc.path_effects(model, pairs, senders, receivers)
    paths = [place for place, down in enumerate(found.downstream) if down]
    exact = found.effects[:, paths].mean(0)
    k = round(TOP * len(paths))
    largest = set(exact.abs().topk(k).indices.tolist())
    print(f"{model.name}: {len(paths)} paths, {len(found.total)} pairs, exact in {time.perf_counter() - begun:.0f} s")
    for steps in options.steps:
        begun = time.perf_counter()
        estimates = hc.path_effects(model, pairs, senders, receivers, method="attribution", ig_steps=steps)
        estimate = estimates.effects[:, paths].mean(0)
        own = set(estimate.abs().topk(k).indices.tolist())
        error = (estimate - exact).norm() / exact.norm()
        print(
            f"ig_steps={steps}: Spearman to exact {spearmanr(estimate, exact)[0]:.3f}, of |estimate| to |exact| "
            f"{spearmanr(estimate.abs(), exact.abs())[0]:.3f}; {len(own & largest) / k:.1%} of the exact top {TOP:.0%} "
            f"({k} paths) in its own; relative error {error:.2f}; {time.perf_counter() - begun:.1f} s"
        )


if __name__ == "__main__":
    main()
