"""Path patching, exactly: the three steps of the definition as edits on forward passes.

From senders S to receivers R, on a batch with clean and corrupt values:

1. one pass in which every head's `z` and every MLP's output is held at its clean value (`route="direct"`), except that
   the senders hold their corrupt one. Every LayerNorm is recomputed, because the pass is a real pass. What arrives at
   the receivers' q, k, v (or MLP) is what they would read. `route="mlps"` lets the MLPs follow (the route of the IOI
   paper, Wang et al. 2023), `route="all"` every head and MLP that is no sender.
2. each receiver's named inputs are exchanged, the others stay clean, and its `z` (or output) is computed anew.
3. a pass on clean in which the receivers hold those values and everything after them follows.

Steps 1 and 2 add *differences* to clean values, so that a path that carries nothing changes nothing, bit for bit.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from hc_interp.components import EMBED, MLP, OUTPUT, Component, End, Head
from hc_interp.data.batch import Batch
from hc_interp.interventions.sources import Source, site_of, source_values
from hc_interp.models.forward import SiteEdit, by_site, on_head
from hc_interp.models.geometry import attend
from hc_interp.models.hooked import HookedModel, Intervention, Run
from hc_interp.models.site import Site

ROUTES = ("direct", "mlps", "all")


INPUTS = ("q", "k", "v")


Values = dict[Site, Tensor]  # by whole site (head is None)


def value_sites(model: HookedModel) -> list[Site]:
    """Where all senders' values stand."""
    layers = range(model.n_layers)
    return [Site.embed(), *(Site(i, "z") for i in layers), *(Site(i, "mlp_out") for i in layers)]


