"""The published mask search (Bhaskar, Friedman & Chen 2024), run to its end: the baseline of mask_search.py.

    python experiments/benchmarks/published_recipe.py --data DATA [--workers 2]     # hours; a kill loses 10 steps
    python experiments/benchmarks/published_recipe.py --data DATA --check 40        # what bfloat16 products change

Its schedule: 6,500 + 50 x sparsity% optimiser steps in which the target grows from 0, 6 x sparsity% more, each of 4
batches of 32 examples, one gate sample a batch; AdamW with learning rates 0.1 (`log_alpha`, from N(10, 0.01)) and 1
(multipliers, ascended), 200 steps of warm-up, then a linear decay to 0; gradients clipped to norm 1.

What does not change the result is left out, so that it ends in hours instead of most of a day: the full model's logits
are computed once and padding never. Products of layers are taken in bfloat16 (sums, norms, softmax and gates in
float32; `--check` says what that changes). Dropout, which the published code leaves on in the masked model, is off: its
noise is no part of the subnetwork that is scored. Each step's draws depend on its number alone, so a run that was
stopped goes on as if it had not been. The state is kept in `published_recipe.safetensors` beside this file; at its end
the mask and its KL on held-out data are written to `published_recipe.json`.
"""

import argparse
import json
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from packed_bert import PackedBert
from safetensors.torch import load_file, save_file
from torch import Tensor

import hc_interp as hc
from hc_interp.data.parts import pick
from hc_interp.metrics import kl_divergence
from hc_interp.search.hard_concrete import expected_sparsity, lagrangian, ramped_target, sample_gates
from hc_interp.search.plan import draw_plan, seed_of
from hc_interp.search.pool import Pool, build_pool
from hc_interp.search.ranking import binary

MODEL = "zoo:minilm-nli"
SPARSITY, SEED = 0.5, 42
BATCHES, BATCH = 4, 32
RAMP = 6500 + 50 * round(100 * SPARSITY)
RATE, MULTIPLIER_RATE, RATE_WARMUP = 0.1, 1.0, 200
N_MEANS = 4096  # examples that the means are taken over
STATE = Path(__file__).with_suffix(".safetensors")
RESULT = Path(__file__).with_suffix(".json")
SAVE_EVERY = 10


def n_steps(sparsity: float) -> int:
    """Steps of the published schedule: 6,500 and 50 for each percent of warm-up, then 6 for each percent."""
    return 6500 + 56 * round(100 * sparsity)


STEPS = n_steps(SPARSITY)


@dataclass(frozen=True)
class Setup:
    """Everything that stays the same: training rows with the full model's logits, held-out rows, means."""

    model: hc.HookedModel
    means: hc.MeanActivations
    pool: Pool
    train: Tensor
    held_out: Tensor


def prepare(data: str, n_train: int | None = None) -> Setup:
    """The rows that every search of this data holds out, and all others (or the first `n_train` of them)."""
    model, train = hc.load(MODEL), hc.load_task("mnli-hans", data_dir=data).train
    means = hc.mean_activations(model, train.sample(N_MEANS))
    plan = draw_plan([train], [SEED], BATCH, BATCH)
    rest = np.setdiff1d(np.arange(len(train)), plan.held_out)[:n_train]
    used = np.union1d(rest, plan.held_out)
    pool = build_pool(model, pick([train], used), with_gold=False, interventions=(), size=64)
    rest, held_out = (torch.from_numpy(np.searchsorted(used, rows)) for rows in (rest, plan.held_out))
    return Setup(model, means, pool, rest, held_out)


