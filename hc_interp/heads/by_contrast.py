"""Evidence by contrast: the effect of each head alone on contrast pairs, by default pairs that differ in word order."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from hc_interp.data.contrast import ContrastPairs
from hc_interp.data.task import Task
from hc_interp.errors import AlignmentError, DataError
from hc_interp.evaluation.effective_size import FLOOR
from hc_interp.heads.contrast_rule import NOT_CHECKED, PairEffects, contrast_table
from hc_interp.heads.evidence import EvidenceRequest, HeadEvidence, case_names, draw, evidence, quotas
from hc_interp.models.hooked import HookedModel
from hc_interp.patching.joint_effects import PairRuns

NO_LABEL = -1  # of pairs that are scored by answers and foils
OVERLAP = "overlap"  # the kind of the pairs whose corrupt side lacks a word of the clean side


@evidence("contrast")
def contrast_evidence(request: EvidenceRequest) -> HeadEvidence:
    """Effects of all candidates on pooled pairs of the select split, by the rule of `contrast_table`.

    The pairs of `kinds` are measured as they are and reversed. The share of each head is then compared with its share
    on overlap pairs whose word swap takes the entailment away: a head that only carries the answer has as large a share
    there. No share is defined, and no head passes, where the interval of the total effect contains 0. No head
    passes either where the model gets both sides of less than 10 % of the pairs right: a model that gives the same
    answer to the same words does not generalize, even if its logits differ significantly. Node effects of redundant
    heads do not add up to the total.
    """
    pairs = select_pairs(request.model, request.task, request.cases, request.kinds, request.max_examples, request.seed)
    overlap = entailment_lost(request) if all(_labels_of(part, request.task) for part in pairs.values()) else {}
    back = {name: part.reversed() for name, part in pairs.items() if part.reversible}
    order = _measured(request, pairs)
    assert order is not None
    effects = order, _measured(request, back), _measured(request, overlap)
    rule = {"margin": request.margin, "alpha": request.alpha, "seed": request.seed}
    table = contrast_table(*effects, label=request.task.heuristic_label, **rule)
    sources = {source for part in effects if part is not None for source in part.sources}
    notes = [*_notes(request, order, table), *_reversal_note(pairs, back)]
    return HeadEvidence(table, tuple(pairs), tuple(sorted(sources)), tuple(notes))


def select_pairs(
    model: HookedModel, task: Task, cases: Sequence[str] | None, kinds: Sequence[str], max_pairs: int, seed: int
) -> dict[str, ContrastPairs]:
    """At most `max_pairs` aligned pairs of these kinds from the select split, spread evenly over the cases with pairs.

    The result is by case, or by case and kind where several kinds are requested. Raises `DataError` when no case has
    such pairs.
    """
    names = case_names(task, cases)
    available = {
        name if len(kinds) == 1 else f"{name}, {kind}": part
        for kind in kinds
        for name, part in _aligned(model, task, names, kind).items()
    }
    if not available:
        others = sorted({kind for name in names for kind in task.pair_kinds(name)})
        raise DataError(
            f"Task {task.name!r} has no {' or '.join(kinds)} pairs in the select split of the cases asked for; method "
            f"'contrast' needs some. These cases have pairs of {', '.join(others) or 'no kind'}: name kinds of pairs "
            "with kinds=, choose other cases with cases=, or another method."
        )
    return _drawn(available, max_pairs, seed)


def entailment_lost(request: EvidenceRequest) -> dict[str, ContrastPairs]:
    """At most `max_examples` overlap pairs from the heuristic's label to another one, of the select split, by case.

    They are of the cases of the heuristics that the requested cases are about; where these have none, of all cases. The
    result is empty for a task without `heuristic_label` or such pairs, and where overlap pairs are the evidence asked
    for.
    """
    task = request.task
    if task.heuristic_label is None or _asks_for_overlap(request):
        return {}
    asked = set(case_names(task, request.cases))
    families = [set(right + wrong) for right, wrong in task.heuristics.values()]
    near = asked.union(*(family for family in families if family & asked))
    # Where the heuristic is wrong no clean side has its label.
    names = [name for name in case_names(task, None) if (task.heuristic or {}).get(name, True)]

    def of(chosen: Iterable[str]) -> dict[str, ContrastPairs]:
        return _aligned(request.model, task, chosen, OVERLAP, lambda part: _loses(part, task))

    return _drawn(of(name for name in names if name in near) or of(names), request.max_examples, request.seed)


def _asks_for_overlap(request: EvidenceRequest) -> bool:
    return OVERLAP in map(request.task.role_of, request.kinds)


def _labels_of(part: ContrastPairs, task: Task) -> bool:
    """Whether the labels of the pairs mean what they mean for the task, and for its `heuristic_label`."""
    return part.groups == task.groups and (task.classes is None or part.classes == task.classes)


def _loses(part: ContrastPairs, task: Task) -> list[int]:
    """The rows whose clean side alone has the heuristic's label; none of pairs with other labels than the task's."""
    if not _labels_of(part, task):
        return []
    gold, label = (getattr(side, "label", None) for side in part.sides), task.heuristic_label
    clean, corrupt = (labels or () for labels in gold)
    return [i for i, labels in enumerate(zip(clean, corrupt, strict=False)) if labels[0] == label != labels[1]]


def _aligned(
    model: HookedModel,
    task: Task,
    cases: Iterable[str],
    kind: str,
    rows: Callable[[ContrastPairs], Sequence[int]] | None = None,
) -> dict[str, ContrastPairs]:
    """The aligned pairs of a kind in the select split, by case, with only the `rows` asked for."""
    available = {}
    for name in cases:
        if (found := task.kind_for(name, kind)) is None:
            continue
        part = task.contrast_pairs(name, found).by_split("select")
        part = part if rows is None else part.rows(rows(part))
        try:
            part = part.aligned(model) if len(part) else part
        except AlignmentError:
            if part.unaligned == "error":
                raise
            continue  # the pairs are the task's, and none is aligned under this tokenizer
        if len(part):
            available[name] = part
    return available


def _drawn(available: Mapping[str, ContrastPairs], max_pairs: int, seed: int) -> dict[str, ContrastPairs]:
    """At most `max_pairs` in all, spread evenly."""
    sizes = quotas([len(part) for part in available.values()], max_pairs)
    return {
        name: part.rows(draw(len(part), size, name, seed))
        for (name, part), size in zip(available.items(), sizes, strict=True)
        if size
    }


def _measured(request: EvidenceRequest, pairs: Mapping[str, ContrastPairs]) -> PairEffects | None:
    """The effects of all candidates on all of these pairs; None without pairs."""
    parts = []
    for part in pairs.values():
        runs = PairRuns.of(request.model, part, "logit_diff", request.interventions, request.batch_size, receivers=())
        changes = runs.measure(nodes=[(head,) for head in request.candidates], description="node effects")
        gold = np.array([NO_LABEL] * len(part) if part.gold is None else part.gold)
        parts.append(PairEffects(changes.nodes, changes.total, changes.clean, gold, runs.encoded.units))
    return PairEffects.joined(parts)


def _notes(request: EvidenceRequest, order: PairEffects, table: Any) -> Iterable[str]:
    """What the numbers of the table say about all of its heads."""
    if len(table) and table["share"].isna().all():
        yield "the pairs' total effect is not distinguishable from 0, so no head can be said to carry a share of it"
    kinds = ", ".join(request.kinds)
    if order.both_right < FLOOR and len(table):
        yield (
            f"the model gets both sides of {order.both_right:.0%} of the {kinds} pairs right, under the floor of "
            f"{FLOOR:.0%}: there is hardly any generalization here that heads could carry"
        )
    if table["carries_answer"].any():
        n = int(table["carries_answer"].sum())
        yield (
            f"{n} {'heads have' if n > 1 else 'head has'} a share of the effect of {kinds} pairs that is not shown to "
            "be larger than the share of the effect of overlap pairs: this may be the answer alone"
        )
    if table["passes"].any() and (table["more_than_overlap"] == NOT_CHECKED).all():
        yield (f"the heads are unscreened: whether they carry more than the answer was not checked, {_why(request)}")


def _why(request: EvidenceRequest) -> str:
    if _asks_for_overlap(request):
        return "because overlap pairs are among the pairs that chose them"
    if request.task.heuristic_label is None:
        return f"because task {request.task.name!r} has no heuristic_label"
    return "for want of overlap pairs that take the heuristic's label away, and on which the model changes its answer"


def _reversal_note(pairs: Mapping[str, ContrastPairs], back: Mapping[str, ContrastPairs]) -> Iterable[str]:
    if missing := [name for name in pairs if name not in back]:
        n = sum(len(pairs[name]) for name in missing)
        yield f"{n} pairs ({', '.join(missing)}) cannot be reversed, as their corrupt sides have no labels"
