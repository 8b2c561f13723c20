"""What a GPU gives: parity with the CPU, and each task's time, memory and share of the card's matrix rate.

    python experiments/benchmarks/on_gpu.py --out gpu     # CUDA or MPS; meant to take at most 8 minutes
    python experiments/benchmarks/on_gpu.py --out cpu --device cpu --small     # the same, small, without a GPU

It writes OUT.json and OUT.md. Models: zoo:minilm-nli and a BERT of base's size with random weights, in float32, TF32
off unless a row says otherwise. The share is the matrix operations that torch counted in a task, by its time and by the
rate that a product of two large square matrices of the same type had just before (on a CPU torch does not count its
attention kernel). Times are medians of calls after one to warm up. Parity is the largest difference to the same on the
CPU. Nothing is measured of the accuracy of a search or of an estimate.
"""

import argparse
import copy
import itertools
import json
import platform
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import BertConfig, BertForSequenceClassification

import hc_interp as hc

LABELS = ("entailment", "neutral", "contradiction")
BATCHES = (16, 64, 256, 1024)
Row = tuple[str, str, dict[str, Any]]  # task, note, numbers
COLUMNS = ("model", "task", "seconds", "share of the matrix rate", "peak GiB", "note")


class Card:
    """A device: waits for it, counts memory, and knows the rate of its matrix products by type."""

    def __init__(self, device: str, small: bool) -> None:
        self.device, self.side, self.calls = torch.device(device), 512 if small else 8192, 2 if small else 5
        self.name = torch.cuda.get_device_name() if self.device.type == "cuda" else platform.processor() or "CPU"
        self.rates = {"float32": self.rate(torch.float32), "bfloat16": self.rate(torch.bfloat16)}
        with Tf32():
            self.rates["TF32"] = self.rate(torch.float32)

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        elif self.device.type == "mps":
            torch.mps.synchronize()

    def seconds(self, task: Callable[[], object], calls: int | None = None) -> float:
        """Median seconds of calls after one to warm up."""
        task()
        times = []
        for _ in range(calls or self.calls):
            self.wait()
            begun = time.perf_counter()
            task()
            self.wait()
            times.append(time.perf_counter() - begun)
        return statistics.median(times)

    def rate(self, dtype: torch.dtype) -> float:
        """Operations a second of a square product, two for each multiplication with its addition."""
        a, b = (torch.randn(self.side, self.side, device=self.device, dtype=dtype) for _ in range(2))
        return 2 * self.side**3 / self.seconds(lambda: a @ b, 10)

    def measure(self, task: Callable[[], object], rate: str = "float32", calls: int | None = None) -> dict[str, Any]:
        with FlopCounterMode(display=False) as counter:
            task()
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        seconds = self.seconds(task, calls)
        peak = torch.cuda.max_memory_allocated() / 2**30 if self.device.type == "cuda" else float("nan")
        done = counter.get_total_flops()
        share = done / seconds / self.rates[rate]
        return {"seconds": seconds, "operations": done, "share of the matrix rate": share, "peak GiB": peak}


class Tf32:
    """Products of float32 in TF32 while it stands."""

    def __enter__(self) -> None:
        torch.set_float32_matmul_precision("high")

    def __exit__(self, *_: object) -> None:
        torch.set_float32_matmul_precision("highest")


def models(device: str, small: bool) -> Iterator[tuple[str, hc.HookedModel, hc.HookedModel]]:
    """A name, the model on the CPU and the same on the device."""
    minilm = hc.load("zoo:minilm-nli", device="cpu")
    torch.manual_seed(0)
    sizes = {"hidden_size": 96, "num_hidden_layers": 3, "num_attention_heads": 3, "intermediate_size": 192}
    config = BertConfig(num_labels=3, initializer_range=0.08, **(sizes if small else {}))
    modules = {"BERT, random": BertForSequenceClassification(config).eval()}
    if not small:
        modules = {"MiniLM": minilm.module, **modules}
    for name, module in modules.items():
        on_cpu, model = (loaded(module, minilm, device=where) for where in ("cpu", device))
        yield name, on_cpu, model


def loaded(module: torch.nn.Module, like: hc.HookedModel, **options: Any) -> hc.HookedModel:
    return hc.load(copy.deepcopy(module), tokenizer=like.tokenizer, labels=LABELS, **options)


def rows(card: Card, small: bool) -> Iterator[dict[str, Any]]:
    task = hc.load_task("overlap-grammar", max_per_case=20 if small else 200)
    for name, on_cpu, model in models(str(card.device), small):
        found = [parity(on_cpu, model, task), passes(card, model, task), searches(card, model, task, small)]
        for label, note, numbers in itertools.chain(*found, batch_sizes(card, model, small)):
            yield {"model": name, "task": label, "note": note, **numbers}


def pairs_of(task: hc.Task, n: int) -> hc.ContrastPairs:
    case = next(name for name in task.cases if "order" in task.pair_kinds(name))
    return task.contrast_pairs(case, kind="order", split="test").sample(n)


