"""Evidence by ablation: does ablating a head cost more accuracy out of distribution than in domain?"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float

from hc_interp.data.encode import batches
from hc_interp.data.examples import Examples
from hc_interp.data.labels import regrouped
from hc_interp.errors import DataError, HCError
from hc_interp.evaluation.scored_rows import scored_rows
from hc_interp.heads.evidence import N_PERMUTATIONS, EvidenceRequest, HeadEvidence, evidence, judged, select_examples
from hc_interp.heads.sets import Heads
from hc_interp.interventions.means import MeanActivations
from hc_interp.interventions.nodes import Ablate
from hc_interp.metrics import correct
from hc_interp.models.hooked import HookedModel, Intervention
from hc_interp.models.one_word import at_one_word
from hc_interp.progress import stage
from hc_interp.statistics.samples import as_units, unit_sums
from hc_interp.statistics.tests import permutation_p


@evidence("ablation")
def ablation_evidence(request: EvidenceRequest) -> HeadEvidence:
    """The accuracy lost by ablating each candidate, on at most `max_examples` examples of the cases and of validation.

    A head that carries generalization may cost nothing here, because other heads can compensate for its loss.
    """
    if request.means is None:
        raise HCError(
            "Method 'ablation' replaces heads by their means, and none were given. "
            "Pass means=hc.mean_activations(model, task.train)."
        )
    if request.task.validation is None:
        raise DataError(
            f"Task {request.task.name!r} has no validation split to compare with; method 'ablation' needs one. "
            "Give the task validation=..., or use method='contrast'."
        )
    parts = select_examples(request.task, request.cases, request.max_examples, request.seed)
    inside = [request.task.validation.sample(request.max_examples, request.seed)]
    lost = [
        accuracy_lost(request.model, part, request.candidates, request.means, request.interventions, request.batch_size)
        for part in (parts.values(), inside)
    ]
    sources = [[s for part in group for s in part.source or ()] for group in (parts.values(), inside)]
    outside_cost, inside_cost = lost[0].mean(axis=0), lost[1].mean(axis=0)
    p = excess_test(lost[0], lost[1], sources[0], sources[1], request.seed)
    excess = outside_cost - inside_cost
    columns = {"cost_out": outside_cost, "cost_in": inside_cost, "excess": excess}
    return HeadEvidence(
        judged(columns, p, excess >= request.margin, request.alpha), tuple(parts), tuple(sorted(set(sources[0])))
    )


@torch.no_grad()
def accuracy_lost(
    model: HookedModel,
    parts: Iterable[Examples],
    heads: Heads,
    means: MeanActivations,
    interventions: Sequence[Intervention],
    batch_size: int,
) -> Float[np.ndarray, "example head"]:
    """Whether each answer is right before, minus whether it is right after, ablating each head: 1, 0 or -1."""
    per_part = []
    model = at_one_word(model)
    parts = [regrouped(model.labels, part) for part in parts]
    pieces = [batches(model, part, batch_size) for part in parts]  # refuses unreadable rows before any pass
    for part, encoded in zip(parts, pieces, strict=True):
        lost = np.zeros((len(part), len(heads)))
        with stage("ablating heads", len(encoded) * len(heads)) as progress:
            for item in encoded:
                rows = scored_rows(
                    model, part.rows(item.index.tolist()), [replace(item, index=torch.arange(len(item)))]
                )
                before = correct(model.logits(item.batch, interventions), rows)
                for column, head in enumerate(heads):
                    after = correct(model.logits(item.batch, [*interventions, Ablate(head, means)]), rows)
                    lost[item.index.numpy(), column] = (before - after).cpu().numpy()
                    progress.advance()
        per_part.append(lost)
    return np.concatenate(per_part)


def excess_test(
    outside: Float[np.ndarray, "out head"],
    inside: Float[np.ndarray, "in head"],
    outside_sources: Sequence[str],
    inside_sources: Sequence[str],
    seed: int,
) -> Float[np.ndarray, " head"]:
    """One-sided p that the mean is larger outside than inside, from permuting which sources are outside.

    The null hypothesis is that both have one distribution. A small p can therefore also come from a difference in
    spread.
    """
    if outside.shape[1] == 0:
        return np.empty(0)
    values = np.concatenate([outside, inside])
    names = [f"out {s}" for s in outside_sources] + [f"in {s}" for s in inside_sources]
    codes, n_units = as_units(names, len(values))
    sums, sizes = unit_sums(values, codes, n_units), np.bincount(codes, minlength=n_units).astype(float)
    n_outside = len(set(outside_sources))
    if n_outside in (0, n_units):
        raise DataError(
            f"{n_outside} of {n_units} sources are out of distribution; expected some on both sides. "
            "Give the task both cases and a validation split."
        )
    is_out = np.zeros(n_units)
    is_out[codes[: len(outside)]] = 1
    rng = np.random.default_rng(seed)
    labels = np.stack([is_out, *(rng.permutation(is_out) for _ in range(N_PERMUTATIONS))])
    means = (labels @ sums) / (labels @ sizes)[:, None] - ((1 - labels) @ sums) / ((1 - labels) @ sizes)[:, None]
    return np.atleast_1d(permutation_p(means[0], means[1:], exhaustive=False))
