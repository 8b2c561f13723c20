"""`Erase`: what a probe reads at a site, taken out of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from hc_interp.data.batch import Batch
from hc_interp.errors import InterventionError
from hc_interp.interventions.nodes import on_head
from hc_interp.models.forward import SiteEdit
from hc_interp.models.hooked import HookedModel, Intervention
from hc_interp.models.site import Site
from hc_interp.torch_modes import usable

METHODS = ("direction", "leace")


class Moments(Protocol):
    """Mean of the activations, covariance with the feature, weights of its least-squares regression: each `[d]`."""

    mean: Float[Tensor, " d"]
    covariance: Float[Tensor, " d"]
    regression: Float[Tensor, " d"]


class Reader(Protocol):
    """What `Erase` needs of a probe; `hc.Probe` has it."""

    weights: Float[Tensor, " d"]
    provenance: dict[str, Any]

    @property
    def site(self) -> Site: ...
    @property
    def concept(self) -> Moments | None: ...


@dataclass(frozen=True, eq=False)
class Erase(Intervention):
    """Take what `probe` reads out of its site, at every position, and leave the mean over the probe's places as it is.

    - `method="direction"`: `x - ((x - mean) . w) w / |w|^2` with the probe's weights `w`: the probe then says the same
      everywhere. Another probe may still find the feature, since it seldom stands in one direction alone.
    - `method="leace"`: the smallest change after which *no* linear probe does better than a constant, on the places of
      the probe: `x - ((x - mean) . r) c / (c . r)` with the covariance c of activations and feature, and
      `r = cov(x)^+ c`. Source: Belrose et al. 2023 (arXiv 2306.03819), for one feature, where it is this closed form.
      (Their package, concept-erasure, is no dependency: its newest version, 0.2.4, has files of January 2024.)

    The guarantee is on those places, all at once: a probe cross-fitted on them scores at chance or below it (what one
    part has too little of, the rest has too much of), and on other data it may find a rest.

    That behaviour survives an erasure does not show that the model did without the feature: it may read it nonlinearly,
    elsewhere, or at a later site that gets it by another way. Raises `InterventionError` for what is no probe, for a
    probe of another model or site, and for one that found nothing to erase.
    """

    probe: Reader
    method: Literal["direction", "leace"] = "direction"

    def check(self, model: HookedModel, before: Sequence[Intervention]) -> None:
        missing = [name for name in ("site", "weights", "concept", "provenance") if not hasattr(self.probe, name)]
        if missing:
            raise InterventionError(
                f"Erase was given a {type(self.probe).__name__}; expected a probe. Fit one: hc.fit_probe(model, data, "
                "site, feature), or take one of a map: probe_map(...)[site]."
            )
        if self.method not in METHODS:
            raise InterventionError(f"Erase was given method={self.method!r}; choose one of {', '.join(METHODS)}.")
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

    def _vectors(self) -> tuple[Tensor, Tensor]:
        """What a centred activation is multiplied by, and what is taken away times the product."""
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
        reads, away = (usable(part).to(model.device, model.dtype) for part in self._vectors())
        # the mean enters as one number, taken in float64: a site's mean can be large against what varies
        at_mean = float(concept.mean @ self._vectors()[0])

        def erased(value: Tensor) -> Tensor:
            return value - (value @ reads - at_mean)[..., None] * away

        return [SiteEdit(self.probe.site.whole, on_head(self.probe.site, erased))]
