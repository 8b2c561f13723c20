"""Mask search against the published recipe and against screens: time, KL on data that none of them saw. One run.

    python experiments/benchmarks/mask_search.py --data DATA [--seeds 12] [--others 2] [--screen 1024] [--threads 2]

The recipe is measured as published: 32 pairs padded to 128, a full-model pass and a masked pass with its backward pass
for each, a batch before every search, so that what else the machine does slows both alike; its time is that cost times
its batches. Its mask is that of `published_recipe.py`, run to its end. Screens see `--screen` examples (leaving one out
`--leave-out`, it takes a pass for each component) and keep as many components as the search does. `--seeds` searches
are made at 50 %, where the recipe ran, `--others` at every other sparsity.

All masks are scored by KL(full || mask) on validation examples, from which nothing was chosen, neither a mask nor the
search's settings. Intervals are bootstrap over sources, those of differences over the same examples for both sides.
"""

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from operator import truediv
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from published_recipe import BATCH, BATCHES, MODEL, N_MEANS, RESULT, SPARSITY, n_steps
from torch import Tensor

import hc_interp as hc
from hc_interp.metrics import kl_divergence
from hc_interp.search.hard_concrete import sample_gates
from hc_interp.search.objective import Objective
from hc_interp.search.plan import draw_plan
from hc_interp.search.swaps import SURROGATE_SIZE
from hc_interp.statistics.tests import bootstrap

LENGTH = 128  # what the published code pads to
SCREENS = {
    "gradient importance": hc.gradient_importance,
    "gradient importance, by layer": lambda *given: hc.gradient_importance(*given, normalize=True),
    "AtP*": hc.attribution_patching,
    "leave one out": hc.leave_one_out,
}


@dataclass
class Recipe:
    """One batch of the published recipe after another; `seconds` has what each took."""

    model: hc.HookedModel
    means: hc.MeanActivations
    data: hc.Examples

    def __post_init__(self) -> None:
        self.seconds: list[float] = []
        n = len(self.model.components)
        self.log_alpha = torch.full((n,), 10.0, requires_grad=True)
        self.noise = torch.Generator().manual_seed(0)

    def batch(self) -> None:
        part = self.data.rows([(len(self.seconds) * BATCH + i) % len(self.data) for i in range(BATCH)])
        short = self.model.tokenize(part)
        batch = short.padded_to(LENGTH, 0)
        begun = time.perf_counter()
        with torch.no_grad():
            full = self.model.logits(batch)
        uniform = torch.rand(len(self.log_alpha), generator=self.noise).clamp(1e-6, 1 - 1e-6)
        masked = self.model.logits(batch, hc.SoftMask(sample_gates(self.log_alpha - 10, uniform), self.means))
        kl_divergence(full, masked).mean().backward()
        self.seconds.append(time.perf_counter() - begun)


class Passes:
    """Counts the tokens times layers that searches push forward, where passes share what is below a layer too."""

    def __init__(self) -> None:
        self.n = 0
        logits, streams = Objective.logits, Objective.streams

        def counted_logits(goal: Objective, gates: Tensor, rows: Tensor, start: Any = None) -> Tensor:
            self.n += int(goal.pool.lengths[rows].sum()) * (goal.model.n_layers - (start[0] if start else 0))
            return logits(goal, gates, rows, start)

        def counted_streams(goal: Objective, gates: Tensor, rows: Tensor, last: int) -> list[Tensor]:
            self.n += int(goal.pool.lengths[rows].sum()) * last
            return streams(goal, gates, rows, last)

        Objective.logits, Objective.streams = counted_logits, counted_streams


def operations(found: hc.MaskSearch, model: hc.HookedModel, forward: int, tokens: float) -> float:
    """Of one run, two for a multiplication with its addition; attention's own products and scoring are left out.

    `forward` is in tokens times layers. Backward passes go to activations alone and cost as much: one for each step of
    training, and one in each round of swaps for each class but the last.
    """
    d, d_mlp = model.d_model, model.geometry.d_mlp
    rows = found.settings["steps"] * found.settings["batch_size"]
    rows += int(found.exchanges["examples"].clip(upper=SURROGATE_SIZE).sum()) * (len(model.labels) - 1)
    return (forward + rows * tokens * model.n_layers) * 2 * (4 * d * d + 2 * d * d_mlp)


def matrix_rate(model: hc.HookedModel, rows: int) -> float:
    """Operations a second of the MLP's first product at a step's shape."""
    x, w = torch.randn(rows, model.d_model), torch.randn(model.geometry.d_mlp, model.d_model)
    times = []
    for _ in range(20):
        begun = time.perf_counter()
        F.linear(x, w)
        times.append(time.perf_counter() - begun)
    return 2 * rows * model.d_model * model.geometry.d_mlp / statistics.median(times)


