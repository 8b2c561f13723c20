"""Path patching by its definition: the three steps as edits on forward passes.

The paths go from senders S to receivers R, on a batch with clean and corrupt values:

1. In one pass every head's `z` and every MLP's output is frozen at its clean value (`route="direct"`), except that the
   senders hold their corrupt values. Every LayerNorm is recomputed, because the pass is a real pass. It gives what the
   receivers read: their q, k and v, or an MLP's output. With `route="mlps"` MLPs are recomputed (the route of the IOI
   paper, Wang et al. 2023); with `route="all"` every head and MLP that is no sender is recomputed.
2. Each receiver's named inputs are set to the values of step 1, its other inputs stay clean, and its `z` (or output)
   is recomputed.
3. In a pass on clean the receivers hold the values of step 2, and everything after them is recomputed.

Step 2 adds the *change* of a head's `z` to its clean `z`: a path along which nothing changes gives exactly the clean
logits.

A sender at a role is corrupt at the positions of the role alone; elsewhere it is what it is without being a sender. A
receiver at a role holds its value of step 2 there alone; elsewhere it is computed again in step 3. Positions are those
of the clean side.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from jaxtyping import Bool
from torch import Tensor

from hc_interp.components import EMBED, MLP, OUTPUT, Component, End, Head, Part, by_component, whole
from hc_interp.data.batch import Batch
from hc_interp.data.roles import roles_mask
from hc_interp.interventions.nodes import chosen
from hc_interp.interventions.sources import Source, site_of, source_values
from hc_interp.models.attention_rule import attend
from hc_interp.models.forward import SiteEdit, by_site
from hc_interp.models.hooked import HookedModel, Intervention, Run
from hc_interp.models.site import Site

ROUTES = ("direct", "mlps", "all")
INPUTS = ("q", "k", "v")  # of a receiving head

PathEnd = Part
SiteValues = dict[Site, Tensor]  # by whole site: all heads together (`site.head` is None)
Positions = dict[Component | End, Bool[Tensor, "batch pos"]]  # of components that stand at roles only


def value_sites(model: HookedModel) -> list[Site]:
    """The sites of all values that a sender may have: `embed`, and `z` and `mlp_out` of each layer."""
    layers = range(model.n_layers)
    return [Site.embed(), *(Site(i, "z") for i in layers), *(Site(i, "mlp_out") for i in layers)]


@dataclass
class PathBatch:
    """Path patching on one batch under the interventions `before`; all paths share one clean run.

    `clean` and `corrupt` hold the values of the two runs at the sites of `value_sites`; `clean` also holds the
    receivers' q, k and v and each layer's `resid_pre`. `corrupt_logits` is None where the corrupt values do not come
    from a run of the pairs' corrupt side.
    """

    model: HookedModel
    batch: Batch
    corrupt: SiteValues
    before: Sequence[Intervention] = ()
    clean: SiteValues = field(default_factory=dict)
    clean_logits: Tensor = field(default_factory=lambda: torch.empty(0))
    corrupt_logits: Tensor | None = None
    _clean_attention: dict[tuple[int, ...], Tensor] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        model: HookedModel,
        batch: Batch,
        source: Source | Batch,
        receivers: Iterable[PathEnd],
        before: Sequence[Intervention] = (),
        also: Sequence[Site] = (),
        run: Callable[[Batch, Sequence[Intervention], Sequence[Site]], Run] | None = None,
    ) -> "PathBatch":
        """Run clean and corrupt once. `source` may be the corrupt side itself, a batch of the same rows.

        `receivers` are the receivers of all paths that will be patched; `also` are further sites whose clean values
        are captured. `run(batch, before, capture)` makes the two runs (None: `model.run`).
        """
        run = run or (lambda batch, before, capture: model.run(batch, before, capture=capture))
        receivers = tuple(map(whole, receivers))
        batch = batch.to(model.device)
        sites = value_sites(model)
        layers = sorted({item.layer for item in receivers if isinstance(item, Head)})
        inputs = [Site(layer, name) for layer in layers for name in INPUTS]
        streams = [Site(layer, "resid_pre") for layer in range(model.n_layers)]
        clean_run = run(batch, before, [*sites, *inputs, *streams, *also])
        corrupt_run = None
        if isinstance(source, Batch):
            corrupt_run = run(source, before, sites)
            values = corrupt_run.captured
        else:
            values = source_values(source, model, batch, sites, before) or clean_run.captured
        corrupt = {site: values[site].expand_as(clean_run.captured[site]) for site in sites}
        corrupt_logits = corrupt_run.logits if corrupt_run else None
        return cls(model, batch, corrupt, before, dict(clean_run.captured), clean_run.logits, corrupt_logits)

    def freeze(self, senders: Sequence[PathEnd], route: str) -> list[SiteEdit]:
        """The edits of step 1: the route's components are frozen at clean, the senders at corrupt."""
        edits = []
        frozen = {"direct": ("z", "mlp_out"), "mlps": ("z",), "all": ()}[route]
        for site in value_sites(self.model):
            members = [item for item in senders if site_of(item).whole == site]
            if site.kind in frozen:
                edits.append(SiteEdit(site, constant(self._mixed(site, members))))
            elif members:
                edits.append(SiteEdit(site, self._corrupted(site, members)))
        return edits

    def _mixed(self, site: Site, members: Sequence[PathEnd]) -> Tensor:
        """The clean value of a site, with the corrupt values of the senders `members` in it."""
        if not members:
            return self.clean[site]
        return self._corrupted(site, members)(self.clean[site])

    def _corrupted(self, site: Site, members: Sequence[PathEnd]) -> Callable[[Tensor], Tensor]:
        """The edit that puts the corrupt values of the senders `members` into the value of their site."""
        corrupt = self.corrupt[site]
        if site.kind != "z" and not self.where(members):
            return constant(corrupt)
        sending = chosen(members, self.model, self.batch)
        return lambda value: torch.where(sending, corrupt, value)

    def where(self, parts: Iterable[PathEnd]) -> "Positions":
        """The positions of the components that stand at roles only, all of a component's roles together."""
        return {item: self.positions(roles) for item, roles in by_component(parts).items() if roles}

    def positions(self, roles: Sequence[str]) -> Bool[Tensor, "batch pos"]:
        """Where the rows have one of these roles."""
        return roles_mask(self.model.tokenizer, self.batch, roles)

    def step_one(
        self, senders: Sequence[PathEnd], receivers: Sequence[PathEnd], route: str, also: Sequence[Site] = ()
    ) -> "StepOneValues":
        """What the receivers read when the senders are corrupt, and the values at the sites `also`.

        The pass ends at the last receiver, or at the logits if `output` is a receiver. What a receiver at a role reads
        is given at all positions.
        """
        receivers = tuple(dict.fromkeys(map(whole, receivers)))
        layers = sorted({item.layer for item in receivers if isinstance(item, Head)})
        result = StepOneValues({}, torch.empty(0))
        edits = list(self.prefix)
        for item in receivers:
            if isinstance(item, MLP):
                # Recorded before the MLP is frozen: the output that it computes in this pass.
                edits.append(SiteEdit(site_of(item), result.recorder(site_of(item))))
        edits += self.freeze(senders, route)
        capture = [*(Site(layer, name) for layer in layers for name in INPUTS), *also]
        last = max((_order(item) for item in receivers), default=(0, 0))
        stop = None if OUTPUT in receivers else Site(last[0], "mlp_out" if last[1] else "z")
        ends = tuple(map(whole, senders))
        first = 0 if EMBED in ends else min(i.layer for i in (*ends, *receivers) if not isinstance(i, End))
        run = self.model.run_edits(self.batch, edits, capture, start=self._from(first), stop_after=stop)
        result.values.update(run.captured)
        result.logits = run.logits
        return result

    def step_two(
        self, step_one: "StepOneValues", receivers: Sequence[PathEnd], through: Sequence[str]
    ) -> dict[Component, Tensor]:
        """Each receiving component's new value at all positions: `z` of a head, the output of an MLP."""
        values: dict[Component, Tensor] = {}
        by_layer: dict[int, list[Head]] = {}
        for item in dict.fromkeys(map(whole, receivers)):
            if isinstance(item, MLP):
                values[item] = step_one.values[site_of(item)]
            elif isinstance(item, Head):
                by_layer.setdefault(item.layer, []).append(item)
        for layer, items in by_layer.items():
            inputs = [(step_one.values if name in through else self.clean)[Site(layer, name)] for name in INPUTS]
            heads = [item.head for item in items]
            change = self._attention(layer, heads, inputs) - self._attend_clean(layer, heads)
            clean = self.clean[Site(layer, "z")]
            for index, item in enumerate(items):
                values[item] = clean[:, :, item.head] + change[:, :, index]
        return values

    def _attend_clean(self, layer: int, heads: list[int]) -> Tensor:
        """The clean `z` of these heads, computed on tensors of the same shape as the changed `z`.

        Kernels round differently for different shapes; with equal shapes the difference of equal inputs is exactly 0.
        """
        key = (layer, *heads)
        if key not in self._clean_attention:
            inputs = [self.clean[Site(layer, name)] for name in INPUTS]
            self._clean_attention[key] = self._attention(layer, heads, inputs)
        return self._clean_attention[key]

    def _attention(self, layer: int, heads: list[int], inputs: Sequence[Tensor]) -> Tensor:
        """The heads' `z` `[batch, pos, receiver, d_head]` from q, k and v, with the edits of `before` at pattern and z.

        Such edits expect the values of all heads, and so do norms of all heads' q and k together; else only the
        receiving heads are computed.
        """
        edits = by_site(self.prefix)
        on_pattern, on_z = edits.get(Site(layer, "pattern"), ()), edits.get(Site(layer, "z"), ())
        rule = self.model.geometry.rules[layer]
        all_heads = bool(on_pattern or on_z or rule.joint_norms)
        q, k, v = inputs if all_heads else (value[:, :, heads] for value in inputs)
        pattern = rule.pattern(q, k, self.batch.attention_mask, None if all_heads else heads)
        for fn in on_pattern:
            pattern = fn(pattern)
        z = attend(pattern, v)
        for fn in on_z:
            z = fn(z)
        return z[:, :, heads] if all_heads else z

    def step_three(
        self, values: Mapping[Component, Tensor], where: "Positions | None" = None, capture: Sequence[Site] = ()
    ) -> Run:
        """A pass on clean in which the receivers hold `values`, those among `where` at these positions only.

        It starts at the first receiver's layer.
        """
        edits = list(self.prefix)
        edits += [SiteEdit(site_of(item), hold(value, (where or {}).get(item))) for item, value in values.items()]
        first = min((item.layer for item in values), default=0)
        start = None if any(site.layer is None or site.layer < first for site in capture) else self._from(first)
        return self.model.run_edits(self.batch, edits, capture, start=start)

    def _from(self, layer: int) -> tuple[int, Tensor]:
        """The `start` of a pass that differs from clean first in this layer: layers before it are not run."""
        return layer, self.clean[Site(layer, "resid_pre")]

    def corrupt_values(self, receivers: Sequence[PathEnd]) -> dict[Component, Tensor]:
        """The receivers' corrupt values at all positions, which a node effect patches in; `output` has none."""
        values: dict[Component, Tensor] = {}
        for item in map(whole, receivers):
            if not isinstance(item, End):
                value = self.corrupt[site_of(item).whole]
                values[item] = value[:, :, item.head] if isinstance(item, Head) else value
        return values

    def clean_value(self, item: Component) -> Tensor:
        """A component's clean value: `z` of a head, the output of an MLP."""
        value = self.clean[site_of(item).whole]
        return value[:, :, item.head] if isinstance(item, Head) else value

    @cached_property
    def prefix(self) -> tuple[SiteEdit, ...]:
        """The edits of `before`, which come first in every pass."""
        return tuple(self.model.compile(self.batch, self.before))


@dataclass
class StepOneValues:
    """The values of step 1: q, k and v of the receivers' layers, and the outputs that receiving MLPs compute.

    `logits` is empty unless `output` is a receiver.
    """

    values: SiteValues
    logits: Tensor

    def recorder(self, site: Site) -> Callable[[Tensor], Tensor]:
        """An edit that changes nothing and keeps the value of `site` in `values`."""

        def record(value: Tensor) -> Tensor:
            self.values[site] = value
            return value

        return record


def _order(item: PathEnd) -> tuple[int, int]:
    return (0, 0) if isinstance(item, End) else (item.layer, int(isinstance(item, MLP)))


def constant(value: Tensor) -> Callable[[Tensor], Tensor]:
    """An edit that replaces any value by `value`."""
    return lambda _: value


def hold(value: Tensor, where: Tensor | None) -> Callable[[Tensor], Tensor]:
    """An edit that replaces a component's value by `value`, at the positions `where` or (None) at all."""
    if where is None:
        return constant(value)
    return lambda computed: torch.where(where[:, :, None], value, computed)
