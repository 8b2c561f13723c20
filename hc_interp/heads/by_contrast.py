"""Evidence by contrast: what each head's own change does to the metric on pairs whose word order flips the label."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from hc_interp.data.contrast import ContrastPairs
from hc_interp.data.task import Task
from hc_interp.errors import AlignmentError, DataError
from hc_interp.evaluation.effective_size import FLOOR
from hc_interp.heads.evidence import EvidenceRequest, HeadEvidence, case_names, draw, evidence, judged, quotas
from hc_interp.models.hooked import HookedModel
from hc_interp.patching.joint_effects import PairRuns
from hc_interp.statistics.tests import bootstrap, ratio_interval, sign_flip_test

COLUMNS: tuple[str, ...] = ("node_effect", "low", "high", "share", "share_low", "share_high")


@evidence("contrast")
def contrast_evidence(request: EvidenceRequest) -> HeadEvidence:
    """Node effects of all candidates, one pass each per batch, on the pooled select pairs.

    `share` = sum of node effects over sum of total effects. Where the total's interval contains 0 no share is defined
    and no head passes. Nor does any where the model gets both sides of less than 10 % of the pairs right: what follows
    the same words to the same answer does not generalize, however surely noise moves its logits. Node effects of
    redundant heads do not add up to the total.
    """
    pairs = select_pairs(request.model, request.task, request.cases, request.kinds, request.max_examples, request.seed)
    nodes, totals, sources, told_apart = [], [], [], []
    for part in pairs.values():
        runs = PairRuns.of(request.model, part, "logit_diff", request.interventions, request.batch_size, receivers=())
        found = runs.measure(nodes=[(head,) for head in request.candidates], description="node effects")
        nodes.append(found.nodes)
        totals.append(found.total)
        told_apart.append((found.clean > 0) & (found.clean + found.total < 0))
        sources.extend(runs.encoded.sources)
    if not request.candidates:
        empty = np.empty(0)
        none = dict.fromkeys(COLUMNS, empty)
        return HeadEvidence(judged(none, empty, empty > 0, request.alpha), tuple(pairs), tuple(sorted(set(sources))))
    effects, total = np.concatenate(nodes), np.concatenate(totals)
    mean = bootstrap(effects, clusters=sources, seed=request.seed)
    share = ratio_interval(effects, total, clusters=sources, seed=request.seed)
    p = np.atleast_1d(sign_flip_test(effects, clusters=sources, seed=request.seed))
    found = (mean.value, mean.low, mean.high, share.value, share.low, share.high)
    columns: dict[str, Any] = dict(zip(COLUMNS, found, strict=True))
    notes = ()
    if np.isnan(share.value).all():
        notes = (
            "the pairs' total effect is not distinguishable from 0, so no head can be said to carry a share of it",
        )
    apart = float(np.concatenate(told_apart).mean())
    if apart < FLOOR:
        notes = (
            *notes,
            f"the model gets both sides of {apart:.0%} of the {', '.join(request.kinds)} pairs right, under the floor "
            f"of {FLOOR:.0%}: there is hardly any generalization here that heads could carry",
        )
    table = judged(columns, p, (np.asarray(share.value) >= request.margin) & (apart >= FLOOR), request.alpha)
    return HeadEvidence(table, tuple(pairs), tuple(sorted(set(sources))), notes)


def select_pairs(
    model: HookedModel, task: Task, cases: Sequence[str] | None, kinds: Sequence[str], max_pairs: int, seed: int
) -> dict[str, ContrastPairs]:
    """At most `max_pairs` aligned pairs of these kinds, of the select split, spread evenly over cases that have any.

    They are named by case, and by kind too where several kinds are asked for. Raises `DataError` when no case has any.
    """
    found: dict[str, ContrastPairs] = {}
    names = case_names(task, cases)
    for name, kind in ((name, kind) for name in names for kind in kinds if kind in task.pair_kinds(name)):
        part = task.contrast_pairs(name, kind).by_split("select")
        try:
            part = part.aligned(model) if len(part) else part
        except AlignmentError:
            if part.unaligned == "error":
                raise
            continue  # a task's own pairs, none of which this tokenizer aligns
        if len(part):
            found[name if len(kinds) == 1 else f"{name}, {kind}"] = part
    if not found:
        there = sorted({kind for name in names for kind in task.pair_kinds(name)})
        raise DataError(
            f"Task {task.name!r} has no {' or '.join(kinds)} pairs in the select split of the cases asked for; method "
            f"'contrast' needs some. These cases have pairs of {', '.join(there) or 'no kind'}: name kinds of pairs "
            "with kinds=, choose other cases with cases=, or another method."
        )
    sizes = quotas([len(part) for part in found.values()], max_pairs)
    return {
        name: part.rows(draw(len(part), size, name, seed))
        for (name, part), size in zip(found.items(), sizes, strict=True)
        if size
    }
