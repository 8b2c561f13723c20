"""Evidence by presence: do the subnetworks that keep a head generalize better than those that do not?"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations, product
from math import factorial, prod
from typing import Any

import numpy as np
from jaxtyping import Float

from hc_interp.errors import HCError
from hc_interp.evaluation.evaluate import Subnetworks, evaluate
from hc_interp.heads.evidence import N_PERMUTATIONS, EvidenceRequest, HeadEvidence, evidence, judged, select_examples
from hc_interp.statistics.tests import permutation_p
from hc_interp.subnetwork import Subnetwork

SQUARES_ROUNDING = 1e-12  # numbers whose squared deviations sum to less than this are equal
MIN_ORDERS = 24  # the orders of 4 subnetworks of one size; with fewer orders p cannot reach 0.05


@evidence("presence")
def presence_evidence(request: EvidenceRequest) -> HeadEvidence:
    """Correlation of each head's presence with mean accuracy over cases, across subnetworks of one size.

    `presence_test` defines the numbers. The subnetworks of one search share its data and objective, and heads that are
    kept together have the same presence. The presence of a head may thus predict generalization without causing it.
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
    """Correlation of presence with accuracy, accuracy with minus without the head, and one-sided p, for each head.

    `sizes` are the numbers of kept components (None: all subnetworks have one size). Only subnetworks of one size are
    compared, because a larger subnetwork keeps more heads and is more accurate whichever heads these are. Presence (1
    or 0) and accuracy are centred within each size. The difference is the slope of accuracy on presence. The null
    permutes accuracies within each size: all orders when there are at most `N_PERMUTATIONS`, otherwise random orders.

    All three are NaN for a head that all or none of the subnetworks of each size keep, and where the accuracies within
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
        for row, permuted in enumerate(product(*(permutations(group) for group in groups))):
            for group, order in zip(groups, permuted, strict=True):
                orders[row, group] = order
    else:
        rng = np.random.default_rng(seed)
        for row in orders:
            for group in groups:
                row[group] = rng.permutation(group)
    squares, spread = (present**2).sum(axis=0), (answers**2).sum()
    varies = (squares > SQUARES_ROUNDING) & (spread > SQUARES_ROUNDING)
    products = present.T @ answers
    with np.errstate(divide="ignore", invalid="ignore"):
        correlation = np.where(varies, products / np.sqrt(squares * spread), np.nan)
        difference = np.where(varies, products / squares, np.nan)
    p = np.full(kept.shape[1], np.nan)
    if varies.any():
        null = answers[orders] @ present[:, varies]
        p[varies] = permutation_p(products[varies], null, exhaustive=exhaustive)
    return correlation, difference, p


def n_orders(groups: Sequence[Sequence[int] | np.ndarray]) -> int:
    """The number of orders of the accuracies when they are permuted within each group."""
    return prod(factorial(len(group)) for group in groups)


def _subnetworks(found: Subnetworks | None) -> tuple[Subnetwork, ...]:
    listed: Any = getattr(found, "subnetworks", found)
    items = tuple(listed.values()) if isinstance(listed, dict) else tuple(listed or ())
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
