"""`hc.analyses`: the usual analyses of a checkpoint, as functions of a model for `hc.over_training`.

Each function takes the data (`task`, or `data`, or `pairs`) and the heads (`core`, `generalizing`), and returns a
function of a `HookedModel`. `sparsity` and `seeds` are those of the searches. Mean activations are taken anew from each
model, over at most `mean_examples` training examples. `settings` are further arguments of the function that is called;
what is not given stays at its default. Errors are those of that function, when a model is analysed.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from hc_interp.attention.profile import attention_profile
from hc_interp.attention.result import AttentionProfile
from hc_interp.data.contrast import ContrastPairs
from hc_interp.data.examples import Examples
from hc_interp.data.task import Task
from hc_interp.errors import DataError
from hc_interp.evaluation.evaluate import evaluate
from hc_interp.evaluation.result import Evaluation
from hc_interp.heads.core import HeuristicCore, heuristic_core
from hc_interp.heads.generalizing import GeneralizingHeads, generalizing_heads
from hc_interp.interventions.means import MeanActivations, mean_activations
from hc_interp.interventions.path_steps import INPUTS
from hc_interp.models.hooked import HookedModel
from hc_interp.patching.effects import PathEffects
from hc_interp.patching.path_effects import path_effects
from hc_interp.probing.probe_map import ProbeMap, probe_map
from hc_interp.reading.premise_result import Premises
from hc_interp.reading.premises import premises as check_premises
from hc_interp.reading.reads_from import reads_from
from hc_interp.reading.verdict import Verdict
from hc_interp.search.result import MaskSearch
from hc_interp.search.search_masks import search_masks

__all__ = [
    "accuracy", "attention", "core", "generalizing", "masks", "paths", "premises", "probes", "reading", "subnetworks",
]  # fmt: skip

MEAN_EXAMPLES = 256  # training examples that mean activations are taken over
PAIRS = 64  # contrast pairs of each kind


def accuracy(task: Task, **settings: Any) -> Callable[[HookedModel], Evaluation]:
    """`hc.evaluate`: accuracy in domain and by case, and separation and pull of each heuristic."""

    def analysis(model: HookedModel) -> Evaluation:
        return evaluate(model, task, **settings)

    return analysis


def masks(task: Task, sparsity: Any = 0.5, seeds: Any = 4, **settings: Any) -> Callable[[HookedModel], MaskSearch]:
    """`hc.search_masks` on the training split. Its figure compares the masks with those of the last checkpoint."""
    train = _train(task)

    def analysis(model: HookedModel) -> MaskSearch:
        return search_masks(model, train, sparsity, seeds, **settings)

    return analysis


def core(
    task: Task, sparsity: float = 0.5, seeds: Any = 4, *, share: float = 1.0, **settings: Any
) -> Callable[[HookedModel], HeuristicCore]:
    """`hc.heuristic_core` of a search: the components that at least `share` of the masks keep."""
    search = masks(task, sparsity, seeds, **settings)

    def analysis(model: HookedModel) -> HeuristicCore:
        return heuristic_core(search(model), share)

    return analysis


def subnetworks(
    task: Task,
    sparsities: Iterable[float] = (0.1, 0.3, 0.5, 0.7, 0.9),
    seeds: Any = 3,
    *,
    max_per_case: int | None = None,
    mean_examples: int = MEAN_EXAMPLES,
    **settings: Any,
) -> Callable[[HookedModel], Evaluation]:
    """`hc.evaluate` of searched subnetworks on a grid of sparsities: for `found.effective_sizes(task)`.

    `settings` are those of `hc.search_masks`, `max_per_case` limits the examples of `hc.evaluate`.
    """
    train, grid = _train(task), tuple(sparsities)

    def analysis(model: HookedModel) -> Evaluation:
        means = _means(model, train, mean_examples)
        found = search_masks(model, train, grid, seeds, means, **settings)
        return evaluate(model, task, found, means, max_per_case=max_per_case, pull_pairs=0)

    return analysis


def generalizing(task: Task, core: Any, **settings: Any) -> Callable[[HookedModel], GeneralizingHeads]:
    """`hc.generalizing_heads`: the effect of each head outside `core`, with p, for `hc.first_matters`.

    With `core=()` every head is looked at.
    """

    def analysis(model: HookedModel) -> GeneralizingHeads:
        return generalizing_heads(model, task, core=core, **settings)

    return analysis


def premises(
    task: Task, core: Any, generalizing: Any, *, mean_examples: int = MEAN_EXAMPLES, **settings: Any
) -> Callable[[HookedModel], Premises]:
    """`hc.premises` of the same heads at every checkpoint."""
    train = _train(task)

    def analysis(model: HookedModel) -> Premises:
        return check_premises(model, task, core, generalizing, _means(model, train, mean_examples), **settings)

    return analysis


def reading(
    task: Task, core: Any, generalizing: Any, case: str, *, pairs: int = PAIRS, seed: int = 0, **settings: Any
) -> Callable[[HookedModel], Verdict]:
    """`hc.reads_from` on the test pairs of a case, without premises: T, D and S of the same heads at every checkpoint.

    T is of all core heads and all generalizing heads at once (the joint effect).
    """
    drawn = task.test_pairs(case, pairs, seed)

    def analysis(model: HookedModel) -> Verdict:
        return reads_from(model, drawn, core=core, generalizing=generalizing, seed=seed, **settings)

    return analysis


def paths(
    pairs: ContrastPairs,
    senders: Any = "heads",
    receivers: Any = "output",
    through: Sequence[str] = INPUTS,
    **settings: Any,
) -> Callable[[HookedModel], PathEffects]:
    """`hc.path_effects` on pairs, into the inputs `through`; with `joint=True` all senders into all receivers at
    once."""

    def analysis(model: HookedModel) -> PathEffects:
        return path_effects(model, pairs, senders, receivers, through, **settings)

    return analysis


def probes(data: Examples, feature: Any, sites: Any = None, **settings: Any) -> Callable[[HookedModel], ProbeMap]:
    """`hc.probe_map`: where a feature can be read, at `sites`."""

    def analysis(model: HookedModel) -> ProbeMap:
        return probe_map(model, data, feature, sites, **settings)

    return analysis


def attention(data: Examples, **settings: Any) -> Callable[[HookedModel], AttentionProfile]:
    """`hc.attention_profile`: attention to repeated words, among others."""

    def analysis(model: HookedModel) -> AttentionProfile:
        return attention_profile(model, data, **settings)

    return analysis


def _train(task: Task) -> Examples:
    if task.train is None:
        raise DataError(
            f"The task {task.name} has no train examples, which masks and means need. Give it a train split."
        )
    return task.train


def _means(model: HookedModel, train: Examples, n: int) -> MeanActivations:
    return mean_activations(model, train.sample(n, 0))
