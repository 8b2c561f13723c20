"""Path patching against the two-run loop: every head into every later head of zoo:minilm-nli, ratios in one run.

    python experiments/benchmarks/path_patching.py [--data DIR] [--threads 2] [--pairs 64] [--samples 50]

The loop is the definition by plain hooks on the plain module: for each path one full pass with everything held at its
clean value (step 1) and one with the receiver's new value (step 3); its clean and corrupt values are cached and not
counted. It is timed on a random sample of paths, one at a time between pieces of the sweep, so that what else the
machine does slows both alike. Without --data (a folder with the task's files) the pairs are those of the grammar that
comes with the package.
"""

import argparse
import random
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch
from scipy.stats import spearmanr

import hc_interp as hc
from hc_interp.data.align import encode_pairs
from hc_interp.data.labels import resolve_groups
from hc_interp.metrics import MetricRows, logit_diff
from hc_interp.patching.engine.kernels import linear
from hc_interp.patching.rows import rows_of
from hc_interp.patching.sweep import Sweep

CASE = "lexical_overlap_ln_subject/object_swap"
H200 = 67e12 / 2  # assumed: half of the float32 rate on the data sheet, without tensor cores


@dataclass(frozen=True)
class Shape:
    """Sizes of a model and of a sweep of all heads into all later heads."""

    layers: int
    heads: int
    d_model: int
    d_mlp: int
    pairs: int
    length: int

    def paths(self) -> int:
        return self.heads**2 * self.layers * (self.layers - 1) // 2

    def layer(self) -> int:
        """Operations of one layer on all positions, two for each multiplication with its addition."""
        d = self.d_model
        return 2 * self.pairs * self.length * (4 * d * d + 2 * d * self.d_mlp + 2 * self.length * d)

    def last_layer(self) -> int:
        """The last layer at the first position: keys and values of the others are never projected."""
        d = self.d_model
        return 2 * self.pairs * (5 * d * d + 2 * d * self.d_mlp + 2 * self.length * self.heads * d)

    def start(self, positions: int) -> int:
        """The receivers' layer after attention: `dz` into the sum and the MLP's first projection, then the rest."""
        d, d_head = self.d_model, self.d_model // self.heads
        return 2 * self.pairs * positions * (d_head * (d + self.d_mlp) + d * self.d_mlp)

    def sweep(self) -> int:
        """What has to be computed: step 2 for each sender and layer, step 3 for each path and each receiver alone."""
        total = 0
        for layer in range(1, self.layers):
            last = layer == self.layers - 1
            runs = self.heads * (self.heads * layer + 1)
            total += runs * self.start(1 if last else self.length)
            if not last:
                total += runs * ((self.layers - 2 - layer) * self.layer() + self.last_layer())
            d = self.d_model
            read = 2 * self.pairs * self.length * (3 * d * d + 2 * self.length * d)
            total += self.heads * layer * read
        return total

    def loop(self) -> int:
        return self.paths() * 2 * self.layers * self.layer()


class Loop:
    """The slow, obvious way, on one padded batch."""

    def __init__(self, model, part, groups):
        self.module, self.part, self.groups = model.module, part, groups
        self.blocks = model.module.bert.encoder.layer
        self.n_heads, self.d_head = model.n_heads, model.d_head
        self.clean, self.clean_score = self.cache(part.clean)
        self.corrupt, _ = self.cache(part.corrupt)

    def run(self, batch, hooks):
        with ExitStack() as stack:
            for module, kind, fn in hooks:
                register = module.register_forward_pre_hook if kind == "pre" else module.register_forward_hook
                stack.callback(register(fn).remove)
            logits = self.module(
                batch.input_ids, attention_mask=batch.attention_mask, token_type_ids=batch.token_type_ids
            ).logits
        return logit_diff(logits, MetricRows.labelled(self.part.clean.labels, self.groups))

    def cache(self, batch):
        seen, hooks = {}, []
        for i, block in enumerate(self.blocks):
            attention = block.attention
            for name, module in (("q", attention.self.query), ("k", attention.self.key), ("v", attention.self.value)):
                hooks.append((module, "post", lambda m, a, out, key=(i, name): seen.__setitem__(key, out)))
            hooks.append((attention.output.dense, "pre", lambda m, a, key=(i, "z"): seen.__setitem__(key, a[0])))
            hooks.append((block.output.dense, "post", lambda m, a, out, key=(i, "mlp"): seen.__setitem__(key, out)))
        return seen, self.run(batch, hooks)

    def head(self, i):
        return slice(i * self.d_head, (i + 1) * self.d_head)

    def path(self, sender, receiver):
        """Effect per pair of one direct path through q, k and v."""
        arrived, hooks = {}, []
        for i, block in enumerate(self.blocks):
            z = self.clean[i, "z"]
            if i == sender.layer:
                z = z.clone()
                z[..., self.head(sender.head)] = self.corrupt[i, "z"][..., self.head(sender.head)]
            hooks.append((block.attention.output.dense, "pre", lambda m, a, z=z: (z,)))
            hooks.append((block.output.dense, "post", lambda m, a, out, i=i: self.clean[i, "mlp"]))
        attention = self.blocks[receiver.layer].attention
        for name, module in (("q", attention.self.query), ("k", attention.self.key), ("v", attention.self.value)):
            hooks.append((module, "post", lambda m, a, out, name=name: arrived.__setitem__(name, out)))
        self.run(self.part.clean, hooks)
        q, k, v = (arrived[name][..., self.head(receiver.head)] for name in "qkv")
        scores = (q @ k.mT * self.d_head**-0.5).masked_fill(self.part.clean.attention_mask[:, None] == 0, -torch.inf)
        value = scores.softmax(-1) @ v

        def hold(module, args):
            z = args[0].clone()
            z[..., self.head(receiver.head)] = value
            return (z,)

        return self.run(self.part.clean, [(attention.output.dense, "pre", hold)]) - self.clean_score