@dataclass
class Judge:
    """KL(full || mask) on the same examples for every mask."""

    model: hc.HookedModel
    means: hc.MeanActivations
    data: hc.Examples

    def kl(self, masks: Sequence[hc.Subnetwork]) -> Float[np.ndarray, "mask example"]:
        task = hc.Task("validation", validation=self.data, classes=self.data.classes)
        return hc.evaluate(self.model, task, masks, self.means).kl[1:].double().numpy()

    def interval(self, kl: Float[np.ndarray, " example"]) -> str:
        found = bootstrap(kl, clusters=self.data.source, seed=0)
        return f"{found.value:.4f} [{found.low:.4f}, {found.high:.4f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--seeds", type=int, default=12)
    parser.add_argument("--others", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--screen", type=int, default=1024, help="examples that screens see")
    parser.add_argument("--leave-out", type=int, default=256, help="examples that leaving one out sees")
    parser.add_argument("--judge", type=int, default=1024, help="validation examples")
    parser.add_argument("--sparsity", type=float, nargs="+", default=[0.5, 0.7, 0.3])
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model, task = hc.load(MODEL), hc.load_task("mnli-hans", data_dir=options.data)
    means = hc.mean_activations(model, task.train.sample(N_MEANS))
    own = task.train.rows(draw_plan([task.train], [0], 1024, 16).train[0].tolist())  # what the first seed sees
    tokens = statistics.fmean(model.tokenize(own).attention_mask.sum(1).tolist())
    recipe = Recipe(model, means, own)
    recipe.batch()
    recipe.seconds.clear()

    times: dict[float, list[float]] = {share: [] for share in options.sparsity}
    kept: dict[float, list[hc.Subnetwork]] = {share: [] for share in options.sparsity}
    rates, best, passes = [], [], Passes()
    for share in options.sparsity:
        for seed in range(options.seeds if share == SPARSITY else options.others):
            recipe.batch()
            passes.n, begun = 0, time.perf_counter()
            found = hc.search_masks(model, task.train, share, [seed], means)
            times[share].append(time.perf_counter() - begun)
            kept[share].append(found.subnetworks[0])
            rates.append(operations(found, model, passes.n, tokens) / times[share][-1])
            best.append(matrix_rate(model, round(found.settings["batch_size"] * tokens)))
            print(f"search at {share:g}, seed {seed}: {times[share][-1]:.1f} s, {found.kl[0]:.4f} held out", flush=True)
    step = statistics.median(recipe.seconds)
    print(f"recipe: {step:.2f} s a batch of {BATCH} x {LENGTH}")
    for share, masks in kept.items():
        each, several = statistics.median(times[share]), sum(times[share])
        whole = step * BATCHES * n_steps(share)
        print(f"search at {share:g}: {each:.1f} s; recipe {whole:,.0f} s, {whole / each:.0f} times as long")
        if len(masks) > 1:
            core = hc.heuristic_core(masks)
            print(
                f"  {len(masks)} seeds: {several:.0f} s, {several / each:.1f} times one; all keep "
                f"{len(core.components)} components ({core.size_by_chance:.1f} by chance); Jaccard of heads "
                f"{core.jaccard:.2f} ({core.jaccard_by_chance:.2f} by chance)"
            )
    print(
        f"a search reaches {statistics.median(rates) / 1e9:.1f} GFLOP/s, plain products "
        f"{statistics.median(best) / 1e9:.1f}: {100 * statistics.median(map(truediv, rates, best)):.0f} %, what is not "
        "a layer's product of its weights uncounted"
    )
    judge = Judge(model, means, task.validation.sample(options.judge))
    rivals: dict[str, dict[float, hc.Subnetwork]] = {}
    published = json.loads(RESULT.read_text())
    if published["model"] != model.fingerprint:
        raise SystemExit(f"{RESULT.name} holds a mask of another model. Run published_recipe.py again.")
    rivals["recipe"] = {SPARSITY: hc.Subnetwork(published["kept"], model.components)}
    for name, screen in SCREENS.items():
        begun = time.perf_counter()
        n_seen = options.leave_out if name == "leave one out" else options.screen
        ranking = screen(model, own.rows(range(min(n_seen, len(own)))), means)
        print(f"{name}: {time.perf_counter() - begun:.1f} s for {n_seen} examples", flush=True)
        rivals[name] = {share: ranking.top(share) for share in kept}
    for share, masks in kept.items():
        found_kl = judge.kl(masks)
        each = found_kl.mean(1)
        print(f"at {share:g}, search: mean of {len(masks)} seeds {judge.interval(found_kl.mean(0))}, seeds ", end="")
        print(f"{each.min():.4f} to {each.max():.4f}", flush=True)
        for name, own_masks in rivals.items():
            if share in own_masks:
                (kl,) = judge.kl([own_masks[share]])
                less = judge.interval(kl - found_kl.mean(0))
                beaten = int((each < kl.mean()).sum())
                print(f"  {name}: {judge.interval(kl)}, search lower by {less}, {beaten} of {len(masks)} seeds lower")


if __name__ == "__main__":
    main()
