"""Mask search against the published recipe and against screens: time, KL on held-out data, and the floor. One run.

    python experiments/benchmarks/mask_search.py --data DATA [--seeds 12] [--threads 2] [--sparsity 0.3 0.5 0.7]

The recipe is measured as published: 32 pairs padded to 128, a full-model pass and a masked pass with its backward pass
for each, some batches between the runs of the search, so that what else the machine does slows both alike; its time is
that cost times its batches. Its KL is that of `published_recipe.py`, run to its end, where its result is there. Screens
see as many examples as `--screen` says, and keep as many components as the search does.
"""

import argparse
import json
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from published_recipe import BATCH, BATCHES, MODEL, N_MEANS, RESULT, STEPS

import hc_interp as hc
from hc_interp.search import exchange
from hc_interp.search.hard_concrete import sample_gates
from hc_interp.search.objectives import kl_divergence
from hc_interp.search.plan import draw_plan

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
        wide = (0, LENGTH - short.input_ids.shape[1])
        batch = hc.Batch(*(F.pad(t, wide) for t in (short.input_ids, short.attention_mask, short.token_type_ids)))
        begun = time.perf_counter()
        with torch.no_grad():
            full = self.model.logits(batch)
        uniform = torch.rand(len(self.log_alpha), generator=self.noise).clamp(1e-6, 1 - 1e-6)
        masked = self.model.logits(batch, hc.SoftMask(sample_gates(self.log_alpha - 10, uniform), self.means))
        kl_divergence(full, masked).mean().backward()
        self.seconds.append(time.perf_counter() - begun)


def counted(found: hc.MaskSearch, model: hc.HookedModel, tokens: float) -> float:
    """Operations of one run, two for a multiplication with its addition, attention's own products and scoring left out.

    A step of training is a forward pass and a backward pass to activations alone. A round of trades is a forward pass,
    a backward pass for each class but the last, and a forward pass for each mask that is measured.
    """
    d, d_mlp = model.d_model, model.geometry.d_mlp
    layer = 2 * (4 * d * d + 2 * d * d_mlp)
    settings = found.settings
    passes = settings["steps"] * settings["batch_size"] * 2
    for n in found.exchanges["examples"]:
        single = 2 * exchange.PROMISING * max(exchange.START // 2, n // 4)
        passes += n * (len(model.labels) + exchange.FINALISTS + len(exchange.CHAINS)) + single
    return passes * tokens * model.n_layers * layer


def matrix_rate(model: hc.HookedModel, rows: int) -> float:
    """Operations a second of the MLP's first product at a step's shape."""
    x, w = torch.randn(rows, model.d_model), torch.randn(model.geometry.d_mlp, model.d_model)
    times = []
    for _ in range(50):
        begun = time.perf_counter()
        F.linear(x, w)
        times.append(time.perf_counter() - begun)
    return 2 * rows * model.d_model * model.geometry.d_mlp / statistics.median(times)


def held_out_kl(model: hc.HookedModel, rows: hc.Examples, kept: hc.Subnetwork, means: hc.MeanActivations) -> float:
    task = hc.Task("held out", validation=rows, classes=rows.classes)
    return float(hc.evaluate(model, task, [kept], means).kl[1].double().mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--seeds", type=int, default=12)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--screen", type=int, default=512, help="examples that screens see")
    parser.add_argument("--sparsity", type=float, nargs="+", default=[0.3, 0.5, 0.7])
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model, train = hc.load(MODEL), hc.load_task("mnli-hans", data_dir=options.data).train
    means = hc.mean_activations(model, train.sample(N_MEANS))
    plan = draw_plan([train], [0], 1024, 16)
    held_out, own = (train.rows(rows.tolist()) for rows in (plan.held_out, plan.train[0]))
    recipe = Recipe(model, means, own)
    recipe.batch()
    recipe.seconds.clear()

    times: dict[float, list[float]] = {share: [] for share in options.sparsity}
    kls: dict[float, list[float]] = {share: [] for share in options.sparsity}
    for share in options.sparsity:
        for seed in range(options.seeds if share == 0.5 else min(2, options.seeds)):
            recipe.batch()
            begun = time.perf_counter()
            found = hc.search_masks(model, train, share, [seed], means)
            times[share].append(time.perf_counter() - begun)
            kls[share].append(float(found.kl[0]))
            print(f"search at {share:g}, seed {seed}: {times[share][-1]:.1f} s, KL {kls[share][-1]:.4f}", flush=True)
    step = statistics.median(recipe.seconds)
    whole = step * BATCHES * STEPS
    print(f"recipe: {step:.2f} s a batch of {BATCH} x {LENGTH}, {whole:,.0f} s for {BATCHES * STEPS:,} of them")
    for share, taken in times.items():
        each = statistics.median(taken)
        several = f"{len(taken)} of them {sum(taken):.0f} s"
        print(f"sparsity {share:g}: one search {each:.1f} s, {whole / each:.0f} times faster; {several}")
    tokens = statistics.fmean(model.tokenize(own).attention_mask.sum(1).tolist())
    rate = counted(found, model, tokens) / times[options.sparsity[-1]][-1]
    best = matrix_rate(model, round(found.settings["batch_size"] * tokens))
    print(f"a search reaches {rate / 1e9:.1f} of {best / 1e9:.1f} GFLOP/s, {100 * rate / best:.0f} %, scoring included")
    if RESULT.exists():
        print(f"recipe's KL on the same held-out pairs: {json.loads(RESULT.read_text())['held_out_kl']:.4f}")
    else:
        print(f"recipe's KL: unknown until published_recipe.py has run to its end ({Path(RESULT).name} is not there)")
    seen = own.rows(range(min(options.screen, len(own))))
    for name, screen in SCREENS.items():
        begun = time.perf_counter()
        ranking = screen(model, seen, means)
        took = time.perf_counter() - begun
        found_kl = [held_out_kl(model, held_out, ranking.top(share), means) for share in options.sparsity]
        print(f"{name}: {took:.1f} s, KL {', '.join(f'{kl:.4f}' for kl in found_kl)}", flush=True)
    for share in options.sparsity:
        print(f"search at {share:g}: KL {min(kls[share]):.4f} to {max(kls[share]):.4f}")


if __name__ == "__main__":
    main()
