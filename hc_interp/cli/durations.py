"""Estimates how long a command takes, from its settings: the number of forward passes times the time of one pass.

The unit is one forward pass of one grammar sentence (about 22 tokens) through `zoo:minilm-nli`. It was measured at
about 6 ms of one core's time, overhead of the commands included. Other models and longer texts were not
measured: their times are scaled by the number of weights and tokens. Of a task of one's own the cases, their rows and
the kinds of pairs count; amounts of data are otherwise those of the grammar.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hc_interp.experiment.settings import DEMO, RunSettings
from hc_interp.reading.defaults import PERMUTATIONS
from hc_interp.search.defaults import CHAINS, EXCHANGES, ROWS, WARM_UP

SECONDS_PER_PASS = 0.006  # of one core; measured by the time that the demo takes
MEASURED = "zoo:minilm-nli"
BERT_BASE = 8  # BERT-base's encoder has 85 million weights, that of zoo:minilm-nli 10.6 million
MEASURED_WEIGHTS = 12 * 6 * 384**2  # of its layers: 12 d^2 in each
LEAST = 0.05  # of its time: a run on 3 layers of width 64 took 36 s, where zoo:minilm-nli is estimated at 604 s
CANDIDATE_SHARE = 50 / 72  # of heads that are outside a core
SINGLE_HEAD = 3 * 0.42  # passes that a head's node effects take for each pair, on three sets of pairs
HELD_OUT, TRAINED_ON = 512, 1024  # examples of one search
TRAINING_STEP = 3  # passes for each example: a forward pass, and a backward pass that takes twice as long
EXCHANGE_ROUND = 5  # passes for each example: a forward pass, and a backward pass for each of two classes
TRAINING_STEPS, EXCHANGE_ROUNDS = 120, 16  # of a start, and of the best one
LEVELS, NOT_GIVEN_UP = 5, 0.8  # of a chain, and the share of rows on which a proposed mask is run
PROPOSED, NEW_MASKS = 3, 0.6  # masks that a search proposes in a round, and the share that no other one proposes
NEAR, SHARED = 0.5, 0.7  # the share of masks that are scored, and the share of layers that are not common to masks
SELECT_CASES, REPORT_ROWS = 8, 60  # cases of a heuristic that are searched on; rows of each case that are reported
DIRECTIONS = 2  # of each pair
HEURISTIC_CASES, PREMISE_ROWS = 10, 1200  # cases of a heuristic; in-domain examples and sides of pairs
SET_SHARE, DISJOINT_SETS = (
    0.15,
    20,
)  # the share of rows of a comparison set, times that of layers that it does not share
CONTROL_SETS = 60  # joint paths besides the null: routes, size controls, necessity and sufficiency
JOINT_PATH = 0.7  # passes that a joint path takes for each pair in the exact engine
SINGLE_PATH = 0.12  # passes that each path of a sweep takes for each pair in the exact engine
ESTIMATES = 10  # passes that the estimates of all paths take for each pair
ROLES = 8  # that all pairs of a case have, usually
SAMPLE = {"chains": CHAINS, "rows": ROWS, "warm_up": WARM_UP}  # of the sample of a run
OF_ANALYSES = {"exchanges": EXCHANGES, "permutations": PERMUTATIONS, "comparison_sets": 99, "premises": ""}  # defaults
OF_PATHS = {"positions": None, "through": "qkv", "method": "exact"}
GRID, PULL_PAIRS = 5, 50  # sparsities among which effective size is looked for, pairs of a case for pull
N_CHECKPOINTS = 10  # of a series; how many one has is not looked up
IN_A_FILE = 10  # components that a result's file is assumed to name


@dataclass(frozen=True)
class TaskSize:
    """The amounts of data in a task. `case_rows` are the examples of its largest case."""

    cases: int
    case_rows: int
    validation: int
    kinds: int  # of pairs of a case


@dataclass(frozen=True)
class ModelSize:
    """The layers, heads of a layer, and width of a model."""

    layers: int
    heads: int
    width: int

    @property
    def share(self) -> float:
        """The time of a pass, as a share of that of zoo:minilm-nli."""
        return max(12 * self.layers * self.width**2 / MEASURED_WEIGHTS, LEAST)


GRAMMAR = TaskSize(cases=30, case_rows=1000, validation=1000, kinds=2)  # and HANS
MINILM = ModelSize(layers=6, heads=12, width=384)


def _task(arguments: Mapping[str, Any]) -> TaskSize:
    return arguments.get("task_size") or GRAMMAR


def _rows(arguments: Mapping[str, Any], n: int) -> int:
    """At most `n` examples of a case."""
    size = arguments.get("task_size")
    return n if size is None else min(n, size.case_rows)


def _counts(arguments: Mapping[str, Any]) -> dict[str, int]:
    size: ModelSize = arguments.get("model_size") or MINILM
    return {"heads": size.layers * size.heads, "mlps": size.layers}


def _candidates(arguments: Mapping[str, Any]) -> float:
    return CANDIDATE_SHARE * _counts(arguments)["heads"]


def model_size(model: str) -> ModelSize | None:
    """The size of the checkpoint in a folder, from its config; None where it is not known before the model is loaded.

    A model without layers, heads and width under one of their usual names counts as unknown.
    """
    if model == MEASURED:
        return MINILM
    try:
        config = json.loads((Path(model) / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    names = (("num_hidden_layers", "n_layer", "n_layers"), ("num_attention_heads", "n_head", "n_heads"),
             ("hidden_size", "n_embd", "dim"))  # fmt: skip
    sizes = [next((config[name] for name in options if isinstance(config.get(name), int)), None) for options in names]
    return None if None in sizes else ModelSize(*sizes)  # pyright: ignore[reportArgumentType]


def _search(arguments: Mapping[str, Any]) -> float:
    sparsities = arguments["sparsity"] if isinstance(arguments["sparsity"], list) else _sparsities(arguments)
    training = arguments.get("steps", arguments.get("search_steps")) * 16 * TRAINING_STEP
    each = training + arguments["exchanges"] * TRAINED_ON * EXCHANGE_ROUND / 2 + HELD_OUT
    return len(sparsities) * arguments["seeds"] * each + TRAINED_ON + arguments["mean_examples"]


def _sparsities(arguments: Mapping[str, Any]) -> tuple[float, ...]:
    """The sparsities that a run searches."""
    return RunSettings(sparsity=arguments["sparsity"], beside=arguments["beside"]).sparsities


def _subnetworks(arguments: Mapping[str, Any]) -> float:
    """Starts, the best of them, and every move of every chain at every level, less what is given up early."""
    chains, rows = arguments["chains"], arguments["rows"]
    starts = -(-chains // 2) * TRAINING_STEPS * 16 * TRAINING_STEP + EXCHANGE_ROUNDS * rows * EXCHANGE_ROUND
    moves = chains * LEVELS * (arguments["warm_up"] + arguments["sweeps"]) * rows * NOT_GIVEN_UP
    return starts + moves + TRAINED_ON + arguments["mean_examples"]


def _extremes(arguments: Mapping[str, Any]) -> float:
    """Starts, then the losses of all proposed masks and the scores of those near the bound, and the report."""
    rows, n = arguments["rows"], sum(_counts(arguments).values())
    starts = 2 * TRAINING_STEPS * 16 * TRAINING_STEP + EXCHANGE_ROUNDS * rows * EXCHANGE_ROUND
    select, all_cases = (min(n, _task(arguments).cases) for n in (SELECT_CASES, HEURISTIC_CASES))
    masks = 3 * n + 2 * (arguments["permutations"] + 1) * arguments["rounds"] * PROPOSED * NEW_MASKS
    scored = NEAR * select * _rows(arguments, arguments["max_per_case"])
    report = 4 * (all_cases * REPORT_ROWS + arguments["fresh"])
    return starts + masks * (rows + scored) * SHARED + report + TRAINED_ON + arguments["mean_examples"]


def _reads_from(arguments: Mapping[str, Any]) -> float:
    n_pairs = arguments.get("pairs", arguments.get("test_pairs"))
    paths = DIRECTIONS * _task(arguments).kinds * n_pairs * (arguments["permutations"] + CONTROL_SETS) * JOINT_PATH
    return paths + arguments["mean_examples"] + (_premises(arguments) if arguments.get("premises") is None else 0)


def _premises(arguments: Mapping[str, Any]) -> float:
    """Two systems for each comparison set, on a share of the rows."""
    cases = min(HEURISTIC_CASES, _task(arguments).cases)
    rows = cases * _rows(arguments, arguments["premise_examples"]) + PREMISE_ROWS
    return SET_SHARE * rows * 2 * (arguments["comparison_sets"] + DISJOINT_SETS) + 4 * rows


def _evaluate(arguments: Mapping[str, Any]) -> float:
    per_case = _rows(arguments, arguments["max_per_case"] or _task(arguments).case_rows)
    return _splits(arguments) * per_case * (1 + len(arguments["subnetworks"] or ())) + arguments["mean_examples"]


def _run(arguments: Mapping[str, Any]) -> float:
    size = _task(arguments)
    evaluated = (min(1000, size.validation) + size.cases * _rows(arguments, arguments["eval_per_case"])) * (
        1 + arguments["seeds"] * len(_sparsities(arguments))
    )
    probed = 3 * arguments["probe_examples"]
    selected = SINGLE_HEAD * arguments["select_pairs"] * _candidates(arguments)
    sampled = _subnetworks({**arguments, **SAMPLE}) if arguments["core_from"] == "sample" else 0
    return _search(arguments) + sampled + evaluated + selected + _reads_from(arguments) + probed


def _finetune(arguments: Mapping[str, Any]) -> float:
    """The updates, and the measures of about as many checkpoints as the number of steps can be halved."""
    kept = arguments["checkpoints"]
    n_checkpoints = arguments["steps"].bit_length() + 1 if kept == "log" else len(kept.split(","))
    measured_on = _splits(arguments) * (_rows(arguments, arguments["max_per_case"]) + arguments["pull_pairs"])
    return arguments["steps"] * arguments["batch_size"] * TRAINING_STEP + n_checkpoints * measured_on


def _over_training(arguments: Mapping[str, Any]) -> float:
    """One analysis at each checkpoint."""
    given = OF_ANALYSES | OF_PATHS | dict(arguments)
    searches = {**given, "sparsity": [given["sparsity"]], "steps": given["search_steps"]}
    grid = [0.5] * (GRID if given["sparsities"] is None else given["sparsities"].count(",") + 1)
    rows = _splits(given) * _rows(given, given["max_per_case"])
    each = {
        "accuracy": lambda: rows + _splits(given) * PULL_PAIRS,
        "masks": lambda: _search(searches),
        "core": lambda: _search(searches),
        "subnetworks": lambda: _search({**searches, "sparsity": grid}) + rows * (1 + len(grid) * given["seeds"]),
        "generalizing": lambda: SINGLE_HEAD * 8 * given["pairs"] * _candidates(given),
        "premises": lambda: _premises({**given, "premise_examples": given["max_per_case"]}) + given["mean_examples"],
        "reading": lambda: _reads_from(given),
        "paths": lambda: _patch(given),
    }  # fmt: skip
    one = each.get(given["analysis"], lambda: given["max_per_case"])()
    return one * (N_CHECKPOINTS if given["steps"] is None else given["steps"].count(",") + 1)


def _patch(arguments: Mapping[str, Any]) -> float:
    """For half of all pairs of components the receiver is upstream of the sender: these are no paths."""
    counts = _counts(arguments)
    paths = _count(arguments["senders"], counts) * _count(arguments["receivers"], counts) / 2
    roles = arguments["positions"]
    at_roles = 1 if roles is None else (ROLES if roles == "roles" else roles.count(",") + 1) ** 2
    exact = arguments["pairs"] * paths * at_roles * SINGLE_PATH * (3 if arguments["through"] == "each" else 1)
    share = {"exact": 1, "attribution": 0, "auto": 0.01}[arguments["method"]]
    return share * exact + arguments["pairs"] * ESTIMATES


def _count(text: str, counts: Mapping[str, int]) -> int:
    return IN_A_FILE if text.endswith(".json") else sum(counts.get(name.strip(), 1) for name in text.split(","))


def _splits(arguments: Mapping[str, Any]) -> int:
    """The cases and the validation split."""
    return _task(arguments).cases + 1


PASSES: dict[str, Callable[[Mapping[str, Any]], float]] = {
    "run": _run,
    "demo": lambda arguments: _run(DEMO.model_dump()),
    "search": _search,
    "subnetworks": _subnetworks,
    "extremes": _extremes,
    "evaluate": _evaluate,
    "generalizing": lambda arguments: SINGLE_HEAD * arguments["max_pairs"] * _candidates(arguments),
    "patch": _patch,
    "probe": lambda arguments: (
        arguments["examples"] * (1 + bool(arguments["random"]) + arguments["random"])
        + arguments["mean_examples"] * bool(arguments["cut"])
    ),
    "premises": lambda arguments: _premises(arguments) + arguments["mean_examples"],
    "over-training": _over_training,
    "reads-from": _reads_from,
    "finetune": _finetune,
}


def duration(command: str, arguments: Mapping[str, Any], task: TaskSize | None = None) -> str:
    """About how long the command takes, in words; "" for a command that takes no time or that has no estimate.

    `task` is the size of a task of one's own (None: a task of the package).
    """
    if command not in PASSES:
        return ""
    model = str(arguments.get("model") or arguments.get("series") or MEASURED)
    size = model_size(model)
    passes = PASSES[command]({**arguments, "task_size": task, "model_size": size})
    minutes = passes * SECONDS_PER_PASS / 60 * (1 if size is None else size.share)
    estimate = f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.0f} h"
    about = f"About {estimate if minutes >= 1 else 'a minute'} of one core's time"
    if model == MEASURED:
        return (
            f"{about} for {MEASURED} and sentences of 20 tokens; a model of BERT-base's size takes about {BERT_BASE} "
            "times as long, and longer texts in proportion."
        )
    if size is not None:
        return (
            f"{about} for sentences of 20 tokens, if a pass through {model} ({size.layers} layers of width "
            f"{size.width}) takes {size.share:.2g} times that of {MEASURED}, which was measured; longer texts take "
            "longer in proportion."
        )
    return (
        f"{about} if the model were {MEASURED}, and sentences had 20 tokens. The size of {model} is not known before "
        f"it is loaded; a model of BERT-base's size takes about {BERT_BASE} times as long."
    )
