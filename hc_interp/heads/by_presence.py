"""Evidence by presence: are the subnetworks that keep a head those that generalize?"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations, product
from math import factorial, prod
from typing import Any

import numpy as np
from jaxtyping import Float

from hc_interp.components import Subnetwork
from hc_interp.errors import HCError
from hc_interp.evaluation.evaluate import evaluate
from hc_interp.heads.evidence import N_PERMUTATIONS, EvidenceRequest, HeadEvidence, evidence, judged, select_examples
from hc_interp.statistics.tests import permutation_p

ROUNDING = 1e-12  # sums of squares below this are those of equal numbers
MIN_ORDERS = 24  # those of 4 subnetworks of one size: fewer cannot reach p = 0.05


@evidence("presence")
def presence_evidence(request: EvidenceRequest) -> HeadEvidence:
    """Correlation of presence with mean accuracy over cases, across subnetworks of one size; see `presence_test`.

    The subnetworks of one search share its data and objective, and heads that are kept together share the credit:
    presence predicts, it does not say that the head does it.
    """
    subnetworks = _subnetworks(request.found)
    if request.means is None:
        raise HCError(
            "Method 'presence' evaluates subnetworks, which takes the means that removed components are replaced by; "
            "none were given. Pass means=hc.mean_activations(model, task.train)."
        )
    parts = select_examples(request.task, request.cases, request.max_examples, request.seed)
    evaluation = evaluate(
        request.model,
        replace(request.task, cases=parts, validation=None),
        subnetworks,
        request.means,
        interventions=request.interventions,
        batch_size=request.batch_size,
        seed=request.seed,
    )
    accuracy = np.mean([evaluation.accuracy(case) for case in parts], axis=0)[1:]  # the first row is the full model
    kept = np.array([[head in item for head in request.candidates] for item in subnetworks], dtype=float)
    correlation, difference, p = presence_test(kept, accuracy, request.seed, sizes=[len(item) for item in subnetworks])
    sources = {source for part in parts.values() for source in part.source or ()}
    columns = {"presence": kept.mean(axis=0), "correlation": correlation, "difference": difference}
    return HeadEvidence(
        judged(columns, p, difference >= request.margin, request.alpha), tuple(parts), tuple(sorted(sources))
    )


def presence_test(
    kept: Float[np.ndarray, "subnetwork head"],
    accuracy: Float[np.ndarray, " subnetwork"],
    seed: int,
    sizes: Sequence[int] | None = None,
) -> tuple[Float[np.ndarray, " head"], Float[np.ndarray, " head"], Float[np.ndarray, " head"]]:
    """Point-biserial correlation, accuracy with minus without the head, and one-sided p over orders of the accuracies.

    Only subnetworks of one size are compared: a larger one keeps more heads and does better, whatever these heads do.
    Presence and accuracy are taken less their means over subnetworks of that size (None: all are of one), accuracies
    change places within a size, and the difference is the slope of one in the other. All orders when there are at most
    `N_PERMUTATIONS`, else random ones. NaN for a head that all or none of each size keep, or when all accuracies of
    each size are equal.
    """
    codes = np.zeros(len(accuracy), dtype=int) if sizes is None else np.unique(sizes, return_inverse=True)[1]
    groups = [np.flatnonzero(codes == code) for code in range(codes.max() + 1)]
    present, answers = kept.astype(float), accuracy.astype(float)
    for group in groups:
        present[group] -= present[group].mean(axis=0)
        answers[group] -= answers[group].mean()
    exhaustive = n_orders(groups) <= N_PERMUTATIONS
    orders = np.tile(np.arange(len(answers)), (n_orders(groups) if exhaustive else N_PERMUTATIONS, 1))
    if exhaustive:
        for row, own in enumerate(product(*(permutations(group) for group in groups))):
            for group, order in zip(groups, own, strict=True):
                orders[row, group] = order
    else:
        rng = np.random.default_rng(seed)
        for row in orders:
            for group in groups:
                row[group] = rng.permutation(group)
    squares, spread = (present**2).sum(axis=0), (answers**2).sum()
    varies = (squares > ROUNDING) & (spread > ROUNDING)
    together = present.T @ answers
    with np.errstate(divide="ignore", invalid="ignore"):
        correlation = np.where(varies, together / np.sqrt(squares * spread), np.nan)
        difference = np.where(varies, together / squares, np.nan)
    p = np.full(kept.shape[1], np.nan)
    if varies.any():
        null = answers[orders] @ present[:, varies]
        p[varies] = permutation_p(together[varies], null, exhaustive=exhaustive)
    return correlation, difference, p


def n_orders(groups: Sequence[Sequence[int] | np.ndarray]) -> int:
    """In how many orders accuracies can stand if they change places within each group."""
    return prod(factorial(len(group)) for group in groups)


def _subnetworks(found: Any) -> tuple[Subnetwork, ...]:
    given = getattr(found, "subnetworks", found)
    items = tuple(given.values()) if isinstance(given, dict) else tuple(given or ())
    if not items or not all(isinstance(item, Subnetwork) for item in items):
        raise HCError(
            f"Method 'presence' was given {len(items)} subnetworks or what is none; expected Subnetwork objects. "
            "Pass found=hc.search_masks(model, task.train, seeds=range(12)), or a list of them."
        )
    by_size = Counter(len(item) for item in items)
    if n_orders([range(n) for n in by_size.values()]) < MIN_ORDERS:
        raise HCError(
            f"Method 'presence' was given {len(items)} subnetworks of {len(by_size)} sizes, and compares those of one "
            "size. Expected at least 4 of one size: more seeds, found=hc.search_masks(model, task.train, "
            "seeds=range(12))."
        )
    return items
