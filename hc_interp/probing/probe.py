"""`hc.fit_probe`: whether a feature can be read linearly from a site, beside what chance and memory would read."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from threadpoolctl import threadpool_limits
from torch import Tensor

from hc_interp.errors import InterventionError
from hc_interp.models.hooked import HookedModel, Intervention
from hc_interp.models.site import Site
from hc_interp.probing.activations import MEMORY_GIB, check_readable, collect
from hc_interp.probing.concept import Concept
from hc_interp.probing.controls import untrained_copy
from hc_interp.probing.design import Design, Places
from hc_interp.probing.features import Feature
from hc_interp.progress import stage
from hc_interp.records.provenance import described, provenance
from hc_interp.records.result import Result
from hc_interp.statistics.tests import Interval
from hc_interp.torch_modes import own_torch_modes

Fitted = TypeVar("Fitted")


@dataclass(frozen=True, eq=False)
class Probe(Result):
    """A linear probe at one site: `activation @ weights + intercept` is the log-odds of class 1, or the number.

    `places.feature` says which of the two, and what the classes are called (`kind`, `classes`).

    `scores` are of `predicted`, one prediction for each of `places` by a probe that has not seen its source; the
    weights are fitted to all places, as is `concept`, which `hc.Erase` works with. `level` is that of all intervals.
    `interventions` are those that the activations were read under, each by its declared fields; None: not recorded.
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
        return Site(*self.place)

    @property
    def direction(self) -> Float[Tensor, " d"]:
        """The shortest change of the activation that raises the prediction by 1 (one nat of log-odds).

        For `hc.Steer(site, k * probe.direction)`. It is where the probe looks, which need not be what the model uses.
        NaN at a site that holds nothing (all weights 0).
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
    data: Any,
    site: Site,
    feature: str | Feature | Any,
    *,
    interventions: Sequence[Intervention] = (),
    seed: int = 0,
    n_folds: int = 5,
    level: float = 0.95,
    max_tokens: int | None = 20_000,
    control: bool = True,
    untrained: bool = False,
    batch_size: int = 64,
    memory_gib: float = MEMORY_GIB,
    sources: Sequence[Any] | None = None,
) -> Probe:
    """Fit a linear probe for `feature` on the activations at `site`, read under `interventions`.

    Token-level features are read at their own token, pair-level ones at [CLS] (`feature_values` says more). The probe
    is a logistic regression for binary features, a ridge regression for real ones: of an array's values integers,
    booleans and text are two classes, floats are numbers, and the probe's `repr` says which was taken. Folds, and the
    choice of the penalty inside each training part, keep all places of a source together. `max_tokens` limits the
    places, by whole examples. Activations that need more than `memory_gib` gibibytes stream to a temporary file. `data`
    is `Examples` or several, or a `Batch` or several: these hold no words, so the feature is an array of values, and no
    sources, so `sources` names one for each row (rows of one premise on two sides of a split would let a probe score by
    memory).

    `scores` (with percentile intervals over sources): `accuracy` and `auc`, or `r2` against the training mean;
    `majority`, the accuracy of a constant guess; `word_*`, what the word alone predicts; `shuffled_*`, the same probe
    on shuffled values (chance); `control_*`, on random values per word type, mean of 3 draws, both under the penalties
    that the feature's own probe chose; `selectivity`, accuracy
    (or r2) less its control; with `untrained=True` `untrained_*`, the same site in a model with fresh random weights.

    A high score says that the feature can be read here, not that the model reads it: that takes an intervention. A
    feature that goes with another one (overlap with the domain, say) is read as well as that one, and what a word alone
    predicts is no reading of the text: compare `auc` with `word_auc`. With few sources a probe that finds nothing
    scores somewhat below chance, as cross-validation does.
    Source: Hewitt & Liang 2019 (arXiv 1909.03368). Raises `DataError` for data and features that do not fit,
    `ComponentError` for sites without one vector per place, `InterventionError`.
    """
    probes = fit_probes(
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
    return probes[0]


def fit_probes(
    model: HookedModel,
    data: Any,
    sites: Sequence[Site],
    feature: str | Feature | Any,
    *,
    interventions: Sequence[Intervention],
    seed: int,
    n_folds: int,
    level: float,
    max_tokens: int | None,
    control: bool,
    untrained: bool,
    batch_size: int,
    memory_gib: float,
    sources: Sequence[Any] | None,
) -> list[Probe]:
    """A probe at each site, from one pass over the data (two with `untrained`)."""
    interventions = [interventions] if hasattr(interventions, "edits") else list(interventions)  # type: ignore[list-item]
    if untrained and interventions:
        raise InterventionError(
            f"untrained=True was given with {len(interventions)} interventions. Expected none: means and donors of the "
            "trained model mean nothing in an untrained one. Fit two probes, one with each."
        )
    model.check_interventions(interventions)
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

    def read(source: HookedModel) -> dict[Site, np.ndarray]:
        where = design.examples, sites, places.row, places.position
        return collect(source, *where, interventions, batch_size, memory_gib)

    values = read(model)
    fresh = read(untrained_copy(model, seed)) if untrained else {}
    settings = {"feature": places.name, "interventions": interventions, "n_folds": n_folds, "max_tokens": max_tokens}
    origin = provenance(model, design.examples.fingerprint(), seed=seed, control=control, level=level, **settings)
    shared = {"seed": seed, "level": level, "provenance": origin}
    shared["interventions"] = tuple(map(described, interventions))
    return each_site(sites, lambda site: fit_site(design, site, values[site], fresh.get(site), **shared))


def each_site(sites: Sequence[Site], fit: Callable[[Site], Fitted]) -> list[Fitted]:
    """`fit` at each site, on as many threads as torch uses; each gives the same numbers as alone."""
    with (
        stage("fitting probes", len(sites)) as progress,
        threadpool_limits(1, "blas"),
        ThreadPoolExecutor(min(len(sites), torch.get_num_threads())) as pool,
    ):
        found = []
        for item in pool.map(fit, sites):
            found.append(item)
            progress.advance()
    return found


def fit_site(
    design: Design,
    site: Site,
    x: Float[np.ndarray, "place d"],
    untrained: Float[np.ndarray, "place d"] | None,
    **shared: Any,
) -> Probe:
    """The probe at one site; `shared` are the fields that all sites share.

    Shuffled values and controls are read by the very probe that reads the feature.
    """
    values = design.places.feature
    found = design.fit(x)
    predicted = dict(found.predicted)
    if untrained is not None:
        predicted["untrained"] = design.fit(untrained, own=True).predicted[""]
    return Probe(
        place=(site.layer, site.kind, site.head),
        scores=design.scores(predicted),
        weights=torch.as_tensor(found.whole.weights, dtype=torch.float32),
        intercept=found.whole.intercept,
        penalty=found.penalty,
        predicted=predicted[""].astype(np.float32),
        places=design.places,
        concept=Concept.of(x, values.value),
        **shared,
    )