class Worker:
    """Gradients of one batch; lives in each process."""

    def __init__(self, setup: Setup, dtype: torch.dtype):
        self.pool, self.bert = setup.pool, PackedBert(setup.model, setup.means, dtype)

    def gradient(self, log_alpha: Tensor, uniform: Tensor, rows: Tensor) -> tuple[Tensor, float]:
        """d KL / d log_alpha and KL, mean over these rows."""
        leaf = log_alpha.clone().requires_grad_()
        gates = sample_gates(leaf, uniform)
        if not bool(((gates > 0) & (gates < 1)).any()) and bool((gates == 1).all()):
            return torch.zeros_like(log_alpha), 0.0  # every gate is open and clamped: the full model, no gradient
        batch, lengths = self.pool.batch, self.pool.lengths
        assert batch.token_type_ids is not None
        ids = [batch.input_ids[row, : lengths[row]] for row in rows.tolist()]
        types = [batch.token_type_ids[row, : lengths[row]] for row in rows.tolist()]
        kl = kl_divergence(self.pool.reference[rows], self.bert.logits(ids, types, gates)).mean()
        (slope,) = torch.autograd.grad(kl, leaf)
        return slope, float(kl.detach())


@dataclass
class Recipe:
    """`log_alpha`, multipliers and AdamW's moments; `step` counts the finished optimiser steps."""

    n: int
    steps: int = STEPS
    step: int = 0

    def __post_init__(self) -> None:
        start = torch.Generator().manual_seed(seed_of(SEED, "start"))
        self.log_alpha = (10 + 0.01 * torch.randn(self.n, generator=start)).requires_grad_()
        self.l1, self.l2 = (torch.zeros((), requires_grad=True) for _ in range(2))
        groups = [
            {"params": [self.log_alpha]},
            {"params": [self.l1, self.l2], "maximize": True, "lr": MULTIPLIER_RATE},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=RATE)
        self.history: list[list[float]] = []

    def draws(self, n_rows: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The gate noise and the rows (places in the training set) of each batch of this step."""
        noise = torch.Generator().manual_seed(seed_of(SEED, f"step {self.step}"))
        first = self.step * BATCHES * BATCH
        for batch in range(BATCHES):
            places = range(first + batch * BATCH, first + (batch + 1) * BATCH)
            yield (
                torch.rand(self.n, generator=noise).clamp(1e-6, 1 - 1e-6),
                torch.tensor([int(shuffled(place // n_rows, n_rows)[place % n_rows]) for place in places]),
            )

    def update(self, gradients: list[tuple[Tensor, float]]) -> None:
        sparsity = expected_sparsity(self.log_alpha)
        self.optimizer.zero_grad()
        lagrangian(sparsity, ramped_target(self.step, RAMP, SPARSITY), self.l1, self.l2).backward()
        assert self.log_alpha.grad is not None
        self.log_alpha.grad += torch.stack([g for g, _ in gradients]).mean(0)
        torch.nn.utils.clip_grad_norm_([self.log_alpha, self.l1, self.l2], 1.0)
        share = min((self.step) / RATE_WARMUP, (self.steps - self.step) / (self.steps - RATE_WARMUP))
        for group, rate in zip(self.optimizer.param_groups, (RATE, MULTIPLIER_RATE), strict=True):
            group["lr"] = rate * share
        self.optimizer.step()
        kl = float(np.mean([kl for _, kl in gradients]))
        self.history.append([self.step, kl, sparsity.item(), self.l1.item(), self.l2.item()])
        self.step += 1

    def parameters(self) -> dict[str, Tensor]:
        return {"log_alpha": self.log_alpha, "l1": self.l1, "l2": self.l2}

    def save(self, path: Path) -> None:
        found = {name: value.detach() for name, value in self.parameters().items()}
        for name, value in self.parameters().items():
            found |= {f"{name}.{key}": kept for key, kept in self.optimizer.state[value].items()}
        found |= {"step": torch.tensor(self.step), "history": torch.tensor(self.history, dtype=torch.float64)}
        part = path.with_suffix(".part")
        save_file(found, part)
        part.replace(path)

    def load(self, path: Path) -> None:
        found = load_file(path)
        self.step, self.history = int(found["step"]), found["history"].tolist()
        for name, value in self.parameters().items():
            value.data.copy_(found[name])
            for key in ("step", "exp_avg", "exp_avg_sq"):
                self.optimizer.state[value][key] = found[f"{name}.{key}"].clone()


_orders: dict[int, np.ndarray] = {}


def shuffled(epoch: int, n_rows: int) -> np.ndarray:
    """The order of the training rows in one epoch."""
    if epoch not in _orders:
        _orders.clear()
        _orders[epoch] = np.random.default_rng(seed_of(SEED, f"epoch {epoch}")).permutation(n_rows)
    return _orders[epoch]


_worker: Worker | None = None


def start_worker(setup: Setup, dtype: torch.dtype) -> None:
    global _worker
    torch.set_num_threads(1)
    _worker = Worker(setup, dtype)


def task(log_alpha: Tensor, uniform: Tensor, rows: Tensor) -> tuple[Tensor, float]:
    assert _worker is not None
    return _worker.gradient(log_alpha, uniform, rows)


def run(setup: Setup, workers: int) -> Recipe:
    recipe = Recipe(len(setup.model.components))
    if STATE.exists():
        recipe.load(STATE)
    begun, first = time.perf_counter(), recipe.step
    torch.set_num_threads(1)
    context = torch.multiprocessing.get_context("fork")
    with ProcessPoolExecutor(workers, context, start_worker, (setup, torch.bfloat16)) as pool:
        while recipe.step < STEPS:
            alpha = recipe.log_alpha.detach().clone()
            jobs = [pool.submit(task, alpha, u, setup.train[rows]) for u, rows in recipe.draws(len(setup.train))]
            recipe.update([job.result() for job in jobs])
            if recipe.step % SAVE_EVERY == 0 or recipe.step == STEPS:
                recipe.save(STATE)
            if recipe.step % 100 == 0:
                took = (time.perf_counter() - begun) / (recipe.step - first)
                print(f"step {recipe.step} of {STEPS}, {took:.2f} s a step, {recipe.history[-1]}", flush=True)
    return recipe


@torch.no_grad()
def held_out_kl(setup: Setup, kept: hc.Subnetwork) -> float:
    """Mean KL(full || subnetwork) in nats, in float32, through the package's own model."""
    found = [
        kl_divergence(setup.pool.reference[rows], setup.model.logits(setup.pool.take(rows), hc.Keep(kept, setup.means)))
        for rows in setup.held_out.split(64)
    ]
    return torch.cat(found).double().mean().item()


def check(setup: Setup, steps: int) -> None:
    """Gate gradients in bfloat16 products against float32, at a half-open mask, beside what a draw of data changes."""
    n = len(setup.model.components)
    noise = torch.Generator().manual_seed(0)
    workers = {dtype: Worker(setup, dtype) for dtype in (torch.float32, torch.bfloat16)}
    found: dict[torch.dtype, list[Tensor]] = {dtype: [] for dtype in workers}
    alpha = torch.randn(n, generator=noise)
    for step in range(steps):
        uniform = torch.rand(n, generator=noise).clamp(1e-6, 1 - 1e-6)
        rows = setup.train[step * BATCH : (step + 1) * BATCH]
        for dtype, worker in workers.items():
            found[dtype].append(worker.gradient(alpha, uniform, rows)[0])
    exact, rounded = (torch.stack(found[dtype]) for dtype in (torch.float32, torch.bfloat16))
    spread = (exact - exact.mean(0)).norm() / exact.norm()
    print(
        f"relative error of bfloat16 gradients: {((rounded - exact).norm() / exact.norm()).item():.4f}; of their mean"
    )
    print(f"over {steps} batches: {((rounded - exact).mean(0).norm() / exact.mean(0).norm()).item():.4f}")
    print(f"spread of a batch's gradient around the mean: {spread.item():.4f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--check", type=int, default=0, metavar="BATCHES")
    options = parser.parse_args()
    setup = prepare(options.data, BATCH * options.check or None)
    if options.check:
        return check(setup, options.check)
    recipe = run(setup, options.workers)
    kept = binary(recipe.log_alpha.detach(), SPARSITY, setup.model.components)
    found = {
        "model": setup.model.fingerprint,
        "sparsity": SPARSITY,
        "seed": SEED,
        "steps": recipe.step,
        "expected_sparsity": expected_sparsity(recipe.log_alpha).item(),
        "kept": sorted(map(str, kept.kept)),
        "held_out_kl": held_out_kl(setup, kept),
    }
    RESULT.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
