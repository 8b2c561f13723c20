"""On a real model and real data a short search is better than chance, and label groups are read as the paper does."""

import os

import numpy as np
import pytest
import torch

from hc_interp.data.load import load_task
from hc_interp.evaluation.evaluate import evaluate
from hc_interp.interventions.means import mean_activations
from hc_interp.models.load import load
from hc_interp.models.zoo_cards import ZOO
from hc_interp.search.search_masks import search_masks
from hc_interp.subnetwork import Subnetwork

pytestmark = pytest.mark.skipif(
    "HC_INTERP_DATA" not in os.environ, reason="HC_INTERP_DATA does not name the folder of the real data"
)
SWAP = "lexical_overlap_ln_subject/object_swap"


def test_a_short_search_beats_random_subnetworks():
    model = load("zoo:minilm-nli")
    task = load_task("mnli-hans", os.environ["HC_INTERP_DATA"], max_per_case=40)
    train = task.train.sample(112, seed=0)
    means = mean_activations(model, train)
    result = search_masks(model, train, 0.5, [0], means, steps=30, batch_size=8, exchanges=0)
    rng, items = np.random.default_rng(0), model.components
    named = {"found": result.subnetworks[0]}
    for number in range(2):
        kept = frozenset(items[i] for i in rng.permutation(len(items))[:39])
        named[f"random {number}"] = Subnetwork(kept, items)
    table = evaluate(model, task, named, means, cases=[SWAP], max_per_case=40, level=0.999)
    kl = dict(zip(table.names, table.kl.mean(1).tolist(), strict=True))
    assert kl["found"] < 0.5 * min(kl["random 0"], kl["random 1"])
    long = table.to_frame(long=True).set_index(["subnetwork", "case", "metric"])
    card = {part["name"]: part["accuracy"] for part in ZOO["minilm-nli"].card["accuracy"]["parts"]}
    full = long.loc[("full", "validation", "accuracy")]
    assert full["low"] <= card["MNLI matched"] <= full["high"]
    assert torch.equal(table.kl[0], torch.zeros(40))
