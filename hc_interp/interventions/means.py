"""Mean activations, the default value of an ablated component."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from hc_interp.data.batch import Batch
from hc_interp.data.encode import batches
from hc_interp.data.examples import Examples
from hc_interp.data.parts import Data
from hc_interp.errors import ComponentError, DataError, InterventionError
from hc_interp.models.hooked import HookedModel, Intervention
from hc_interp.models.site import Site
from hc_interp.records.digest import NOT_HASHED
from hc_interp.records.result import Result
from hc_interp.torch_modes import own_torch_modes, usable


@dataclass(frozen=True, eq=False)
class MeanActivations(Result):
    """Mean values over the non-padding positions of some data; a `source` for every intervention that replaces a value.

    `values[kind]` holds the means at one kind of site: `z` is `[layer, head, d_head]`, `mlp_out` is
    `[layer, d_model]`, `embed` is `[d_model]`. With `positional` an axis `pos` comes before the last axes:
    `[layer, pos, ...]`, and `[pos, d_model]` for `embed`. Replacing a value by its mean removes how it varies over the
    data; the constant part of the value stays.
    """

    values: dict[str, Tensor]
    positional: bool
    n_positions: int = field(metadata=NOT_HASHED)
    model: str
    data: str = field(metadata=NOT_HASHED)

    def value(self, site: Site, batch: Batch) -> Tensor:
        """The mean at a site, of a shape that broadcasts over `batch`.

        Raises `ComponentError` for a kind of site without means, and `InterventionError` for a batch that is longer
        than the data of positional means.
        """
        if site.kind not in self.values:
            raise ComponentError(
                f"These means hold no {site.kind}; they hold {', '.join(self.values)}. "
                f"Collect it too: mean_activations(..., kinds=[{site.kind!r}])."
            )
        mean = usable(self.values[site.kind])
        mean = (mean if site.layer is None else mean[site.layer]).to(batch.input_ids.device)
        if self.positional and site.kind != "pooled":
            length = batch.input_ids.shape[1]
            if length > mean.shape[0]:
                raise InterventionError(
                    f"The batch has {length} positions, these positional means {mean.shape[0]}. "
                    "Collect them on data at least as long, or use positional=False."
                )
            mean = mean[:length]
        return mean if site.head is None else mean[..., site.head, :]

    def check_model(self, model: HookedModel) -> None:
        """Raise `InterventionError` for a model other than the one that the means were taken from."""
        if self.model != model.fingerprint:
            raise InterventionError(
                f"These means were taken from a model with fingerprint {self.model}; {model.name} has "
                f"{model.fingerprint}. Take means from the model in use: hc.mean_activations(model, data)."
            )

    def to_frame(self) -> pd.DataFrame:
        """A row per kind of site and layer, with the norm of the mean."""
        rows = [
            {"kind": kind, "layer": layer, "norm": float(mean.norm())}
            for kind, stacked in self.values.items()
            for layer, mean in enumerate(stacked if kind not in ("embed", "pooled") else [stacked])
        ]
        return pd.DataFrame(rows)

    def __repr__(self) -> str:
        per = "by position" if self.positional else "over all positions"
        return f"MeanActivations({', '.join(self.values)}; {per}; {self.n_positions} positions seen)"


@own_torch_modes
@torch.no_grad()
def mean_activations(
    model: HookedModel,
    data: Data,
    *,
    positional: bool = False,
    kinds: Sequence[str] = (),
    interventions: Iterable[Intervention] = (),
    batch_size: int = 64,
) -> MeanActivations:
    """Mean values of all components, of `embed` and of further `kinds` of sites, over `data`.

    Each non-padding position of each example counts once. `positional=True` takes a mean for each position; such means
    cannot replace values of batches that are longer than `data`. All runs are made under `interventions`. Sums are
    taken in float64.

    Raises `ComponentError` for kinds without a position axis ("pattern", "pooled"), `DataError` for data that cannot be
    encoded or holds no examples, and `InterventionError` for interventions that have no meaning on the model.
    """
    before = model.check_interventions(interventions)
    kinds = tuple(dict.fromkeys(("z", "mlp_out", "embed", *kinds)))
    sites = [site for kind in kinds for site in _sites(model, kind)]
    longest = 0
    sums: dict[Site, Tensor] = {}
    counts = torch.zeros(model.max_positions, dtype=torch.float64, device=model.device)
    checksum = []
    for item in batches(model, data, batch_size=batch_size, with_labels=False):
        batch = item.batch
        captured = model.run(batch, before, capture=sites).captured
        mask = batch.attention_mask.double()
        length = mask.shape[1]
        longest = max(longest, int(mask.sum(1).max()))
        counts[:length] += mask.sum(0)
        checksum.append(float((batch.input_ids.double() * mask).sum()))
        for site in sites:
            total = torch.einsum("bp...,bp->p...", captured[site].double(), mask)
            if site not in sums:
                sums[site] = torch.zeros(
                    model.max_positions, *total.shape[1:], dtype=torch.float64, device=model.device
                )
            sums[site][:length] += total
    if longest == 0:
        raise DataError("mean_activations was given no examples; pass a split with at least one.")
    values = {kind: _means(sums, counts, _sites(model, kind), positional, longest, model.dtype) for kind in kinds}
    text = f"{len(checksum)} batches, checksum {sum(checksum):.0f}"
    name = data.fingerprint() if isinstance(data, Examples | Batch) else text
    return MeanActivations(values, positional, int(counts.sum()), model.fingerprint, name)


def _sites(model: HookedModel, kind: str) -> list[Site]:
    if kind in ("pattern", "pooled"):
        raise ComponentError(
            f"{kind} has no mean over positions; choose kinds with a position axis, like 'q' or 'resid_pre'."
        )
    return [Site.embed()] if kind == "embed" else [Site(layer, kind) for layer in range(model.n_layers)]


def _means(
    sums: dict[Site, Tensor],
    counts: Float[Tensor, " pos"],
    sites: list[Site],
    positional: bool,
    longest: int,
    dtype: torch.dtype,
) -> Tensor:
    """The means at one kind of site, all layers in one tensor; `longest` is the number of positions with examples."""
    means = []
    for site in sites:
        total, seen = sums[site], counts.view(-1, *[1] * (sums[site].ndim - 1))
        mean = total[:longest] / seen[:longest] if positional else total.sum(0) / counts.sum()
        means.append(mean.to(dtype))
    return means[0] if sites[0].layer is None else torch.stack(means)
