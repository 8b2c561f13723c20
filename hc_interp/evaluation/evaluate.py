"""`evaluate`: the accuracy of a model and its subnetworks by case, and their KL divergence from the full model."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hc_interp.data.encode import batches
from hc_interp.data.examples import Examples
from hc_interp.data.labels import regrouped
from hc_interp.data.task import Task
from hc_interp.errors import DataError, HCError, warn
from hc_interp.evaluation.heuristic_scores import ScorePlan
from hc_interp.evaluation.result import FULL, INTERVENED, VALIDATION, WHOLE, Evaluation
from hc_interp.evaluation.scored_rows import scored_rows
from hc_interp.evaluation.subnetwork_logits import logits_under
from hc_interp.interventions.nodes import Keep
from hc_interp.interventions.sources import Source, check_source
from hc_interp.metrics import PATH_METRICS, correct, kl_divergence
from hc_interp.models.hooked import HookedModel, Intervention
from hc_interp.models.one_word import at_one_word
from hc_interp.progress import stage
from hc_interp.records.provenance import provenance
from hc_interp.statistics.samples import check_level
from hc_interp.subnetwork import Subnetwork
from hc_interp.torch_modes import own_torch_modes


@runtime_checkable
class HasSubnetworks(Protocol):
    """A result that names subnetworks: a `MaskSearch`, a `SubnetworkSample`, `Extremes` (its ends, by name)."""

    @property
    def subnetworks(self) -> Sequence[Subnetwork] | Mapping[str, Subnetwork]: ...


Subnetworks = HasSubnetworks | Subnetwork | Iterable[Subnetwork] | Mapping[str, Subnetwork]


@own_torch_modes
@torch.no_grad()
def evaluate(
    model: HookedModel,
    task: Task,
    subnetworks: Subnetworks | None = None,
    means: Source | None = None,
    *,
    interventions: Sequence[Intervention] = (),
    cases: str | Sequence[str] | None = None,
    batch_size: int = 64,
    max_per_case: int | None = None,
    pull_pairs: int = 50,
    seed: int = 0,
    level: float = 0.95,
) -> Evaluation:
    """Accuracy of the full model and of each subnetwork on `task.validation` and on each case.

    An answer is right if the class with the largest logit is in the example's label group. Neutral and contradiction
    thus both count as non-entailment on HANS. Where the model's classes are coarser than the labels, labels are merged.
    For a language model without label words an answer is right if the row's answer is above its foil at the position
    that is read; `to_frame(long=True)` then has the metrics logit_diff and prob_diff too.

    `subnetworks` are a search, a sample, `Extremes`, one or several `Subnetwork`s, or a mapping from names. `means` is
    the source of the values that replace removed components: mean activations, 0 or donors. Conclusions depend on it.
    `interventions` are applied before every subnetwork and to the whole model, whose row is then called "intervened"
    instead of "full". KL(first row || subnetwork) is taken on validation, in nats. `cases` are case ids (None: all).
    `max_per_case` limits the examples of each case and of validation, which `seed` draws. `seed` also draws the
    bootstrap of the intervals, and `level` is their confidence level.

    Where the task says what a heuristic would answer (`Task.heuristic`), and has cases of both kinds (it is right, it
    is wrong), `.scores()` gives statistics that need no threshold. Their pull takes passes over at most `pull_pairs`
    overlap pairs of each case (0: no pull).

    Raises `DataError` for a task without data or an unknown case, `HCError` for subnetworks without `means` and for
    logits that are not finite. Warns (`HCWarning`) if the whole interval of the full model's accuracy on validation is
    below the share of the most frequent label, because the labels may be in a wrong order (`Evaluation.suspicion`).
    Accuracy shows which answers a subnetwork gives, not how it computes them.
    """
    check_level(level)
    named = named_subnetworks(subnetworks)
    if named and means is None:
        raise HCError(
            f"{len(named)} subnetworks were given without means, so nothing says what the removed components are "
            "replaced by. Pass means=hc.mean_activations(model, task.train), or another source: 0 or hc.Donors(...)."
        )
    model = at_one_word(model)
    before = model.check_interventions(interventions)
    whole = INTERVENED if before else FULL
    settings: dict[str, list[Intervention]] = {whole: before}
    if means is not None:
        check_source(means, model)
        settings |= {name: [*before, Keep(item, means)] for name, item in named.items()}
    for listed in settings.values():
        model.check_interventions(listed)
    splits = _splits(task, cases, max_per_case, seed)
    splits = {split: regrouped(model.labels, examples) for split, examples in splits.items()}
    # All data is encoded before the first forward pass, so that a row that cannot be encoded is refused at once.
    encoded = {split: batches(model, examples, batch_size=batch_size) for split, examples in splits.items()}
    rows = {split: scored_rows(model, examples, encoded[split]) for split, examples in splits.items()}
    plan = ScorePlan.of(model, task, splits, _count(pull_pairs), batch_size, seed)
    right: dict[str, Bool[Tensor, "subnetwork example"]] = {}
    scores: dict[str, Float[np.ndarray, "subnetwork example"]] = {}
    by_words: dict[str, dict[str, Float[Tensor, "subnetwork example"]]] = {}
    kl: Float[Tensor, "subnetwork example"] | None = None
    with stage("evaluate", (len(splits) + (plan.passes if plan else 0)) * len(settings)) as progress:
        for split in splits:
            columns: dict[str, list[Tensor]] = {}
            full: Tensor | None = None  # the logits of the first of `settings`
            for _, logits in logits_under(model, encoded[split], settings, split, progress):
                full = logits if full is None else full
                numbers = {"correct": correct(logits, rows[split]).bool()}
                if model.labels is None:
                    numbers |= {name: metric(logits, rows[split]) for name, metric in PATH_METRICS.items()}
                if split == VALIDATION:
                    numbers["kl"] = kl_divergence(full, logits)
                if plan and split in plan.splits:
                    numbers["s"] = plan.s(logits)
                for name, values in numbers.items():
                    columns.setdefault(name, []).append(values.cpu())
            stacked = {name: torch.stack(values) for name, values in columns.items()}
            right[split] = stacked["correct"]
            kl = stacked.get("kl", kl)
            if "s" in stacked:
                scores[split] = stacked["s"].numpy()
            by_words[split] = {name: stacked[name] for name in PATH_METRICS if name in stacked}
        scored = plan and plan.scores(model, settings, scores, progress, level=level, seed=seed)
    evaluation = Evaluation(
        names=tuple(settings),
        subnetworks=(None, *named.values()),
        correct=right,
        kl=kl,
        ids={split: tuple(examples.id) for split, examples in splits.items()},
        sources={split: tuple(examples.source) for split, examples in splits.items()},
        level=level,
        seed=seed,
        provenance=provenance(
            model,
            "; ".join(f"{split} {examples.fingerprint()}" for split, examples in splits.items()),
            task=task.name,
            means=means,
            interventions=before,
            max_per_case=max_per_case,
        ),
        majority=None if before else _majority(splits.get(VALIDATION)),
        heuristic_scores=scored,
        by_words={split: values for split, values in by_words.items() if values},
    )
    if evaluation.suspicion:
        warn(evaluation.suspicion)
    return evaluation


def _count(pull_pairs: int) -> int:
    if isinstance(pull_pairs, bool) or not isinstance(pull_pairs, Integral) or pull_pairs < 0:
        raise DataError(f"pull_pairs is {pull_pairs!r}; expected a number of pairs from each case, or 0 for none.")
    return int(pull_pairs)


def _majority(examples: Examples | None) -> float | None:
    """The share of the most frequent label."""
    if examples is None or not examples.label:
        return None
    return max(Counter(examples.label).values()) / len(examples)


def named_subnetworks(subnetworks: Subnetworks | None) -> dict[str, Subnetwork]:
    """Subnetworks by name; without names they are named "0", "1" and so on. Raises `HCError` for anything else."""
    if subnetworks is None:
        return {}
    if not isinstance(subnetworks, Subnetwork) and isinstance(subnetworks, HasSubnetworks):
        subnetworks = subnetworks.subnetworks
    if isinstance(subnetworks, Subnetwork):
        subnetworks = [subnetworks]
    if not isinstance(subnetworks, Mapping) and isinstance(subnetworks, Iterable):
        subnetworks = {str(number): item for number, item in enumerate(subnetworks)}
    if not isinstance(subnetworks, Mapping) or not all(isinstance(item, Subnetwork) for item in subnetworks.values()):
        raise HCError(
            f"subnetworks was given as {type(subnetworks).__name__} of other things than Subnetworks. Pass "
            "found.subnetworks of hc.search_masks, or a dict from names to hc.Subnetwork objects."
        )
    named = {str(name): item for name, item in subnetworks.items()}
    if taken := [name for name in WHOLE if name in named]:
        raise HCError(f"A subnetwork is named {taken[0]!r}, which is the name of the whole model's row. Rename it.")
    return named


def _splits(task: Task, cases: str | Sequence[str] | None, max_per_case: int | None, seed: int) -> dict[str, Examples]:
    """The validation split and the cases by name, each drawn down to `max_per_case` examples."""
    if not isinstance(task, Task):
        raise DataError(
            f"evaluate was given a {type(task).__name__} where a Task was expected. Wrap a split: "
            "hc.Task('mine', validation=examples)."
        )
    if max_per_case is not None and (not isinstance(max_per_case, Integral) or max_per_case < 1):
        raise DataError(f"max_per_case is {max_per_case!r}; expected a whole number from 1, or None for all examples.")
    if cases is None:
        names = list(task.cases or {})
    else:
        names = [task.case_id(case) for case in ([cases] if isinstance(cases, str) else cases)]
    if VALIDATION in names:
        raise DataError(f"Task {task.name!r} has a case named {VALIDATION!r}, the name of the split. Rename the case.")
    splits = {} if task.validation is None else {VALIDATION: task.validation}
    splits |= {case: task.case(case) for case in names}
    if not splits:
        raise DataError(
            f"Task {task.name!r} has neither a validation split nor cases to evaluate on. Give it one: "
            "hc.Task(..., validation=examples, cases={'name': examples})."
        )
    if max_per_case is None:
        return splits
    return {name: examples.sample(max_per_case, seed) for name, examples in splits.items()}
