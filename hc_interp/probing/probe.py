"""`hc.fit_probe`: whether a linear probe can predict a feature from the activations at a site, and its baselines."""

from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from threadpoolctl import threadpool_limits
from torch import Tensor

from hc_interp.data.parts import Data
from hc_interp.errors import InterventionError
from hc_interp.models.hooked import HookedModel, Intervention
from hc_interp.models.site import Site
from hc_interp.probing.activations import MEMORY_GIB, check_readable, collect
from hc_interp.probing.concept import Concept
from hc_interp.probing.controls import untrained_copy
from hc_interp.probing.design import Design, Places
from hc_interp.probing.features import FeatureInput
from hc_interp.progress import stage
from hc_interp.records.provenance import described, provenance
from hc_interp.records.result import Result
from hc_interp.statistics.tests import Interval
from hc_interp.torch_modes import own_torch_modes

Fitted = TypeVar("Fitted")
Activations = dict[Site, Float[np.ndarray, "place d"]]


@dataclass(frozen=True, eq=False)
class Probe(Result):
    """A linear probe at one site: `activation @ weights + intercept` is the log-odds of class 1, or a number.

    `places.feature` has the kind of prediction and the names of the classes (`kind`, `classes`). `predicted` has one
    prediction for each of `places`, by a probe that was not fitted to any place of the same source; `scores` are of
    these predictions. `weights`, `intercept` and `concept` (for `hc.Erase`) are fitted to all places under `penalty`.
    `level` is that of all intervals. `interventions` are the declared fields of each intervention under which the
    activations were read; None: not recorded.
    """

    place: tuple[int | None, str, int | None]
    scores: dict[str, Interval]
    weights: Float[Tensor, " d"]
    intercept: float
    penalty: float
    predicted: Float[np.ndarray, " place"]
    places: Places
    seed: int
    level: float
    provenance: dict[str, Any] = field(repr=False)
    concept: Concept | None = None
    interventions: tuple[dict[str, Any], ...] | None = None

    @property
    def site(self) -> Site:
        """Where the probe reads."""
        return Site(*self.place)

    @property
    def direction(self) -> Float[Tensor, " d"]:
        """The shortest change of the activation that raises the prediction by 1 (one nat of log-odds).

        For `hc.Steer(site, k * probe.direction)`. The probe reads this direction; the model need not use it. NaN if all
        weights are 0, as at a site of constant activations.
        """
        return self.weights / self.weights.square().sum()

    def to_frame(self) -> pd.DataFrame:
        """A row per score: site, feature, metric, value, low, high, n (places read)."""
        rows = [
            {"site": str(self.site), "feature": self.places.feature.name, "metric": name}
            | {part: getattr(score, part) for part in ("value", "low", "high", "n")}
            for name, score in self.scores.items()
        ]
        return pd.DataFrame(rows)

    def __repr__(self) -> str:
        shown = [name for name in ("accuracy", "auc", "r2", "majority", "selectivity") if name in self.scores]
        scores = ", ".join(
            f"{name} {self.scores[name].value:.3f} [{self.scores[name].low:.3f}, {self.scores[name].high:.3f}]"
            for name in shown
        )
        feature = self.places.feature
        return f"Probe({feature.name} at {self.site}, {feature.target}: {scores}; {len(self.places)} places)"


@own_torch_modes
def fit_probe(
    model: HookedModel,
    data: Data,
    site: Site,
    feature: FeatureInput,
    *,
    interventions: Iterable[Intervention] = (),
    seed: int = 0,
    n_folds: int = 5,
    level: float = 0.95,
    max_tokens: int | None = 20_000,
    control: bool = True,
    untrained: bool = False,
    batch_size: int = 64,
    memory_gib: float = MEMORY_GIB,
    sources: Collection[object] | None = None,
) -> Probe:
    """Fit a linear probe for `feature` on the activations at `site`.

    The probe is a logistic regression for a binary feature, a ridge regression for a real one; its `repr` says which.
    Predictions are cross-fitted in `n_folds` folds, and each fold's penalty is chosen inside its training part. All
    places of a source are in one fold.

    Arguments:
        data: `Examples`, one or several; or `Batch`, one or several, which needs `sources` and a feature of values.
        site: a site with one vector per token (or per example: `pooled`, for pair-level features).
        feature: a name of `hc.features.FEATURES`, a `Feature`, or your own values; `feature_values` says how they are
            read. A token-level feature is read at its token, a pair-level one at [CLS] or a causal model's last token.
        interventions: the activations are read under these.
        level: of all intervals.
        max_tokens: places at most; whole examples are left out. None: no limit.
        control, untrained: whether to fit control tasks, and probes of a model with random weights.
        memory_gib: activations that need more gibibytes are kept in a temporary file.
        sources: of batches, a source for each row. A probe can score by memory if rows of one premise are in two folds.

    Returns a `Probe` whose `scores` have percentile intervals over sources:
        accuracy, auc (binary) or r2 (real, against the training mean); majority: the accuracy of a constant guess;
        word_*: the prediction from the word alone;
        shuffled_*: probes of shuffled values, which should be at chance;
        control_*: probes of random values per word type, mean of 3 draws; selectivity: accuracy (r2) minus its control;
        untrained_*: the same site in a model with random weights.
    Probes of shuffled and random values take the penalties of the feature's probe.

    A high score shows that the feature can be read at the site. It does not show that the model reads it: that takes an
    intervention. If a feature is correlated with another one (overlap with the domain, say), a probe may read the other
    one. If the word alone predicts the feature, a score says little about the text: compare `auc` with `word_auc`. With
    few sources a probe without signal scores somewhat below chance, as always in cross-validation.

    Raises `DataError` for data and features that do not fit, `ComponentError` for sites without one vector per place,
    `InterventionError`. Source: Hewitt & Liang 2019 (arXiv 1909.03368).
    """
    work = ProbeWork.of(
        model,
        data,
        [site],
        feature,
        interventions=interventions,
        seed=seed,
        n_folds=n_folds,
        level=level,
        max_tokens=max_tokens,
        control=control,
        untrained=untrained,
        batch_size=batch_size,
        memory_gib=memory_gib,
        sources=sources,
    )
    return work.fit([site], work.read([site]), 1)[0]