def timed(fn):
    begun = time.perf_counter()
    found = fn()
    return time.perf_counter() - begun, found


def rates(n):
    """Operations a second at the sweep's shapes: of the plain matrix product and of the kernel that the sweep uses."""
    wide, narrow, up, down = torch.randn(n, 384), torch.randn(n, 1536), torch.randn(1536, 384), torch.randn(384, 1536)
    work = 4 * n * 384 * 1536
    plain = timed(lambda: (wide @ up.T, narrow @ down.T))[0]
    fast = timed(lambda: (linear(wide.view(-1, 16, 384), up, None), linear(narrow.view(-1, 16, 1536), down, None)))[0]
    return work / plain, work / fast


def load(options):
    model = hc.load("zoo:minilm-nli")
    if options.data:
        pairs = hc.load_task("mnli-hans", data_dir=options.data).contrast_pairs(CASE, kind="order", split="test")
    else:
        task = hc.load_task("overlap-grammar")
        case = next(c for c in task.cases if "order" in task.pair_kinds(c))
        pairs = task.contrast_pairs(case, kind="order", split="test")
    heads = [c for c in model.components if isinstance(c, hc.Head)]
    senders = [h for h in heads if h.layer < model.n_layers - 1]
    return model, pairs.sample(options.pairs), senders, [h for h in heads if h.layer > 0]


