"""`hc.probe_map`: probes of one feature at many sites, from one pass over the data."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from hc_interp.components import Head
from hc_interp.data.parts import Data
from hc_interp.errors import ComponentError
from hc_interp.models.hooked import HookedModel, Intervention
from hc_interp.models.site import Site
from hc_interp.probing.activations import D_HEAD_KINDS, MEMORY_GIB, n_bytes
from hc_interp.probing.concept import Concept
from hc_interp.probing.design import Places
from hc_interp.probing.features import FeatureInput
from hc_interp.probing.probe import Activations, Probe, ProbeWork
from hc_interp.progress import Stage, stage
from hc_interp.records.digest import digest
from hc_interp.records.dispatch import make_missing
from hc_interp.records.pieces import Executor, Runner
from hc_interp.records.result import Result
from hc_interp.records.store import Store
from hc_interp.records.threads import at_threads
from hc_interp.records.value_cache import ValueCache, values_name
from hc_interp.statistics.tests import Interval
from hc_interp.torch_modes import own_torch_modes

SHARED = ("seed", "level", "provenance", "interventions")  # fields that are the same in probes fitted together


@dataclass(frozen=True, eq=False)
class ProbeMap(Result):
    """A probe per site. All sites have the same places, folds and control tasks, so that their scores are comparable.

    The best of many sites is best partly by chance. Its interval does not allow for the choice among sites.
    """

    places: Places
    site_names: tuple[tuple[int | None, str, int | None], ...]
    scores: tuple[dict[str, Interval], ...]
    weights: tuple[Float[Tensor, " _"], ...]  # widths differ between sites
    intercepts: tuple[float, ...]
    penalties: tuple[float, ...]
    predicted: Float[np.ndarray, "site place"]
    seed: int
    level: float
    provenance: dict[str, Any] = field(repr=False)
    concepts: tuple[Concept | None, ...]
    interventions: tuple[dict[str, Any], ...] | None = None

    @classmethod
    def of(cls, probes: Sequence[Probe]) -> Self:
        """The map of probes that were fitted together. Fields that they share are stored once."""
        return cls(
            places=probes[0].places,
            site_names=tuple(probe.place for probe in probes),
            scores=tuple(probe.scores for probe in probes),
            weights=tuple(probe.weights for probe in probes),
            intercepts=tuple(probe.intercept for probe in probes),
            penalties=tuple(probe.penalty for probe in probes),
            predicted=np.stack([probe.predicted for probe in probes]),
            concepts=tuple(probe.concept for probe in probes),
            **{name: getattr(probes[0], name) for name in SHARED},
        )

    @cached_property
    def probes(self) -> tuple[Probe, ...]:
        """One probe per site, in the order of the sites."""
        columns = (
            self.site_names,
            self.scores,
            self.weights,
            self.intercepts,
            self.penalties,
            self.predicted,
            self.concepts,
        )
        shared = {"places": self.places, **{name: getattr(self, name) for name in SHARED}}
        names = ("place", "scores", "weights", "intercept", "penalty", "predicted", "concept")
        return tuple(Probe(**dict(zip(names, row, strict=True)), **shared) for row in zip(*columns, strict=True))

    def __getitem__(self, site: Site) -> Probe:
        for probe in self.probes:
            if probe.site == site:
                return probe
        raise ComponentError(f"{site} was not probed; the map has {', '.join(str(p.site) for p in self.probes)}.")

    def __len__(self) -> int:
        return len(self.site_names)

    def to_frame(self) -> pd.DataFrame:
        """A row per site: site, layer, kind, head, feature, n, then each score, `<score>_low` and `<score>_high`."""
        rows = []
        for probe in self.probes:
            layer, kind, head = probe.place
            row: dict[str, Any] = {"site": str(probe.site), "layer": layer, "kind": kind, "head": head}
            row |= {"feature": self.places.feature.name, "n": len(self.places)}
            for name, score in probe.scores.items():
                row |= {name: score.value, f"{name}_low": score.low, f"{name}_high": score.high}
            rows.append(row)
        return pd.DataFrame(rows).astype({"layer": "Int64", "head": "Int64"})

    def __repr__(self) -> str:
        main = "auc" if self.places.feature.kind == "binary" else "r2"
        best = max(self.probes, key=lambda probe: probe.scores[main].value)
        shown = f"best {best.site}, {main} {best.scores[main].value:.3f}"
        feature = self.places.feature
        return f"ProbeMap({feature.name} at {len(self)} sites, {feature.target}; {shown})"


@own_torch_modes
def probe_map(
    model: HookedModel,
    data: Data,
    feature: FeatureInput,
    sites: Iterable[Site] | Site | None = None,
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
    resume: str | Path | None = None,
    executor: Executor | None = None,
    threads: int = 1,
) -> ProbeMap:
    """`fit_probe` at each of `sites` (default: every head's `z`). Other arguments, scores and errors are the same.

    A site that names no head, like `hc.Site(2, "v")`, stands for those of all heads of its layer.

    `resume` is a folder that keeps the probes of each layer: the same call, also with other sites, reads them there.
    `executor` is an object with `submit(fn, *args)`, whose workers read and fit the layers (`hc.spread`).
    `threads` is the number of threads of a pass, also without an executor.

    Raises `ResultError` for a folder of another map.
    """
    runner = Runner.of(executor, threads, resume)
    resume = runner.folder
    if sites is None:
        sites = [Site(item.layer, "z", item.head) for item in model.components if isinstance(item, Head)]
    given = [sites] if isinstance(sites, Site | str) else sites
    sites = list(dict.fromkeys(site for item in given for site in _head_by_head(model, item)))
    if not sites:
        raise ComponentError("probe_map was given no sites; pass at least one, or None for every head's z.")
    work = ProbeWork.of(
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
        memory_gib=memory_gib,
        sources=sources,
    )
    if resume is None:
        workers = torch.get_num_threads()  # fits of different sites share no sums
        with at_threads(runner.threads):
            return ProbeMap.of(work.fit(sites, work.read(sites), workers))
    store = LayerStore(Path(resume), _digest(work, runner))
    store.check()
    return _by_layer(work, sites, store, runner)


def _digest(work: ProbeWork, runner: Runner) -> str:
    """The digest of everything that shapes the probe of a site."""
    design, model = work.design, work.model
    options = work.untrained, work.batch_size, work.shared, tuple(runner.shaping.items())
    return digest(
        model, model.backend_name, design.examples, design.places, design.targets, design.word, work.before, *options
    )


def _by_layer(work: ProbeWork, sites: Sequence[Site], store: "LayerStore", runner: Runner) -> ProbeMap:
    """The map of these sites from pieces, each the sites of one layer."""
    layers: dict[int | None, list[Site]] = {}
    for site in sites:
        layers.setdefault(site.layer, []).append(site)
    keys = {layer_name(layer, tuple(listed)): tuple(listed) for layer, listed in layers.items()}
    found = {name: piece for name in keys if (piece := store.get(name, ProbeMap)) is not None}
    missing = {name: key for name, key in keys.items() if name not in found}
    with stage("probing sites", sum(map(len, missing.values()))) as progress:
        layered = LayerWork(work, tuple(missing.values()), runner.cache)
        for name, piece in make_missing(layered, missing, store, runner, progress):
            assert isinstance(piece, ProbeMap)
            found[name] = piece
    runner.clear_cache()
    probes = {probe.site: probe for piece in found.values() for probe in piece.probes}
    return ProbeMap.of([probes[site] for site in sites])


def layer_name(layer: int | None, sites: tuple[Site, ...]) -> str:
    """The name of the file of a layer's sites. Other sites of the same layer have another one."""
    return f"layer-{'none' if layer is None else f'{layer:02d}'}-{digest(sites)[:8]}"


class LayerStore(Store):
    """A file for the probes of each layer's sites."""

    work: ClassVar[str] = "probe map"
    shaped_by: ClassVar[str] = "model, data, feature or settings"
    piece: ClassVar[str] = "layer"
    kind: ClassVar[type[Result]] = ProbeMap


@dataclass(frozen=True, eq=False)
class LayerWork:
    """The probes of a map in pieces. A key is the sites of one layer; `layers` are all keys.

    With a `cache` the first worker reads the sites of all layers, in one pass over the data, for all workers.
    """

    probes: ProbeWork
    layers: tuple[tuple[Site, ...], ...]
    cache: ValueCache | None = None

    def bench(self, keys: Sequence[tuple[Site, ...]]) -> "LayerBench":
        bench = LayerBench(self)
        if not bench.shares:
            bench.read([site for key in keys for site in key])
        return bench

    def size(self, key: tuple[Site, ...]) -> int:
        return len(key)


@dataclass(eq=False)
class LayerBench:
    """The activations at the sites that were read last."""

    work: LayerWork
    _values: tuple[Activations, Activations] = ({}, {})

    @property
    def shares(self) -> bool:
        """Whether activations come from the cache. All of them must fit: a layer that was dropped would cost a pass."""
        probes, cache = self.work.probes, self.work.cache
        sites = [site for key in self.work.layers for site in key]
        size = n_bytes(probes.model, sites, len(probes.design.places)) * (2 if probes.untrained else 1)
        return cache is not None and size <= cache.limit

    def read(self, sites: Sequence[Site]) -> None:
        self._values = ({}, {})  # lets go of the old ones first
        self._values = self.work.probes.read(sites)

    def make(self, key: tuple[Site, ...], progress: Stage) -> ProbeMap:
        if self.shares:
            self._values = self._shared(key)
        elif not set(key) <= self._values[0].keys():
            self.read(key)
        made = ProbeMap.of(self.work.probes.fit(key, self._values, torch.get_num_threads()))
        progress.advance(len(key))
        return made

    def _shared(self, key: tuple[Site, ...]) -> tuple[Activations, Activations]:
        """The activations of a layer from the cache."""
        work, probes, cache = self.work, self.work.probes, self.work.cache
        assert cache is not None
        layers = {cached_name(probes, layer): layer for layer in (*work.layers, key)}

        def compute() -> dict[str, dict[str, torch.Tensor]]:
            both = probes.read([site for layer in work.layers for site in layer])
            return {name: _tensors(both, layer) for name, layer in layers.items()}

        values = cache.kept(cached_name(probes, key), compute, together=digest(*layers))
        read, fresh = (
            {site: values[f"{kind} {site}"].numpy() for site in key if f"{kind} {site}" in values} for kind in KINDS
        )
        return read, fresh


KINDS = ("trained", "untrained")


def cached_name(probes: ProbeWork, layer: tuple[Site, ...]) -> str:
    """The name of a layer's activations in a cache."""
    model, places = probes.model, probes.design.places.feature
    where = probes.design.examples, places.row, places.position, probes.before, probes.batch_size
    fresh = probes.shared["seed"] if probes.untrained else None
    return values_name("places", model, model.backend_name, str(model.device), *where, fresh, layer)


def _tensors(both: tuple[Activations, Activations], layer: tuple[Site, ...]) -> dict[str, torch.Tensor]:
    return {
        f"{kind} {site}": torch.from_numpy(part[site])
        for kind, part in zip(KINDS, both, strict=True)
        for site in layer
        if site in part
    }


def _head_by_head(model: HookedModel, site: Site) -> list[Site]:
    """The site of each head, of a site of all heads."""
    if not isinstance(site, Site) or site.kind not in D_HEAD_KINDS or site.head is not None:
        return [site]
    return [Site(site.layer, site.kind, head) for head in range(model.n_heads)]