@dataclass(frozen=True, eq=False)
class ProbeWork:
    """Probes of one feature at any sites: the design, the settings, and the fields that all probes share."""

    model: HookedModel
    design: Design
    before: tuple[Intervention, ...]
    untrained: bool
    batch_size: int
    memory_gib: float
    shared: dict[str, Any]

    @classmethod
    def of(
        cls,
        model: HookedModel,
        data: Data,
        sites: Sequence[Site],
        feature: FeatureInput,
        *,
        interventions: Iterable[Intervention],
        seed: int,
        n_folds: int,
        level: float,
        max_tokens: int | None,
        control: bool,
        untrained: bool,
        batch_size: int,
        memory_gib: float,
        sources: Collection[object] | None,
    ) -> Self:
        before = model.check_interventions(interventions)
        if untrained and before:
            raise InterventionError(
                f"untrained=True was given with {len(before)} interventions. Expected none: means and donors of the "
                "trained model mean nothing in an untrained one. Fit two probes, one with each."
            )
        check_readable(model, sites, by_token=False)
        design = Design.of(
            model,
            data,
            feature,
            seed=seed,
            n_folds=n_folds,
            level=level,
            max_tokens=max_tokens,
            control=control,
            sources=sources,
        )
        places = design.places.feature
        check_readable(model, sites, by_token=places.level == "token")
        settings = {"feature": places.name, "interventions": before, "n_folds": n_folds, "max_tokens": max_tokens}
        origin = provenance(model, design.examples.fingerprint(), seed=seed, control=control, level=level, **settings)
        shared = {"seed": seed, "level": level, "provenance": origin}
        shared["interventions"] = tuple(map(described, before))
        return cls(model, design, tuple(before), untrained, batch_size, memory_gib, shared)

    def read(self, sites: Sequence[Site]) -> tuple[Activations, Activations]:
        """The activations at these sites, and those of an untrained model if it is asked for."""
        fresh = self._collect(untrained_copy(self.model, self.shared["seed"]), sites) if self.untrained else {}
        return self._collect(self.model, sites), fresh

    def _collect(self, source: HookedModel, sites: Sequence[Site]) -> Activations:
        places = self.design.places.feature
        where = self.design.examples, sites, places.row, places.position
        return collect(source, *where, self.before, self.batch_size, self.memory_gib)

    def fit(self, sites: Sequence[Site], values: tuple[Activations, Activations], workers: int) -> list[Probe]:
        """A probe at each site from what `read` gave, on this number of threads."""
        read, fresh = values
        return each_site(
            sites, lambda site: fit_site(self.design, site, read[site], fresh.get(site), **self.shared), workers
        )


def each_site(sites: Sequence[Site], fit: Callable[[Site], Fitted], workers: int | None = None) -> list[Fitted]:
    """`fit` at each site, on `workers` threads (None: as many as torch uses). Results are the same as one by one."""
    with (
        stage("fitting probes", len(sites)) as progress,
        threadpool_limits(1, "blas"),
        ThreadPoolExecutor(min(len(sites), workers or torch.get_num_threads())) as pool,
    ):
        results = []
        for result in pool.map(fit, sites):
            results.append(result)
            progress.advance()
    return results


def fit_site(
    design: Design,
    site: Site,
    x: Float[np.ndarray, "place d"],
    untrained: Float[np.ndarray, "place d"] | None,
    **shared: Any,
) -> Probe:
    """The probe of activations `x` at one site. `shared` are the fields that are the same at all sites.

    `untrained` are activations of a model with random weights. Shuffled values and control tasks are fitted under the
    penalties of the feature's probe.
    """
    values = design.places.feature
    fits = design.fit(x)
    predicted = dict(fits.predicted)
    if untrained is not None:
        predicted["untrained"] = design.fit(untrained, feature_only=True).predicted[""]
    return Probe(
        place=(site.layer, site.kind, site.head),
        scores=design.scores(predicted),
        weights=torch.as_tensor(fits.whole.weights, dtype=torch.float32),
        intercept=fits.whole.intercept,
        penalty=fits.penalty,
        predicted=predicted[""].astype(np.float32),
        places=design.places,
        concept=Concept.of(x, values.value),
        **shared,
    )
