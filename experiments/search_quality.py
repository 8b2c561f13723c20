"""How near does the mask search come to the best mask? On models so small that all masks can be measured.

    python experiments/search_quality.py [--models 3] [--seeds 20] [--kept 4 6 8] [--exchanges 16]

Each model is a BERT classifier with random weights: 2 layers of 5 heads, 12 components in all, of which every one
matters a little. All masks that keep `--kept` of them are measured on the examples that the search holds out, and on
those it may train on. The gap is (KL - KL of the best) / (mean KL of all - KL of the best): 0 is the best mask, 1 is
what a random mask gives. "its own" takes best and KL on the 768 examples that a run drew: what a search leaves.
"all" takes them on everything that runs may draw, "held out" on examples that no run saw: these contain what differs
between samples of data, too.
"""

import argparse
from itertools import combinations

import numpy as np
import torch
from transformers import BertConfig, BertForSequenceClassification

import hc_interp as hc
from hc_interp.data.parts import pick
from hc_interp.search.objective import Objective
from hc_interp.search.plan import draw_plan
from hc_interp.search.pool import build_pool
from hc_interp.search.search_masks import SUBSET
from hc_interp.search.swaps import mask_losses

N_EXAMPLES, LENGTH, VOCABULARY = 2048, 8, 60
LABELS = ["entailment", "neutral", "contradiction"]
CLOSED = 0.01  # of the gap that is still open


def random_model(seed: int) -> hc.HookedModel:
    """Weights several times as large as at the start of a training, so that components matter."""
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=VOCABULARY, hidden_size=40, num_hidden_layers=2, num_attention_heads=5, intermediate_size=80,
        max_position_embeddings=LENGTH, num_labels=3, initializer_range=0.3,
    )  # fmt: skip
    return hc.load(BertForSequenceClassification(config).eval(), labels=LABELS)


def masks(n: int, kept: int) -> torch.Tensor:
    """Every mask that keeps so many of `n` components."""
    found = torch.zeros(len(list(combinations(range(n), kept))), n, dtype=torch.bool)
    for row, places in enumerate(combinations(range(n), kept)):
        found[row, list(places)] = True
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--kept", type=int, nargs="+", default=[4, 6, 8])
    parser.add_argument("--exchanges", type=int, default=16)
    options = parser.parse_args()
    print("| model | kept | closed: its own | all | held out | largest gap: its own | all | median without exchanges |")
    print("| --- " * 8 + "|")
    for seed in range(options.models):
        model = random_model(seed)
        batch = hc.Batch(torch.from_numpy(np.random.default_rng(seed).integers(1, VOCABULARY, (N_EXAMPLES, LENGTH))))
        means = hc.mean_activations(model, batch)
        plan = draw_plan([batch], [0], 16, 16)
        pool = build_pool(model, pick([batch], np.arange(N_EXAMPLES)), with_gold=False, interventions=(), size=256)
        goal = Objective(model, model.components, means, pool, "kl")
        parts = {"all": np.setdiff1d(np.arange(N_EXAMPLES), plan.held_out), "held out": plan.held_out}
        n = len(model.components)
        for kept in options.kept:
            every = masks(n, kept)
            losses = {name: mask_losses(goal, every, torch.from_numpy(rows)) for name, rows in parts.items()}
            runs = [
                hc.search_masks(model, batch, 1 - kept / n, range(options.seeds), means, exchanges=rounds)
                for rounds in (options.exchanges, 0)
            ]
            gaps = [{name: gap(run, every, own) for name, own in losses.items()} for run in runs]
            for found, own in zip(runs, gaps, strict=True):
                own["its own"] = own_gaps(found, every, goal, batch)
            closed = [f"{int((gaps[0][name] <= CLOSED).sum())} of {options.seeds}" for name in ("its own", *parts)]
            print(
                f"| {seed} | {kept} of {n} | {' | '.join(closed)} | {gaps[0]['its own'].max():.3f} | "
                f"{gaps[0]['all'].max():.3f} | {gaps[1]['its own'].median():.3f} |",
                flush=True,
            )


def own_gaps(found: hc.MaskSearch, every: torch.Tensor, goal: Objective, batch: hc.Batch) -> torch.Tensor:
    """What each run leaves open on the examples that it drew."""
    drawn = draw_plan([batch], found.seeds, SUBSET, 16).train
    return torch.stack(
        [
            gap(found, every, mask_losses(goal, every, torch.from_numpy(rows)))[i]
            for i, rows in enumerate(drawn.values())
        ]
    )


def gap(found: hc.MaskSearch, every: torch.Tensor, losses: torch.Tensor) -> torch.Tensor:
    """What each run leaves open between the best of all masks and their mean."""
    universe = found.subnetworks[0].universe
    own = [torch.tensor([item in subnetwork for item in universe]) for subnetwork in found.subnetworks]
    places = torch.stack([(every == mask).all(1).nonzero()[0, 0] for mask in own])
    return (losses[places] - losses.min()) / (losses.mean() - losses.min())


if __name__ == "__main__":
    main()
