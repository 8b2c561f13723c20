"""Faithfulness, completeness and minimality of subnetworks, and the curve of faithfulness over sizes (CPR and CMD)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from hc_interp.components import Component, components
from hc_interp.data.encode import batches
from hc_interp.data.labels import regrouped
from hc_interp.data.parts import Data, as_parts, fingerprint, sources_of
from hc_interp.errors import HCError
from hc_interp.evaluation.evaluate import Subnetworks, named_subnetworks
from hc_interp.evaluation.faithfulness_results import EMPTY, Faithfulness, FaithfulnessCurve, PerExample
from hc_interp.evaluation.result import FULL
from hc_interp.evaluation.scored_rows import scored_rows
from hc_interp.evaluation.subnetwork_logits import logits_under
from hc_interp.interventions.nodes import Keep
from hc_interp.interventions.sources import Source, check_source
from hc_interp.metrics import Metric, correct, kl_divergence, path_metric
from hc_interp.models.hooked import HookedModel, Intervention
from hc_interp.models.one_word import at_one_word
from hc_interp.progress import stage
from hc_interp.records.provenance import provenance
from hc_interp.search.plan import seed_of
from hc_interp.search.ranking import Ranking, best
from hc_interp.shares import share_count
from hc_interp.subnetwork import Subnetwork
from hc_interp.torch_modes import own_torch_modes

FRACTIONS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)  # of components kept, as in the MIB benchmark

Order = Ranking | Sequence[str | Component] | Mapping[float, Subnetwork]


@own_torch_modes
def faithfulness(
    model: HookedModel,
    data: Data,
    subnetworks: Subnetworks,
    means: Source,
    *,
    metric: str | Metric = "logit_diff",
    n_subsets: int = 0,
    minimality: bool = False,
    interventions: Sequence[Intervention] = (),
    batch_size: int = 64,
    seed: int = 0,
) -> Faithfulness:
    """How much of the full model's metric each subnetwork keeps, how complete it is, and how much each component adds.

    Let m be the mean metric over the data (labels are the gold; a language model without label words is scored by
    answers and foils, at the position that is read), C the subnetwork, M the full model and 0 the model in which every
    component is replaced by the source `means`.

    - *Faithfulness* is `(m(C) - m(0)) / (m(M) - m(0))`: 1 for the full model's metric, 0 for the metric of model 0.
      KL(full || subnetwork) in nats and the accuracy kept, accuracy(C) / accuracy(M), are given beside it.
    - *Incompleteness* (with `n_subsets` above 0) is the mean, over that many random halves K of the subnetwork, of
      `|m(C without K) - m(M without K)| / |m(M) - m(0)|`. It is large if the full model does well without K and C does
      not.
    - *Minimality* (with `minimality=True`) is `(m(C) - m(C without v)) / (m(M) - m(0))` for each component v of C. If
      the smallest of these is about 0, C has a component that it does not need.

    Sources: Wang et al. 2022 (arXiv 2211.00593); Mueller et al. 2025 (MIB, arXiv 2504.13151). Raises `HCError` for
    anything but subnetworks, `LabelError` for labels that do not fit. All numbers depend on the data and on `means`. A
    faithful subnetwork may compute its answers in another way than the full model.
    """
    named = named_subnetworks(subnetworks)
    if not named or n_subsets < 0:
        raise HCError(
            f"{len(named)} subnetworks and n_subsets={n_subsets} were given. Expected at least one subnetwork, like "
            "found.subnetworks of hc.search_masks, and n_subsets from 0."
        )
    if EMPTY in named:
        raise HCError(f"A subnetwork is named {EMPTY!r}, which is the name of the model without components. Rename it.")
    variants: dict[str, Subnetwork] = dict(named)
    for name, item in named.items():
        if minimality:
            variants |= {f"{name} without {part}": item.without(part) for part in item.sorted()}
        whole = Subnetwork(frozenset(item.universe), item.universe)
        for number, subset in enumerate(_halves(item, n_subsets, seed)):
            variants[f"{name} less {number}"] = item.without(subset)
            variants[f"{name} all less {number}"] = whole.without(subset)
    values = _measure(model, data, variants, means, metric, interventions, batch_size)
    return Faithfulness(
        names=tuple(named),
        subnetworks=tuple(named.values()),
        values=values.metric,
        kl={name: values.kl[name] for name in named},
        correct={name: values.correct[name] for name in (FULL, *named)},
        n_subsets=n_subsets,
        sources=values.sources,
        seed=seed,
        provenance=values.provenance | {"metric": _name(metric)},
    )


@own_torch_modes
def faithfulness_curve(
    model: HookedModel,
    data: Data,
    order: Order,
    means: Source,
    *,
    fractions: Sequence[float] = FRACTIONS,
    metric: str | Metric = "logit_diff",
    interventions: Sequence[Intervention] = (),
    batch_size: int = 64,
    seed: int = 0,
) -> FaithfulnessCurve:
    """Faithfulness on `data` as a curve over the share of the best components that is kept; the areas CPR and CMD.

    `order` is a `Ranking`, components with the best first, or a mapping from kept fractions to subnetworks (of a search
    over a grid of sparsities). Of n components, a fraction f keeps the best `floor(f n + 0.5)`. Fractions that keep
    none are dropped and listed in `.dropped`. Rows are scored as in `faithfulness`: by labels, or by answers and foils.

    CPR is the area under the curve of faithfulness over f, CMD the area between the curve and 1. Both are trapezoid
    areas over the fractions that were measured and say nothing about smaller circuits. A high CPR means that the order
    puts components first that raise the metric; a low CMD, that the subnetworks have about the full model's metric.
    Source: Mueller et al. 2025 (MIB, arXiv 2504.13151). Raises `HCError` for an order or fractions that do not fit.
    """
    items, by_fraction = _sizes(model, order, fractions)
    dropped = tuple(f for f, kept in by_fraction.items() if not len(kept))
    kept = {f: item for f, item in by_fraction.items() if len(item)}
    if len(kept) < 2:
        raise HCError(
            f"{len(kept)} of the fractions {list(by_fraction)} keep at least one of {items} components; an area needs "
            "two. Give larger fractions."
        )
    values = _measure(
        model, data, {f"{f:g}": item for f, item in kept.items()}, means, metric, interventions, batch_size
    )
    return FaithfulnessCurve(
        fractions=tuple(kept),
        subnetworks=tuple(kept.values()),
        dropped=dropped,
        values=values.metric,
        sources=values.sources,
        seed=seed,
        provenance=values.provenance | {"metric": _name(metric)},
    )


@dataclass(frozen=True)
class _Measurements:
    """Metric, KL in nats and right answers per example, of each subnetwork and of `FULL` and `EMPTY`."""

    metric: PerExample
    kl: PerExample
    correct: PerExample
    sources: tuple[str, ...]
    provenance: dict[str, Any]


@torch.no_grad()
def _measure(
    model: HookedModel,
    data: Data,
    subnetworks: Mapping[str, Subnetwork],
    means: Source,
    metric: str | Metric,
    interventions: Sequence[Intervention],
    batch_size: int,
) -> _Measurements:
    model = at_one_word(model)
    check_source(means, model)
    score = path_metric(metric)
    universes = {item.universe for item in subnetworks.values()}
    if len(universes) > 1:
        raise HCError(
            f"The subnetworks are chosen from {len(universes)} different sets of components, so they do not share the "
            "model in which nothing is kept. Give those of one search, or of one choice of components, at a time."
        )
    (universe,) = universes
    kept = {EMPTY: Subnetwork(frozenset(), universe), **subnetworks}
    before = model.check_interventions(interventions)
    settings = {FULL: before} | {n: [*before, Keep(s, means)] for n, s in kept.items()}
    for listed in settings.values():
        model.check_interventions(listed)
    parts = [regrouped(model.labels, part) for part in as_parts(data)]
    pieces = [batches(model, part, batch_size=batch_size) for part in parts]  # refuses unreadable rows before any pass
    per_part: dict[str, list[list[torch.Tensor]]] = {name: [] for name in settings}
    start = 0
    with stage("faithfulness", len(parts) * len(settings)) as progress:
        for part, encoded in zip(parts, pieces, strict=True):
            rows = scored_rows(model, part, encoded, start)
            start += len(part)
            full: torch.Tensor | None = None  # the logits of the first of `settings`, the full model
            for name, logits in logits_under(model, encoded, settings, repr(part), progress):
                full = logits if full is None else full
                kl = kl_divergence(full, logits)
                per_part[name].append([score(logits, rows), kl, correct(logits, rows)])
    metrics, kls, answers = (
        {name: torch.cat([one[i] for one in items]).double().cpu().numpy() for name, items in per_part.items()}
        for i in range(3)
    )
    origin = provenance(model, fingerprint(parts), means=means, interventions=before)
    return _Measurements(metrics, kls, answers, tuple(sources_of(parts)), origin)


def _halves(subnetwork: Subnetwork, n_subsets: int, seed: int) -> list[list[Any]]:
    """Random halves of a subnetwork's components, which depend on these components and on `seed` only."""
    items = subnetwork.sorted()
    rng = np.random.default_rng(seed_of(seed, "completeness"))
    return [[items[i] for i in rng.permutation(len(items))[: (len(items) + 1) // 2]] for _ in range(n_subsets)]


def _sizes(model: HookedModel, order: Order, fractions: Sequence[float]) -> tuple[int, dict[float, Subnetwork]]:
    """How many components there are, and the subnetwork of each fraction, smallest first."""
    if isinstance(order, Mapping):
        by_fraction = {float(f): item for f, item in order.items()}
        if wrong := [item for item in by_fraction.values() if not isinstance(item, Subnetwork)]:
            raise HCError(f"The order holds {wrong[0]!r}. Expected a Subnetwork for each fraction that is kept.")
        items = len(next(iter(by_fraction.values())).universe) if by_fraction else 0
        for f, item in by_fraction.items():
            if abs(len(item) - f * len(item.universe)) > 1:
                raise HCError(
                    f"The order holds a subnetwork of {len(item)} of {len(item.universe)} components at {f:g}. "
                    "Expected the shares that are kept as keys: {1 - s: found.at(s)[0] for s in found.sparsities}."
                )
        return items, {f: by_fraction[f] for f in sorted(by_fraction)}
    if bad := [f for f in fractions if not 0 <= f <= 1]:
        raise HCError(f"fractions holds {bad[0]!r}. Expected shares of components that are kept, 0 to 1.")
    shares = sorted(map(float, fractions))
    if isinstance(order, Ranking):
        n = len(order.universe)
        return n, {f: best(order.scores, share_count(n, f), order.universe) for f in shares}
    universe = tuple(model.check_component(item) for item in components(order, model.components))
    n = len(universe)
    return n, {f: Subnetwork(frozenset(universe[: share_count(n, f)]), universe) for f in shares}


def _name(metric: str | Metric) -> str:
    return metric if isinstance(metric, str) else getattr(metric, "__name__", repr(metric))
