"""About how long a command takes, told before it begins: passes of one example counted from its settings.

Measured with one thread: a pass of a grammar sentence through `zoo:minilm-nli` takes about 6 ms of a core's time, with
all that a command does around it. Other models and texts are scaled by weights and tokens, not measured.
"""

from collections.abc import Callable, Mapping
from typing import Any

from hc_interp.experiment.settings import DEMO

PASS = 0.0063  # seconds of one core for one example of about 20 tokens in zoo:minilm-nli; the demo measured
BERT_BASE = 8  # how many times the encoder's weights: 85 million against 10.6 million
CANDIDATES = 50  # heads outside a core, of zoo:minilm-nli's 72
KINDS, CASES, VALIDATION = 2, 31, 1000  # of the grammar's and HANS' tasks
HELD_OUT, TRAINED_ON = 512, 1024  # of a search
STEP = 3  # passes of an example in a training step: forward, and backward twice as long
ROUND = 5  # of an example in a round of exchanges: forward, and backward for two classes
SETS = 60  # joint paths besides the null: routes, size controls, necessity and sufficiency
PATH = 0.7  # of a pass: a joint path in the exact engine

SWEPT = 0.12  # of a pass: a single path of a sweep, and how many heads and MLPs there are
ESTIMATED = 10  # passes of a pair: the estimates of all its paths
MANY = {"heads": 72, "mlps": 6}
A_FILE = 10  # components that a result's file names


def _search(given: Mapping[str, Any]) -> float:
    shares = given["sparsity"] if isinstance(given["sparsity"], list) else [given["sparsity"]]
    each = given.get("steps", given.get("search_steps")) * 16 * STEP + given["exchanges"] * TRAINED_ON * ROUND / 2
    return len(shares) * given["seeds"] * (each + HELD_OUT) + TRAINED_ON + given["mean_examples"]


def _reads_from(given: Mapping[str, Any]) -> float:
    n = given.get("pairs", given.get("test_pairs"))
    return KINDS * n * (given["permutations"] + SETS) * PATH + given["mean_examples"]


def _evaluate(given: Mapping[str, Any]) -> float:
    per_case = given["max_per_case"] or 1000
    return CASES * per_case * (1 + len(given["subnetworks"] or ())) + given["mean_examples"]


def _run(given: Mapping[str, Any]) -> float:
    evaluated = (VALIDATION + (CASES - 1) * given["eval_per_case"]) * (1 + given["seeds"])
    probed = 3 * given["probe_examples"]
    return _search(given) + evaluated + given["select_pairs"] * CANDIDATES + _reads_from(given) + probed


def _patch(given: Mapping[str, Any]) -> float:
    """Half of all pairs of components lie in the wrong order, and are no paths."""
    paths = _named(given["senders"]) * _named(given["receivers"]) / 2
    exact = given["pairs"] * paths * SWEPT * (3 if given["through"] == "each" else 1)
    return {"exact": exact, "attribution": 0, "auto": exact / 100}[given["method"]] + given["pairs"] * ESTIMATED


def _named(ends: str) -> int:
    return A_FILE if ends.endswith(".json") else sum(MANY.get(name.strip(), 1) for name in ends.split(","))


PASSES: dict[str, Callable[[Mapping[str, Any]], float]] = {
    "run": _run,
    "demo": lambda given: _run(DEMO.model_dump()),
    "search": _search,
    "evaluate": _evaluate,
    "generalizing": lambda given: given["max_pairs"] * CANDIDATES,
    "patch": _patch,
    "probe": lambda given: given["examples"] + given["mean_examples"] * bool(given["cut"]),
    "reads-from": _reads_from,
}


def duration(command: str, given: Mapping[str, Any]) -> str:
    """About how long the command takes, in words; "" for one that takes no time or whose time nobody counted."""
    if command not in PASSES:
        return ""
    minutes = PASSES[command](given) * PASS / 60
    counted = f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.0f} h"
    return (
        f"About {counted if minutes >= 1 else 'a minute'} of one core's time for zoo:minilm-nli and sentences of 20 "
        f"tokens; a model of BERT-base's size takes about {BERT_BASE} times as long, and longer texts in proportion."
    )
