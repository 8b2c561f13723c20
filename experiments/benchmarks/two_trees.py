"""What a change of the package costs: the same short tasks in two source trees, in turn, as ratios in one run.

    git worktree add /tmp/old COMMIT
    python experiments/benchmarks/two_trees.py --old /tmp/old --new . [--families bert gpt2] [--sizes tiny small]

A process for each tree, of one thread, makes the same random module and computes when it is asked to; the other waits
meanwhile. The order is old, new, new, old, ... Times are those of the process on its core, which other work on the
machine changes little (caches, clock rate), and both trees alike. What a process happens to get in memory moves the
times of all its sweeps, by a fifth and more: all of it is done in several pairs of processes (`--starts`). Each line
has the median time in each tree, the median of new / old over the pairs with its quartiles, and the ratio of the two
shortest times. Tasks whose numbers differ between the trees are marked.

Tasks: a plain pass through the wrapper with all z captured, a step of a mask search (masked pass and its gradient), a
pass under a patched path, an exact sweep and an attribution sweep of all heads into all later heads, and `hc.load`.
"""

import argparse
import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any

FAMILIES = {
    "bert": "BertForSequenceClassification",
    "distilbert": "DistilBertForSequenceClassification",
    "roberta": "RobertaForSequenceClassification",
    "electra": "ElectraForSequenceClassification",
    "gpt2": "GPT2ForSequenceClassification",
    "llama": "LlamaForSequenceClassification",
    "mistral": "MistralForSequenceClassification",
    "qwen3": "Qwen3ForSequenceClassification",
}
SLOW = ("exact sweep", "attribution", "load")
TASKS = ("capture", "mask step", "patched path", "exact sweep", "attribution", "load")
# Layers, heads, width, width of the MLP, rows and tokens of a pass, pairs of a sweep. "tiny" is nearly all overhead.
SIZES = {"tiny": (3, 3, 24, 48, 4, 8, 4), "small": (4, 4, 128, 512, 32, 32, 16)}
LABELS = ["entailment", "neutral", "contradiction"]
SAME = 1e-4  # the largest difference of numbers, relative to the largest, that float32 explains


@dataclass(frozen=True)
class Compared:
    """One task in both trees: seconds of each call, in the order of the pairs, and a number of the results."""

    name: str
    old: list[float]
    new: list[float]
    numbers: tuple[float, float]

    @property
    def ratios(self) -> list[float]:
        return [new / old for old, new in zip(self.old, self.new, strict=True)]

    @property
    def same(self) -> bool:
        one, other = self.numbers
        return abs(one - other) <= SAME * max(abs(one), abs(other))

    def __str__(self) -> str:
        low, middle, high = quantiles(self.ratios, n=4)
        numbers = "" if self.same else f"  ANOTHER NUMBER: {self.numbers[0]:.6g} became {self.numbers[1]:.6g}"
        return (
            f"{self.name:<28} {median(self.old) * 1e3:8.1f} -> {median(self.new) * 1e3:8.1f} ms   {middle:.3f} "
            f"(quartiles {low:.3f} to {high:.3f}), of minima {min(self.new) / min(self.old):.3f}{numbers}"
        )


class Tree:
    """A process that computes with the package of one source tree."""

    def __init__(self, folder: Path) -> None:
        threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        environment = os.environ | threads | {"PYTHONPATH": str(folder.resolve()), "HF_HUB_OFFLINE": "1"}
        command = [sys.executable, str(Path(__file__).resolve()), "--worker", str(folder.resolve())]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def ask(self, *words: str) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps(words), file=self.process.stdin, flush=True)
        if not (line := self.process.stdout.readline()):
            raise SystemExit(f"The process of a tree ended at {words}; its error stands above.")
        return json.loads(line)

    def close(self) -> None:
        self.process.communicate()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--old", type=Path)
    parser.add_argument("--new", type=Path)
    parser.add_argument("--families", nargs="+", choices=FAMILIES, default=list(FAMILIES))
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument(
        "--pairs", type=int, default=16, help="pairs of calls of a task, at least 8; of slow tasks a quarter"
    )
    parser.add_argument("--starts", type=int, default=4, help="pairs of processes, in each of which all calls are made")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        serve(options.worker)
        return
    if options.old is None or options.new is None or options.pairs < 8 or options.starts < 1:
        parser.error("expected --old FOLDER and --new FOLDER, two source trees, at least 8 --pairs and 1 of --starts")
    for family in options.families:
        for size in options.sizes:
            found = [comparisons(options, family, size) for _ in range(options.starts)]
            for parts in zip(*found, strict=True):
                print(joined(parts), flush=True)


