"""`hc.probe_map`: one feature at many sites, from one pass over the data."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from hc_interp.components import Head
from hc_interp.errors import ComponentError
from hc_interp.models.hooked import HookedModel, Intervention
from hc_interp.models.site import Site
from hc_interp.probing.features import Feature
from hc_interp.probing.probe import Probe, fit_probes
from hc_interp.results import Result


@dataclass(frozen=True, eq=False)
class ProbeMap(Result):
    """A probe per site. Sites share places, folds and control labels, so that their scores compare place by place.

    The best of many sites is best partly by chance: its interval is that of one site, not of a maximum.
    """

    feature: str
    probes: tuple[Probe, ...]

    def __getitem__(self, site: Site) -> Probe:
        for probe in self.probes:
            if probe.site == site:
                return probe
        raise ComponentError(f"{site} was not probed; the map has {', '.join(str(p.site) for p in self.probes)}.")

    def __len__(self) -> int:
        return len(self.probes)

    def to_frame(self) -> pd.DataFrame:
        """A row per site: site, layer, kind, head, feature, n, each score by name, with `<score>_low`, `<score>_high`."""
        rows = []
        for probe in self.probes:
            layer, kind, head = probe.place
            row: dict[str, Any] = {"site": str(probe.site), "layer": layer, "kind": kind, "head": head}
            row |= {"feature": probe.feature, "n": len(probe.value)}
            for name, score in probe.scores.items():
                row |= {name: score.value, f"{name}_low": score.low, f"{name}_high": score.high}
            rows.append(row)
        return pd.DataFrame(rows).astype({"layer": "Int64", "head": "Int64"})

    def __repr__(self) -> str:
        main = "auc" if self.probes[0].kind == "binary" else "r2"
        best = max(self.probes, key=lambda probe: probe.scores[main].value)
        return f"ProbeMap({self.feature} at {len(self)} sites; best {best.site}, {main} {best.scores[main].value:.3f})"


def probe_map(
    model: HookedModel,
    data: Any,
    feature: str | Feature | Any,
    sites: Sequence[Site] | None = None,
    *,
    interventions: Sequence[Intervention] = (),
    seed: int = 0,
    n_folds: int = 5,
    level: float = 0.95,
    max_tokens: int | None = 20_000,
    control: bool = True,
    untrained: bool = False,
    batch_size: int = 64,
) -> ProbeMap:
    """`fit_probe` at each of `sites` (default: every head's `z`). Arguments, scores and errors are those of `fit_probe`."""
    if sites is None:
        sites = [Site(item.layer, "z", item.head) for item in model.components if isinstance(item, Head)]
    sites = list(dict.fromkeys([sites] if isinstance(sites, Site) else sites))
    if not sites:
        raise ComponentError("probe_map was given no sites; pass at least one, or None for every head's z.")
    probes = fit_probes(
        model,
        data,
        sites,
        feature,
        interventions=interventions,
        seed=seed,
        n_folds=n_folds,
        level=level,
        max_tokens=max_tokens,
        control=control,
        untrained=untrained,
        batch_size=batch_size,
    )
    return ProbeMap(probes[0].feature, tuple(probes))
