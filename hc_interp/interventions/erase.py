"""`Erase`: remove the direction that a probe reads from the activations at its site."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from hc_interp.data.batch import Batch
from hc_interp.errors import InterventionError
from hc_interp.models.forward import SiteEdit
from hc_interp.models.hooked import HookedModel, Intervention
from hc_interp.models.site import Site
from hc_interp.torch_modes import usable

ERASE_METHODS = ("direction", "leace")


class Moments(Protocol):
    """Three vectors of a probe's data: the mean of the activations, their covariance with the feature, and the weights
    of the least-squares regression of the feature on them."""

    mean: Float[Tensor, " d"]
    covariance: Float[Tensor, " d"]
    regression: Float[Tensor, " d"]


class LinearProbe(Protocol):
    """The attributes of a probe that `Erase` uses; `hc.Probe` has them."""

    weights: Float[Tensor, " d"]
    provenance: dict[str, Any]

    @property
    def site(self) -> Site: ...
    @property
    def concept(self) -> Moments | None: ...


@dataclass(frozen=True, eq=False)
class Erase(Intervention):
    """Remove the direction that `probe` reads from the activations at its site, at every position.

    The mean of the activations that the probe was fitted on does not change.

    - `method="direction"`: `x - ((x - mean) . w) w / |w|^2` with the probe's weights `w`. The probe then gives the same
      output for every activation. Another probe may still find the feature, which is seldom in one direction alone.
    - `method="leace"`: `x - ((x - mean) . r) c / (c . r)` with the covariance `c` of activations and feature and
      `r = cov(x)^+ c`. It is the smallest change after which no linear probe fits the feature better than a constant,
      on the activations that the probe was fitted on. Source: Belrose et al. 2023 (arXiv 2306.03819); for one feature
      LEACE has this closed form. (Their package, concept-erasure, is no dependency: its newest version, 0.2.4, has
      files of January 2024.)

    The guarantee of "leace" holds for the probe's activations taken together. A probe that is cross-fitted on them
    scores at chance or below, because the covariances of any two parts are opposite. On other activations a probe may
    still find the feature.

    Behaviour that survives an erasure does not show that the model works without the feature: the model may read the
    feature nonlinearly, at another site, or at a later site that receives it by another path. Raises
    `InterventionError` for an object that is no probe, for a probe of another model, and for a probe whose weights are
    all 0; `ComponentError` for a site that the model lacks.
    """

    probe: LinearProbe
    method: Literal["direction", "leace"] = "direction"

    def check(self, model: HookedModel, before: Sequence[Intervention]) -> None:
        missing = [name for name in ("site", "weights", "concept", "provenance") if not hasattr(self.probe, name)]
        if missing:
            raise InterventionError(
                f"Erase was given a {type(self.probe).__name__}; expected a probe. Fit one: hc.fit_probe(model, data, "
                "site, feature), or take one of a map: probe_map(...)[site]."
            )
        if self.method not in ERASE_METHODS:
            raise InterventionError(
                f"Erase was given method={self.method!r}; choose one of {', '.join(ERASE_METHODS)}."
            )
        model.check_site(self.probe.site)
        if (fitted_on := self.probe.provenance.get("model")) != model.fingerprint:
            raise InterventionError(
                f"This probe was fitted on a model with fingerprint {fitted_on}; {model.name} has {model.fingerprint}. "
                "A direction means nothing in other weights: fit the probe on the model in use."
            )
        if self.probe.concept is None or not bool(self._vectors()[1].any()):
            raise InterventionError(
                f"The probe at {self.probe.site} found nothing to erase: its weights are 0. Probe a site at which "
                "activations vary."
            )

    def _vectors(self) -> tuple[Float[Tensor, " d"], Float[Tensor, " d"]]:
        """Two vectors r and s: the erasure subtracts `((x - mean) . r) s`."""
        concept = self.probe.concept
        assert concept is not None
        if self.method == "leace":
            scale = (concept.covariance @ concept.regression).clamp_min(torch.finfo(torch.float64).tiny)
            return concept.regression, concept.covariance / scale
        weights = self.probe.weights.double()
        return weights, weights / weights.square().sum().clamp_min(torch.finfo(torch.float64).tiny)

    def edits(self, model: HookedModel, batch: Batch, before: Sequence[Intervention]) -> list[SiteEdit]:
        concept = self.probe.concept
        assert concept is not None
        reads, subtracts = (usable(vector).to(model.device, model.dtype) for vector in self._vectors())
        # The mean enters as one number in float64, because it can be much larger than the deviations from it.
        at_mean = float(concept.mean @ self._vectors()[0])

        def erased(value: Tensor) -> Tensor:
            return value - (value @ reads - at_mean)[..., None] * subtracts

        return [SiteEdit(self.probe.site, erased)]