def comparisons(options: argparse.Namespace, family: str, size: str) -> list[Compared]:
    """All tasks on one model, in two fresh processes."""
    old, new = Tree(options.old), Tree(options.new)
    try:
        return [compared(old, new, (family, size, task), options.pairs) for task in options.tasks]
    finally:
        old.close(), new.close()


def joined(parts: Sequence[Compared]) -> Compared:
    """One task in several pairs of processes."""
    old, new = ([seconds for part in parts for seconds in getattr(part, side)] for side in ("old", "new"))
    odd = next((part for part in parts if not part.same), parts[0])
    return Compared(parts[0].name, old, new, odd.numbers)


def compared(old: Tree, new: Tree, words: tuple[str, str, str], pairs: int) -> Compared:
    """One task, called once in each tree to warm up and then in turn."""
    numbers = old.ask(*words)[1], new.ask(*words)[1]
    times: dict[Tree, list[float]] = {old: [], new: []}
    for pair in range(pairs // 4 if words[2] in SLOW else pairs):
        for tree in (old, new) if pair % 2 == 0 else (new, old):
            times[tree].append(tree.ask(*words)[0])
    return Compared(" ".join(words), times[old], times[new], numbers)


def serve(folder: Path) -> None:
    """Answer each line of the input, a family, a size and a task, by the seconds of one call and a number of its
    result."""
    import torch

    import hc_interp

    # Entry points are those of the installed package: the old tree may lack adapters that they name.
    warnings.filterwarnings("ignore", message="Failed to load entry point")
    if not Path(hc_interp.__file__).is_relative_to(folder):
        raise SystemExit(f"hc_interp comes from {hc_interp.__file__}, not from {folder}.")
    torch.set_num_threads(1)
    made: dict[tuple[str, str], dict[str, Callable[[], Any]]] = {}
    for line in sys.stdin:
        family, size, task = json.loads(line)
        if (family, size) not in made:
            made = {(family, size): tasks(FAMILIES[family], *SIZES[size])}  # one model in memory
        begun = time.process_time()
        result = made[family, size][task]()
        seconds = time.process_time() - begun
        print(json.dumps([seconds, float(result)]), flush=True)


def tasks(
    name: str, layers: int, heads: int, width: int, mlp: int, rows: int, length: int, n_pairs: int
) -> dict[str, Callable[[], Any]]:
    """The tasks on a random module of this class: each computes and returns one number of its result."""
    import torch
    import transformers

    import hc_interp as hc

    torch.manual_seed(0)
    kind = getattr(transformers, name)
    sizes = {"num_hidden_layers": layers, "num_attention_heads": heads, "hidden_size": width, "vocab_size": 100}
    fields = {"intermediate_size": mlp, "hidden_dim": mlp, "n_inner": mlp, "pad_token_id": 0}
    grouped = {"num_key_value_heads": heads, "head_dim": width // heads, "max_position_embeddings": 64}
    known = kind.config_class().to_dict() | kind.config_class.attribute_map
    config = kind.config_class(**{k: v for k, v in (sizes | fields | grouped).items() if k in known}, num_labels=3)
    module = kind(config).eval().requires_grad_(False)
    for weight in module.parameters():
        if weight.ndim > 1:
            weight.normal_(std=0.15)
    model = hc.load(module, labels=LABELS)
    ids = torch.randint(1, 100, (rows, length))
    batch = hc.Batch(ids)
    other = ids.clone()
    other[:, length // 2] = ids[:, length // 2] % 99 + 1
    clean, corrupt = hc.Batch(ids[:n_pairs]), hc.Batch(other[:n_pairs])
    pairs = hc.ContrastPairs(clean, corrupt, [0] * n_pairs, groups=((0,), (1, 2)))
    means = hc.mean_activations(model, batch)
    mask = torch.linspace(0.2, 1, len(model.components)).requires_grad_()
    every_z = [hc.Site(layer, "z") for layer in range(layers)]
    path = hc.PatchPath("L0H0", f"L{layers - 1}H1", source=means)

    @torch.no_grad()
    def capture() -> Any:
        return model.run(batch, capture=every_z).captured[every_z[-1]].norm()

    def mask_step() -> Any:
        mask.grad = None
        model.logits(batch, hc.SoftMask(mask, means)).square().sum().backward()
        return mask.grad.norm()

    @torch.no_grad()
    def patched_path() -> Any:
        return model.logits(batch, path).norm()

    def sweep(**how: Any) -> Any:
        return hc.path_effects(model, pairs, "heads", "heads", **how).effects.norm()

    calls = (capture, mask_step, patched_path, sweep, lambda: sweep(method="attribution"))
    load = lambda: hc.load(module, labels=LABELS).n_layers  # noqa: E731
    return dict(zip(TASKS, (*calls, load), strict=True))


if __name__ == "__main__":
    main()