def passes(card: Card, model: hc.HookedModel, task: hc.Task) -> Iterator[Row]:
    batch = model.tokenize(task.train.sample(64, 0))
    means = hc.mean_activations(model, batch)
    removed = model.components[1::2]
    every_z = [hc.Site(layer, "z") for layer in range(model.n_layers)]
    free = card.measure(plain_pass(model, batch))
    yield "plain forward, 64 rows", "", free
    hooked = {
        "masked forward": lambda: model.logits(batch, [hc.Ablate(removed, means)]),
        "capture of every z": lambda: model.run(batch, capture=every_z),
    }
    for name, run in hooked.items():
        found = card.measure(run)
        yield f"{name}, 64 rows", f"{found['seconds'] / free['seconds']:.2f} of the plain one", found


def searches(card: Card, model: hc.HookedModel, task: hc.Task, small: bool) -> Iterator[Row]:
    n_pairs, steps = (8, 2) if small else (64, 20)
    means = hc.mean_activations(model, task.train.sample(64, 0))
    yield (
        f"mask search, {steps} updates", "",
        card.measure(lambda: hc.search_masks(model, task.train, 0.5, 1, means, steps=steps), calls=1),
    )  # fmt: skip
    pairs = pairs_of(task, n_pairs)
    heads = [item for item in model.components if isinstance(item, hc.Head)]
    receivers = [head for head in heads if head.layer > 0]
    n_paths = sum(a.layer < b.layer for a in heads for b in receivers)
    for method in ("exact", "attribution"):
        found = card.measure(partial(hc.path_effects, model, pairs, heads, receivers, method=method), calls=1)
        rate = f"{n_paths * n_pairs / found['seconds']:,.0f} a second"
        yield f"{n_paths:,} paths, {method}, {n_pairs} pairs", rate, found


def plain_pass(model: hc.HookedModel, batch: hc.Batch) -> Callable[[], object]:
    inputs = model.geometry.inputs(batch.to(model.device))
    ids = batch.input_ids.to(model.device)

    @torch.no_grad()
    def run() -> object:
        return model.module(ids, **inputs).logits

    return run


def parity(on_cpu: hc.HookedModel, model: hc.HookedModel, task: hc.Task) -> Iterator[Row]:
    """The largest difference to the CPU of logits and of path effects; and what TF32 and bfloat16 change."""
    heads = [item for item in model.components if isinstance(item, hc.Head)]
    first, last = heads[:3], [head for head in heads if head.layer == model.n_layers - 1][:3]
    pairs, batch = pairs_of(task, 8), on_cpu.tokenize(task.train.sample(16, 0))

    def values(which: hc.HookedModel) -> tuple[torch.Tensor, torch.Tensor]:
        effects = hc.path_effects(which, pairs, first, last).effects
        return which.logits(batch).cpu().float(), effects.cpu().float()

    expected = values(on_cpu)
    half = loaded(on_cpu.module, on_cpu, device=model.device, dtype="bfloat16")
    for kind, which in {"float32": model, "TF32": model, "bfloat16": half}.items():
        with Tf32() if kind == "TF32" else nullcontext():
            found = values(which)
        apart = [float((a - b).abs().max()) for a, b in zip(found, expected, strict=True)]
        largest = [float(value.abs().max()) for value in expected]
        note = f"logits {apart[0]:.1e} of up to {largest[0]:.1e}, path effects {apart[1]:.1e} of up to {largest[1]:.1e}"
        yield f"parity, {kind}", note, {"logits": apart[0], "effects": apart[1]}


def batch_sizes(card: Card, model: hc.HookedModel, small: bool) -> Iterator[Row]:
    length = 32 if small else 64
    for kind in ("float32", "TF32"):
        for size in BATCHES[: 2 if small else None]:
            ids = torch.randint(5, 1000, (size, length))
            batch = hc.Batch(ids, torch.ones_like(ids)).to(card.device)
            with Tf32() if kind == "TF32" else nullcontext():
                found = card.measure(partial(model.logits, batch), kind)
            yield f"forward, {kind}, {size} rows of {length}", f"{size / found['seconds']:,.0f} rows a second", found


def table(found: list[dict[str, Any]]) -> str:
    lines = ["| " + " | ".join(COLUMNS) + " |", "| " + " | ".join("---" for _ in COLUMNS) + " |"]
    for item in found:
        cells = [f"{item[c]:.3g}" if isinstance(item.get(c), float) else str(item.get(c, "")) for c in COLUMNS]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="writes OUT.json and OUT.md")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "mps")
    parser.add_argument("--small", action="store_true", help="small models and few rows, to try the script")
    given = parser.parse_args()
    warnings.simplefilter("ignore", hc.HCWarning)
    torch.set_float32_matmul_precision("highest")
    began = time.monotonic()
    card = Card(given.device, given.small)
    found = []
    for item in rows(card, given.small):
        found.append(item)
        print(f"{time.monotonic() - began:5.0f} s  {item['model']}: {item['task']} {item['note']}", flush=True)
    rates = ", ".join(f"{name} {rate / 1e12:.3g}" for name, rate in card.rates.items())
    head = f"{card.name}, torch {torch.__version__}; matrix rates in 10^12 operations a second: {rates}"
    record = {"card": card.name, "torch": torch.__version__, "rates": card.rates, "rows": found}
    given.out.with_suffix(".json").write_text(json.dumps(record, indent=1))
    given.out.with_suffix(".md").write_text(f"{head}\n\n{table(found)}\n")
    print(f"{head}\n\n{table(found)}\n{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
