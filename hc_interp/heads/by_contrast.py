"""Evidence by contrast: the effect of each head alone on contrast pairs, by default pairs that differ in word order."""

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

NODE_COLUMNS: tuple[str, ...] = ("node_effect", "low", "high", "share", "share_low", "share_high")


@evidence("contrast")
def contrast_evidence(request: EvidenceRequest) -> HeadEvidence:
    """Node effects of all candidates on the pooled pairs of the select split.

    A head's node effect is the change of the metric when the head's `z` is set to corrupt in a clean run. Its `share`
    is the sum of its node effects over the sum of the total effects, the changes from the clean to the corrupt run. No
    share is defined, and no head passes, where the interval of the total effect contains 0. No head passes either where
    the model gets both sides of less than 10 % of the pairs right: a model that gives the same answer to the same words
    does not generalize, even if its logits differ significantly. Node effects of redundant heads do not add up to the
    total.
    """
    pairs = select_pairs(request.model, request.task, request.cases, request.kinds, request.max_examples, request.seed)
    nodes, totals, sources, both_right = [], [], [], []
    for part in pairs.values():
        runs = PairRuns.of(request.model, part, "logit_diff", request.interventions, request.batch_size, receivers=())
        changes = runs.measure(nodes=[(head,) for head in request.candidates], description="node effects")
        nodes.append(changes.nodes)
        totals.append(changes.total)
        both_right.append((changes.clean > 0) & (changes.clean + changes.total < 0))
        sources.extend(runs.encoded.sources)
    if not request.candidates:
        empty = np.empty(0)
        none = dict.fromkeys(NODE_COLUMNS, empty)
        return HeadEvidence(judged(none, empty, empty > 0, request.alpha), tuple(pairs), tuple(sorted(set(sources))))
    effects, total = np.concatenate(nodes), np.concatenate(totals)
    mean = bootstrap(effects, clusters=sources, seed=request.seed)
    share = ratio_interval(effects, total, clusters=sources, seed=request.seed)
    p = np.atleast_1d(sign_flip_test(effects, clusters=sources, seed=request.seed))
    values = (mean.value, mean.low, mean.high, share.value, share.low, share.high)
    columns: dict[str, Any] = dict(zip(NODE_COLUMNS, values, strict=True))
    notes = ()
    if np.isnan(share.value).all():
        notes = (
            "the pairs' total effect is not distinguishable from 0, so no head can be said to carry a share of it",
        )
    right = float(np.concatenate(both_right).mean())
    if right < FLOOR:
        notes = (
            *notes,
            f"the model gets both sides of {right:.0%} of the {', '.join(request.kinds)} pairs right, under the floor "
            f"of {FLOOR:.0%}: there is hardly any generalization here that heads could carry",
        )
    table = judged(columns, p, (np.asarray(share.value) >= request.margin) & (right >= FLOOR), request.alpha)
    return HeadEvidence(table, tuple(pairs), tuple(sorted(set(sources))), notes)


def select_pairs(
    model: HookedModel, task: Task, cases: Sequence[str] | None, kinds: Sequence[str], max_pairs: int, seed: int
) -> dict[str, ContrastPairs]:
    """At most `max_pairs` aligned pairs of these kinds from the select split, spread evenly over the cases with pairs.

    The result is by case, or by case and kind where several kinds are requested. Raises `DataError` when no case has
    such pairs.
    """
    available: dict[str, ContrastPairs] = {}
    names = case_names(task, cases)
    for name, kind in ((name, kind) for name in names for kind in kinds if kind in task.pair_kinds(name)):
        part = task.contrast_pairs(name, kind).by_split("select")
        try:
            part = part.aligned(model) if len(part) else part
        except AlignmentError:
            if part.unaligned == "error":
                raise
            continue  # the pairs are the task's, and none is aligned under this tokenizer
        if len(part):
            available[name if len(kinds) == 1 else f"{name}, {kind}"] = part
    if not available:
        others = sorted({kind for name in names for kind in task.pair_kinds(name)})
        raise DataError(
            f"Task {task.name!r} has no {' or '.join(kinds)} pairs in the select split of the cases asked for; method "
            f"'contrast' needs some. These cases have pairs of {', '.join(others) or 'no kind'}: name kinds of pairs "
            "with kinds=, choose other cases with cases=, or another method."
        )
    sizes = quotas([len(part) for part in available.values()], max_pairs)
    return {
        name: part.rows(draw(len(part), size, name, seed))
        for (name, part), size in zip(available.items(), sizes, strict=True)
        if size
    }
