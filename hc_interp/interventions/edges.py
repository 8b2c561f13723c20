"""`PatchEdges`: many direct paths changed at once, in one pass."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import linear

from hc_interp.components import EMBED, MLP, OUTPUT, Component, End, Head, by_component, whole
from hc_interp.data.batch import Batch
from hc_interp.data.roles import roles_mask
from hc_interp.errors import InterventionError
from hc_interp.interventions.nodes import chosen
from hc_interp.interventions.path_steps import PathEnd
from hc_interp.interventions.paths import PathIntervention
from hc_interp.interventions.sources import site_of, source_values
from hc_interp.models.attention_rule import attend
from hc_interp.models.forward import SiteEdit
from hc_interp.models.hooked import HookedModel, Intervention
from hc_interp.models.site import Site


@dataclass(frozen=True, eq=False)
class PatchEdges(PathIntervention):
    """Patch every direct path from `senders` to `receivers` at once: all of them in one pass.

    Each receiver reads the residual stream in which the senders have the values of `source` and everything else is as
    it is in this pass, other receivers' changes included; LayerNorms are recomputed. Everything that is no receiver
    reads the actual stream. So no receiver sees the senders directly, nor through another receiver.

    With one receiver this is `PatchPath` on the direct route. With several it is a `PatchPath` into those of the first
    layer, then one into those of the next under it, and so on, in a single pass. It is the ablation of edges of
    Conmy et al. 2023 (arXiv 2304.14997), with the LayerNorms of the receivers' inputs recomputed.

    `senders` and `receivers` are components, their names, or results that have `.heads`; `embed` may send. Both may
    stand at a role (`L2H9@subject`): a sender has the values of `source` there alone, and what a receiver computes from
    the patched stream is its value there alone. `through` is some of q, k, v; a receiving MLP has one input. `source`
    is taken under the interventions before this one, as the senders' own values are. A later one in the list that edits
    a sender's value reaches the receivers unpatched.

    Captures at a receiver's q_in, k_in and v_in show the actual stream, those at its q, k and v what it computes, or in
    the layer of a head that receives at a role what the actual stream gives.

    Raises `InterventionError` without a source, for ends or inputs that are impossible, for a receiver whose value a
    `PatchPath` before it fixes, beside an edit of q_in, k_in or v_in in a receiver's layer, beside one of q, k, v or
    pattern there if a norm takes q and k of all heads together or a head receives at a role, and for a model in
    training with dropout; `ComponentError` for components that the model lacks.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if OUTPUT in self._ends[1]:
            raise InterventionError(
                "PatchEdges was given the receiver 'output', which computes nothing that could read another stream. "
                "Use PatchPath(senders, 'output', source=...)."
            )

    def check(self, model: HookedModel, before: Sequence[Intervention]) -> None:
        super().check(model, before)
        if getattr(model, "dropout", False):
            raise InterventionError(
                "PatchEdges was given with dropout, which would drop other values from the patched stream than from "
                "the actual one. Train with dropout=False."
            )

    def edits(self, model: HookedModel, batch: Batch, before: Sequence[Intervention]) -> list[SiteEdit]:
        senders, ends = self._ends
        assert self.source is not None
        sites = [site_of(item).whole for item in senders]
        values = source_values(self.source, model, batch, sites, before)
        if values is None:  # the batch is itself the corrupt side: there is nothing to replace
            return []
        streams = TwoStreams(model, batch, senders, ends, tuple(self.through), values)
        return [replace(edit, follows=True) for edit in streams.edits()]