@torch.no_grad()
def compare(options) -> None:
    model, pairs, senders, receivers = load(options)
    encoded = encode_pairs(model, pairs, options.pairs)
    groups = resolve_groups(model.labels, pairs)
    (part,) = encoded.batches
    length = part.clean.input_ids.shape[1]
    loop = Loop(model, part, groups)
    rows = [row for row in rows_of(senders, receivers, "qkv", False, model.components) if row.active]
    chosen = random.Random(0).sample(range(len(rows)), options.samples)
    shape = Shape(model.n_layers, model.n_heads, model.d_model, 1536, len(encoded), length)
    print(
        f"{len(rows)} paths, {len(encoded)} pairs of {length} positions, "
        f"{options.threads} threads, torch {torch.__version__}"
    )

    loop.path(rows[0].senders[0], rows[0].receivers[0]), rates(3840)
    sweep = Sweep(model, encoded, rows, "pair", [], logit_diff, groups, "direct", options.pairs, options.memory)
    seconds, state = timed(lambda: sweep.state(sweep.parts[0]))
    measuring = sweep.engine(state).measure(range(len(rows)))
    order, effects = sweep.parts[0].index, torch.zeros(len(encoded), len(rows))
    times, measured_rates, differences, looped = [], [], [], {}
    for done in range(len(rows)):
        taken, (place, found) = timed(lambda: next(measuring))
        seconds += taken
        effects[order, place] = found["effects"]
        if done % (len(rows) // options.samples) == 0 and len(times) < options.samples:
            path = chosen[len(times)]
            taken, looped[path] = timed(lambda path=path: loop.path(rows[path].senders[0], rows[path].receivers[0]))
            times.append(taken)
            measured_rates.append(rates(3840))
    for path, effect in looped.items():
        differences.append((effects[part.index, path] - effect).abs().max())
    whole = statistics.mean(times) * len(rows)
    plain, fast = (statistics.median(rate[i] for rate in measured_rates) for i in (0, 1))
    print(f"loop: {statistics.mean(times):.3f} s a path (mean of {len(times)}), {whole:.0f} s for all")
    print(f"exact: {seconds:.1f} s, {whole / seconds:.1f} times faster; largest difference {max(differences):.1e}")
    print(
        f"operations: loop {shape.loop():.3g}, floor {shape.sweep():.3g}: "
        f"{shape.loop() / shape.sweep():.1f} times fewer"
    )
    for name, rate in (("plain product", plain), ("kernel of the sweep", fast)):
        print(
            f"rate of the {name}: {rate / 1e9:.0f} GFLOP/s; "
            f"the sweep's floor reaches {shape.sweep() / seconds / rate:.0%}"
        )

    exact = effects.mean(0)
    k = round(0.05 * len(rows))
    largest = set(exact.abs().topk(k).indices.tolist())
    pairs_of_calls = {"attribution": [], "auto": []}
    for method, ratios in pairs_of_calls.items():
        for _ in range(options.repeats):
            around = [timed(lambda: loop.path(rows[-1].senders[0], rows[-1].receivers[0]))[0] for _ in range(3)]
            taken, found = timed(
                lambda method=method: hc.path_effects(
                    model, pairs, senders, receivers, method=method, memory_mib=options.memory
                )
            )
            around += [timed(lambda: loop.path(rows[-1].senders[0], rows[-1].receivers[0]))[0] for _ in range(3)]
            ratios.append(statistics.mean(around) * len(rows) / taken)
        places = [i for i, down in enumerate(found.downstream) if down]
        estimate = found.effects[:, places].mean(0)
        own = set(estimate.abs().topk(k).indices.tolist())
        settled = {i for i, place in enumerate(places) if found.methods[place] == "exact"}
        low, middle, high = (
            statistics.quantiles(ratios, n=4) if len(ratios) > 2 else (min(ratios), ratios[0], max(ratios))
        )
        print(
            f"{method}: {middle:.0f} times faster than the loop (quartiles {low:.0f} to {high:.0f}); Spearman "
            f"to exact {spearmanr(estimate, exact)[0]:.3f}; of the exact top 5 % ({k} paths) "
            f"{len(own & largest) / k:.1%} are in its own top 5 %, {len(settled & largest) / k:.1%} among the "
            f"{len(settled)} that it measured exactly"
        )

    base = Shape(12, 12, 768, 3072, 256, options.paper_length)
    for cards in (1, 8):
        print(
            f"on paper: BERT-base, {base.paths()} paths x {base.pairs} pairs of {base.length} positions, "
            f"{base.sweep():.3g} operations: {base.sweep() / H200 / cards:.0f} s on {cards} H200 at an assumed "
            f"{H200 / 1e12:.0f} TFLOP/s each"
        )


def peak_mib() -> int:
    """Of this process since its program began: `ru_maxrss` would still hold the peak of the process that started it."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) // 1024


def memory(options) -> None:
    """Peak memory of this process beyond the loaded model, for the whole sweep or a tenth of its paths."""
    model, pairs, senders, receivers = load(options)
    hc.path_effects(model, pairs, senders[:1], receivers[-1:], memory_mib=options.memory)
    before = peak_mib()
    shard = None if options.peak == "whole" else "1/10"
    found = hc.path_effects(model, pairs, senders, receivers, memory_mib=options.memory, shard=shard)
    print(sum(found.downstream), before, peak_mib())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=64)
    parser.add_argument("--samples", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--memory", type=int, default=1024, help="memory_mib of the sweeps")
    parser.add_argument("--paper-length", type=int, default=32, help="positions a pair in the estimate for BERT-base")
    parser.add_argument("--peak", choices=["whole", "tenth"], help="only run this sweep and print its peak memory")
    parser.add_argument("--no-memory", action="store_true", help="leave out the two sweeps that measure memory")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.peak:
        return memory(options)
    compare(options)
    if not options.no_memory:
        peaks = {}
        for name in ("whole", "tenth"):
            command = [sys.executable, "-W", "ignore", *sys.argv, "--peak", name]
            out = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
            peaks[name] = int(out[-1])
            print(f"peak memory of {out[-3]} paths: {out[-1]} MiB (one path: {out[-2]} MiB)")
        print(f"whole / tenth: {peaks['whole'] / peaks['tenth']:.2f}")


if __name__ == "__main__":
    main()
