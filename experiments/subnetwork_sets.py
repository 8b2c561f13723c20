"""Is the sample of good subnetworks the set of all good subnetworks? On models so small that all masks can be listed.

    python experiments/subnetwork_sets.py

Random BERTs of 12 components. In each, 12 % of all 924 masks of six components are within epsilon of the best.
A row for each model and multiple of epsilon: the number of masks within the bound, whether the chains have mixed, the
largest error of a frequency in Monte-Carlo standard errors (of components with an effective sample of more than 50),
and whether the shared core is that of the list.
"""

import argparse
import time
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import torch
from transformers import BertConfig, BertForSequenceClassification

import hc_interp as hc
from hc_interp.data.parts import as_parts, pick
from hc_interp.search.objective import Objective
from hc_interp.search.plan import draw_plan
from hc_interp.search.sample_subnetworks import BATCH_SIZE
from hc_interp.search.sampling.sample import ESS
from hc_interp.search.swaps import row_losses
from hc_interp.search.training_run import EVAL_SIZE
from hc_interp.testbeds import language

N_LAYERS, N_HEADS, D_MODEL, SCALE = 3, 3, 24, 6.0
N, KEPT = N_LAYERS * (N_HEADS + 1), 6
ROWS, SWEEPS = 64, 400
GOOD = 0.12  # of all masks


def random_model(seed: int) -> hc.HookedModel:
    """A BERT with random weights, `SCALE` times those that it is initialised with."""
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(language.VOCABULARY), hidden_size=D_MODEL, num_hidden_layers=N_LAYERS,
        num_attention_heads=N_HEADS, intermediate_size=2 * D_MODEL, max_position_embeddings=language.LENGTH,
    )  # fmt: skip
    module = BertForSequenceClassification(config).eval()
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.ndim > 1:
                parameter.mul_(SCALE)
    return hc.load(module, tokenizer=language.tokenizer(), labels=language.LABELS)


def all_masks(model: hc.HookedModel, train: hc.Examples, means: hc.MeanActivations, seed: int) -> Any:
    """Every mask of `KEPT` components, and its loss on the rows that a sample of this seed draws."""
    plan = draw_plan(as_parts(train), [seed], ROWS, BATCH_SIZE)
    parts = [part for group in plan.groups for part in pick(as_parts(train), group)]
    goal = Objective.of(model, parts, means, "heads+mlps", "kl", (), EVAL_SIZE)
    masks = np.array([[i in chosen for i in range(N)] for chosen in combinations(range(N), KEPT)])
    return masks, row_losses(goal, torch.from_numpy(masks), plan.train_index(seed)).mean(1).numpy()


def measured(seed: int) -> list[dict[str, Any]]:
    """A row for each multiple of epsilon."""
    model, train = random_model(seed), language.task("listed", seed).train
    means = hc.mean_activations(model, train)
    masks, losses = all_masks(model, train, means, seed)
    epsilon = float(np.quantile(losses, GOOD) - losses.min())
    started = time.monotonic()
    sample = hc.sample_subnetworks(
        model, train, 1 - KEPT / N, epsilon, chains=4, means=means, seed=seed, rows=ROWS, sweeps=SWEEPS
    )
    seconds = time.monotonic() - started
    rows = []
    for multiple in sample.multiples:
        good = masks[losses <= sample.bound(multiple)]
        found = sample.mixing(multiple)
        told = ~found.constant & (found.ess > ESS)
        with np.errstate(invalid="ignore", divide="ignore"):
            errors = np.abs(found.mean - good.mean(0)) / found.error
        always = {item for item, kept in zip(sample.universe, good.all(0), strict=True) if kept}
        rows.append(
            {
                "model": seed, "multiple": multiple, "masks": len(good), "mixed": sample.is_mixed(multiple),
                "told": int(told.sum()), "largest error": errors[told].max(initial=0.0),
                "core": set(sample.shared_core(multiple)) == always, "seconds": seconds,
            }
        )  # fmt: skip
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=20, help="the ladder was chosen on models below 20")
    given = parser.parse_args()
    torch.set_num_threads(1)
    frame = pd.DataFrame(
        [row for seed in range(given.first_seed, given.first_seed + given.models) for row in measured(seed)]
    )
    print(frame.round(2).to_string(index=False))
    by = frame.groupby("multiple")
    print(by.agg({"masks": ["min", "max"], "mixed": "sum", "told": "sum", "largest error": "max", "core": "sum"}))
    print(f"{frame.groupby('model').seconds.first().sum():.0f} s of sampling")


if __name__ == "__main__":
    main()