class TwoStreams:
    """One pass with a second residual stream, kept as its difference from the actual one.

    The edits of the pass record the actual values of each layer as they come. The difference is that of two values
    which the same function computes, so that it is exactly 0 where the senders do not change.
    """

    def __init__(
        self,
        model: HookedModel,
        batch: Batch,
        senders: Sequence[PathEnd],
        receivers: Sequence[PathEnd],
        through: tuple[str, ...],
        values: dict[Site, Tensor],
    ) -> None:
        self.model, self.geometry, self.family = model, model.geometry, model.family
        self.batch, self.senders, self.through, self.values = batch, senders, through, values
        self.sending = by_component(senders)  # the senders' roles, and below those of the receivers
        self.receivers: dict[Component, tuple[str, ...]] = {
            item: roles for item, roles in by_component(receivers).items() if not isinstance(item, End)
        }
        self.ends = receivers
        self.inputs: dict[str, tuple[Tensor, Tensor]] = {}  # the layer's q, k and v, actual and from the patched stream
        self.difference: Tensor | None = None  # of the patched stream from the actual one, at the current place
        self.stream = torch.empty(0)  # the actual stream there
        self.sent: Tensor | None = None  # what the layer's sending heads would add to the patched stream
        self.attention = torch.empty(0)  # the actual output of the layer's attention

    def edits(self) -> list[SiteEdit]:
        first = min((item.layer for item in self.sending if not isinstance(item, End)), default=0)
        first = 0 if EMBED in self.sending else first
        last = max(item.layer for item in self.receivers)
        edits = []
        if EMBED in self.sending:
            edits.append(SiteEdit(Site.embed(), self._embed))
        for layer in range(first, last + 1):
            edits += self._layer_edits(layer, last)
        return edits

    def _layer_edits(self, layer: int, last: int) -> list[SiteEdit]:
        heads = [item for item in self.receivers if isinstance(item, Head) and item.layer == layer]
        joint = self.geometry.rules[layer].joint_norms and set(self.through) - {"v"}
        edits = [SiteEdit(Site(layer, "resid_pre"), self._keep)]
        if heads and (joint or any(self.receivers[item] for item in heads)):
            edits += self._edits_of_z(layer)
        elif heads:
            edits += [
                SiteEdit(
                    Site(layer, name),
                    self._at_input(layer, name, heads),
                    early=True,
                    alone=(Site(layer, f"{name}_in"),),
                )
                for name in self.through
            ]
        edits.append(SiteEdit(Site(layer, "z"), self._at_z(layer)))
        edits.append(SiteEdit(Site(layer, "attn_out"), self._at_attention(layer)))
        if not self.geometry.parallel:
            edits.append(SiteEdit(Site(layer, "resid_mid"), self._at_mid(layer)))
        edits.append(SiteEdit(Site(layer, "mlp_out"), self._at_mlp(layer)))
        return edits

    def _only(self, change: Tensor, roles: tuple[str, ...]) -> Tensor:
        """The change `[batch, pos, d_model]` at the positions of these roles, and 0 elsewhere; without roles all."""
        return change * roles_mask(self.model.tokenizer, self.batch, roles)[:, :, None] if roles else change

    def _keep(self, value: Tensor) -> Tensor:
        self.stream = value
        return value

    def _embed(self, value: Tensor) -> Tensor:
        self.difference = self._only(self.values[Site.embed()].expand_as(value) - value, self.sending[EMBED])
        return value

    def _at_input(self, layer: int, name: str, heads: Sequence[Head]) -> Callable[[Tensor], Tensor]:
        """The edit of all heads' q, k or v that lets these heads read the patched stream.

        A projection is linear, so that it is the projection of the difference which is added.
        """
        reads = chosen(heads, self.model, self.batch)

        def read(value: Tensor) -> Tensor:
            return torch.where(reads, self._patched(layer, name, value), value)

        return read

    def _patched(self, layer: int, name: str, value: Tensor) -> Tensor:
        """All heads' q, k or v from the patched stream, by their actual values."""
        if self.difference is None:
            return value
        change = self.difference
        if self.family.pre_norm and self.family.norm_1 is not None:
            change = self._change(partial(self.geometry.attention_input, layer), self.stream, change)
        projected = linear(change, self.geometry.weight(layer, name))
        return value + self.geometry.copies(projected.unflatten(-1, (-1, self.geometry.d_head)), 2)

    def _edits_of_z(self, layer: int) -> list[SiteEdit]:
        """The edits of a layer in which no q, k and v give the receivers their values, so that `z` is changed itself.

        That is so where one norm takes the q, or the k, of all heads: a receiver's pattern takes the norm's scale from
        the patched stream, and other heads' from the actual one. And it is so where a head receives at a role: its `z`
        there reads the patched stream at all positions, and elsewhere the actual one.
        """
        sites = [Site(layer, name) for name in ("q", "k", "v")]
        alone = (*sites, Site(layer, "pattern"), *(Site(layer, f"{site.kind}_in") for site in sites))
        parts = [item for item in self.ends if isinstance(whole(item), Head) and site_of(item).layer == layer]
        receives = chosen(parts, self.model, self.batch)

        def keep(name: str) -> Callable[[Tensor], Tensor]:
            def kept(value: Tensor) -> Tensor:
                patched = self._patched(layer, name, value) if name in self.through else value
                self.inputs[name] = value, patched
                return value

            return kept

        def change(value: Tensor) -> Tensor:
            actual, patched = (self._attended(layer, place) for place in (0, 1))
            return torch.where(receives, value + (patched - actual), value)

        edits = [SiteEdit(site, keep(site.kind), early=True, alone=alone) for site in sites]
        return [*edits, SiteEdit(Site(layer, "z"), change, early=True, alone=alone)]

    def _attended(self, layer: int, place: int) -> Tensor:
        """All heads' `z` from their actual inputs (`place` 0) or those from the patched stream (1)."""
        q, k, v = (self.inputs[name][place] for name in ("q", "k", "v"))
        return attend(self.geometry.pattern(layer, q, k, self.batch.attention_mask), v)

    def _at_z(self, layer: int) -> Callable[[Tensor], Tensor]:
        sending = [item for item in self.senders if isinstance(whole(item), Head) and site_of(item).layer == layer]

        def keep(value: Tensor) -> Tensor:
            self.sent = None
            if sending:
                replaced = chosen(sending, self.model, self.batch)
                changed = torch.where(replaced, self.values[Site(layer, "z")], value)
                w_out = self.geometry.w_out(layer)
                self.sent = torch.einsum("bphd,hdm->bpm", changed - value, w_out)
                if self.family.attn_norm is not None:
                    out = torch.einsum("bphd,hdm->bpm", value, w_out) + self.geometry.b_out(layer)
                    self.sent = self._change(partial(self.geometry.attention_added, layer), out, self.sent)
            return value

        return keep

    def _at_attention(self, layer: int) -> Callable[[Tensor], Tensor]:
        def keep(value: Tensor) -> Tensor:
            self.attention = value
            return value

        return keep

    def _at_mid(self, layer: int) -> Callable[[Tensor], Tensor]:
        def keep(value: Tensor) -> Tensor:
            difference = _sum(self.difference, self.sent)
            if difference is not None and not self.family.pre_norm:
                after = partial(self.geometry.after_attention, layer)
                difference = self._change(after, self.stream + self.attention, difference)
            self.difference, self.stream = difference, value
            return value

        return keep

    def _at_mlp(self, layer: int) -> Callable[[Tensor], Tensor]:
        item = MLP(layer)

        def patch(value: Tensor) -> Tensor:
            if item in self.receivers and self.difference is not None:
                change = self._change(partial(self.geometry.mlp, layer), self.stream, self.difference)
                value = value + self._only(change, self.receivers[item])
            # The MLP of a parallel block does not read what its heads send.
            difference = _sum(self.difference, self.sent) if self.geometry.parallel else self.difference
            if item in self.sending:
                change = self.values[Site(layer, "mlp_out")].expand_as(value) - value
                difference = _sum(difference, self._only(change, self.sending[item]))
            if difference is not None and not self.family.pre_norm:
                difference = self._change(partial(self.geometry.after_mlp, layer), self.stream + value, difference)
            self.difference = difference
            return value

        return patch

    @staticmethod
    def _change(function: Callable[[Tensor], Tensor], value: Tensor, difference: Tensor) -> Tensor:
        """How much the function's value changes with its argument; exactly 0 for a difference of 0."""
        return function(value + difference) - function(value)


def _sum(one: Tensor | None, other: Tensor | None) -> Tensor | None:
    """The sum of two differences, of which None stands for 0."""
    if one is None or other is None:
        return other if one is None else one
    return one + other