@dataclass
class PathBatch:
    """Path patching on one batch under `before`; clean values are taken once and shared by all paths."""

    model: HookedModel
    batch: Batch
    corrupt: Values
    before: Sequence[Intervention] = ()
    clean: Values = field(default_factory=dict)
    clean_logits: Tensor = field(default_factory=lambda: torch.empty(0))
    corrupt_logits: Tensor | None = None
    _clean_attention: dict[tuple[int, ...], Tensor] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        model: HookedModel,
        batch: Batch,
        source: Source | Batch,
        receivers: Iterable[Any],
        before: Sequence[Intervention] = (),
        also: Sequence[Site] = (),
    ) -> "PathBatch":
        """Run clean and corrupt once. `source` may be the corrupt side itself, a batch of the same rows.

        `receivers` are all heads whose inputs will be asked for; `also` are further sites of clean to keep.
        """
        receivers = tuple(receivers)
        batch = batch.to(model.device)
        sites = value_sites(model)
        layers = sorted({item.layer for item in receivers if isinstance(item, Head)})
        inputs = [Site(layer, name) for layer in layers for name in INPUTS]
        streams = [Site(layer, "resid_pre") for layer in range(model.n_layers)]
        run = model.run(batch, before, capture=[*sites, *inputs, *streams, *also])
        other = None
        if isinstance(source, Batch):
            other = model.run(source, before, capture=sites)
            found = other.captured
        else:
            found = source_values(source, model, batch, sites, before) or run.captured
        corrupt = {site: found[site].expand_as(run.captured[site]) for site in sites}
        return cls(model, batch, corrupt, before, dict(run.captured), run.logits, other.logits if other else None)

    def freeze(self, senders: Sequence[Any], route: str) -> list[SiteEdit]:
        """Edits of step 1: who is held at clean, and the senders at corrupt."""
        edits = []
        held = {"direct": ("z", "mlp_out"), "mlps": ("z",), "all": ()}[route]
        for site in value_sites(self.model):
            members = [item for item in senders if site_of(item).whole == site]
            if site.kind in held:
                edits.append(SiteEdit(site, constant(self._mixed(site, members))))
            elif members:
                edits.append(SiteEdit(site, self._corrupted(site, members)))
        return edits

    def _mixed(self, site: Site, members: Sequence[Any]) -> Tensor:
        value = self.clean[site]
        if not members:
            return value
        if site.kind != "z":
            return self.corrupt[site]
        heads = [item.head for item in members]
        value = value.clone()
        value[:, :, heads] = self.corrupt[site][:, :, heads]
        return value

    def _corrupted(self, site: Site, members: Sequence[Any]) -> Any:
        corrupt = self.corrupt[site]
        if site.kind != "z":
            return constant(corrupt)
        chosen = torch.zeros(self.model.n_heads, 1, dtype=torch.bool, device=self.model.device)
        chosen[[item.head for item in members]] = True
        return lambda own: torch.where(chosen, corrupt, own)

    def step_one(
        self, senders: Sequence[Any], receivers: Sequence[Any], route: str, also: Sequence[Site] = ()
    ) -> "Arrival":
        """What arrives at the receivers (and at sites `also`) when the senders are corrupt.

        The pass ends at the last receiver; it goes on to the logits if `output` receives.
        """
        heads = sorted({item.layer for item in receivers if isinstance(item, Head)})
        arrival = Arrival({}, torch.empty(0))
        edits = list(self.prefix)
        for item in receivers:
            if isinstance(item, MLP):
                # Seen before the freeze holds it: what the MLP would have given.
                edits.append(SiteEdit(site_of(item), arrival.recorder(site_of(item))))
        edits += self.freeze(senders, route)
        capture = [*(Site(layer, name) for layer in heads for name in INPUTS), *also]
        last = max((_order(item) for item in receivers), default=(0, 0))
        stop = None if OUTPUT in receivers else Site(last[0], "mlp_out" if last[1] else "z")
        first = 0 if EMBED in senders else min(i.layer for i in (*senders, *receivers) if not isinstance(i, End))
        run = self.model.run_edits(self.batch, edits, capture, start=self._from(first), stop_after=stop)
        arrival.values.update(run.captured)
        arrival.logits = run.logits
        return arrival

    def step_two(self, arrival: "Arrival", receivers: Sequence[Any], through: Sequence[str]) -> dict[Component, Tensor]:
        """Each receiver's new value: `z` of a head, output of an MLP."""
        found: dict[Component, Tensor] = {}
        by_layer: dict[int, list[Head]] = {}
        for item in receivers:
            if isinstance(item, MLP):
                found[item] = arrival.values[site_of(item)]
            elif isinstance(item, Head):
                by_layer.setdefault(item.layer, []).append(item)
        for layer, items in by_layer.items():
            inputs = [(arrival.values if name in through else self.clean)[Site(layer, name)] for name in INPUTS]
            heads = [item.head for item in items]
            change = self._attention(layer, heads, inputs) - self._attend_clean(layer, heads)
            value = self.clean[Site(layer, "z")]
            for place, item in enumerate(items):
                found[item] = value[:, :, item.head] + change[:, :, place]
        return found

    def _attend_clean(self, layer: int, heads: list[int]) -> Tensor:
        """Clean `z` of these heads, of the same shapes as what it is taken from: kernels round by shape."""
        key = (layer, *heads)
        if key not in self._clean_attention:
            inputs = [self.clean[Site(layer, name)] for name in INPUTS]
            self._clean_attention[key] = self._attention(layer, heads, inputs)
        return self._clean_attention[key]

    def _attention(self, layer: int, heads: list[int], inputs: Sequence[Tensor]) -> Tensor:
        """The heads' `z` from q, k, v, under what `before` does to pattern and z: `[batch, pos, receiver, d_head]`."""
        edits = by_site(self.prefix)
        on_pattern, on_z = edits.get(Site(layer, "pattern"), ()), edits.get(Site(layer, "z"), ())
        whole = bool(on_pattern or on_z)
        q, k, v = inputs if whole else (value[:, :, heads] for value in inputs)
        pattern = self.model.geometry.pattern(layer, q, k, self.batch.attention_mask)
        for fn in on_pattern:
            pattern = fn(pattern)
        z = attend(pattern, v)
        for fn in on_z:
            z = fn(z)
        return z[:, :, heads] if whole else z

    def step_three(self, values: Mapping[Component, Tensor], capture: Sequence[Site] = ()) -> Run:
        """The clean pass in which the receivers hold `values`."""
        edits = list(self.prefix)
        edits += [
            SiteEdit(site_of(item).whole, on_head(site_of(item), constant(value))) for item, value in values.items()
        ]
        first = min((item.layer for item in values), default=0)
        start = None if any(site.layer is None or site.layer < first for site in capture) else self._from(first)
        return self.model.run_edits(self.batch, edits, capture, start=start)

    def _from(self, layer: int) -> tuple[int, Tensor]:
        """Where a pass may start whose first difference from clean is in this layer."""
        return layer, self.clean[Site(layer, "resid_pre")]

    def corrupt_values(self, receivers: Sequence[Any]) -> dict[Component, Tensor]:
        """The receivers' own corrupt values: what a node effect patches."""
        found = {}
        for item in receivers:
            if not isinstance(item, End):
                value = self.corrupt[site_of(item).whole]
                found[item] = value[:, :, item.head] if isinstance(item, Head) else value
        return found

    def clean_value(self, item: Component) -> Tensor:
        value = self.clean[site_of(item).whole]
        return value[:, :, item.head] if isinstance(item, Head) else value

    @cached_property
    def prefix(self) -> tuple[SiteEdit, ...]:
        return tuple(self.model.compile(self.batch, self.before))


@dataclass
class Arrival:
    """What step 1 brings to the receivers: q, k, v by whole site, outputs of receiving MLPs, logits if asked."""

    values: Values
    logits: Tensor

    def recorder(self, site: Site) -> Any:
        def record(value: Tensor) -> Tensor:
            self.values[site] = value
            return value

        return record


def _order(item: Any) -> tuple[int, int]:
    return (0, 0) if isinstance(item, End) else (item.layer, int(isinstance(item, MLP)))


def constant(value: Tensor) -> Any:
    return lambda own: value
