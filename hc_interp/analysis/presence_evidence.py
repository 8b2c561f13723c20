"""Evidence by presence: are the subnetworks that keep a head those that generalize?"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations
from math import factorial
from typing import Any

import numpy as np
from jaxtyping import Float

from hc_interp.analysis.head_evidence import N_PERMUTATIONS, HeadEvidence, judged, select_examples
from hc_interp.analysis.head_sets import Heads
from hc_interp.analysis.statistics import permutation_p
from hc_interp.components import Subnetwork
from hc_interp.data.task import Task
from hc_interp.errors import HCError
from hc_interp.interventions.means import MeanActivations
from hc_interp.models.hooked import HookedModel, Intervention

MIN_SUBNETWORKS = 4  # 24 orders: fewer cannot reach p = 0.05


def presence_evidence(
    model: HookedModel,
    task: Task,
    candidates: Heads,
    found: Any,
    means: MeanActivations | None,
    *,
    cases: Sequence[str] | None,
    margin: float,
    alpha: float,
    max_examples: int,
    interventions: Sequence[Intervention],
    batch_size: int,
    seed: int,
) -> HeadEvidence:
    """Correlation of presence with mean accuracy over cases, across subnetworks; see `presence_test`.

    The subnetworks of one search share its data and objective, and heads that are kept together share the credit:
    presence predicts, it does not say that the head does it.
    """
    from hc_interp.analysis.evaluate import evaluate

    subnetworks = _subnetworks(found)
    if means is None:
        raise HCError(
            "Method 'presence' evaluates subnetworks, which takes the means that removed components are replaced by; "
            "none were given. Pass means=hc.mean_activations(model, task.train)."
        )
    parts = select_examples(task, cases, max_examples, seed)
    evaluation = evaluate(
        model,
        replace(task, cases=parts, validation=None),
        subnetworks,
        means,
        interventions=interventions,
        batch_size=batch_size,
        seed=seed,
    )
    accuracy = np.mean([evaluation.accuracy(case) for case in parts], axis=0)[1:]  # the first row is the full model
    kept = np.array([[head in item for head in candidates] for item in subnetworks], dtype=float)
    correlation, difference, p = presence_test(kept, accuracy, seed)
    sources = {source for part in parts.values() for source in part.source or ()}
    columns = {"presence": kept.mean(axis=0), "correlation": correlation, "difference": difference}
    return HeadEvidence(judged(columns, p, difference >= margin, alpha), tuple(parts), tuple(sorted(sources)))


def presence_test(
    kept: Float[np.ndarray, "subnetwork head"], accuracy: Float[np.ndarray, " subnetwork"], seed: int
) -> tuple[Float[np.ndarray, " head"], Float[np.ndarray, " head"], Float[np.ndarray, " head"]]:
    """Point-biserial correlation, accuracy with minus without the head, and one-sided p over orders of the accuracies.

    All orders when there are at most `N_PERMUTATIONS`, else random ones. NaN for a head that all or no subnetworks
    keep, or when all accuracies are equal.
    """
    n = len(accuracy)
    varies = (kept.std(axis=0) > 0) & (accuracy.std() > 0)
    centred = kept - kept.mean(axis=0)
    exhaustive = factorial(n) <= N_PERMUTATIONS
    if exhaustive:
        orders = np.array(list(permutations(range(n))))
    else:
        rng = np.random.default_rng(seed)
        orders = np.stack([rng.permutation(n) for _ in range(N_PERMUTATIONS)])
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = n * kept.std(axis=0) * accuracy.std()
        correlation = np.where(varies, centred.T @ (accuracy - accuracy.mean()) / scale, np.nan)
        with_it, without = kept.sum(axis=0), (1 - kept).sum(axis=0)
        difference = np.where(varies, kept.T @ accuracy / with_it - (1 - kept).T @ accuracy / without, np.nan)
    p = np.full(kept.shape[1], np.nan)
    if varies.any():
        null = (accuracy - accuracy.mean())[orders] @ centred[:, varies]
        observed = centred[:, varies].T @ (accuracy - accuracy.mean())
        p[varies] = permutation_p(observed, null, exhaustive=exhaustive)
    return correlation, difference, p


def _subnetworks(found: Any) -> tuple[Subnetwork, ...]:
    given = getattr(found, "subnetworks", found)
    items = tuple(given.values()) if isinstance(given, dict) else tuple(given or ())
    if len(items) < MIN_SUBNETWORKS or not all(isinstance(item, Subnetwork) for item in items):
        raise HCError(
            f"Method 'presence' was given {len(items)} subnetworks; expected at least {MIN_SUBNETWORKS} Subnetwork "
            "objects. Pass found=hc.search_masks(model, task.train, seeds=range(12)), or a list of them."
        )
    return items
