"""First-order effects of replacing nodes: slopes of a loss in gates, and in the q, k and v of heads."""

from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from hc_interp.components import Component
from hc_interp.data.batch import Batch
from hc_interp.interventions.nodes import SoftMask
from hc_interp.interventions.sites import Edit
from hc_interp.interventions.sources import Source, source_values
from hc_interp.models.forward import by_site
from hc_interp.models.geometry import attend
from hc_interp.models.hooked import HookedModel, Intervention
from hc_interp.models.site import Site

# What can be replaced, and the kinds of site whose values that takes.
NODES = {"components": ("z", "mlp_out"), "q": ("q",), "k": ("k",), "v": ("v",)}
Loss = Callable[[Tensor], Float[Tensor, " batch"]]


def dropped(n_layers: int) -> list[tuple[Edit, ...]]:
    """For each layer the edits that keep gradients from going through its components (GradDrop).

    The residual stream still carries them past that layer. No value changes.
    """
    return [
        tuple(Edit(Site(layer, kind), lambda value: value.detach()) for kind in ("attn_out", "mlp_out"))
        for layer in range(n_layers)
    ]


@torch.enable_grad()
def gate_gradients(
    model: HookedModel,
    batch: Batch,
    items: Sequence[Component],
    source: Source,
    loss: Loss,
    before: Sequence[Intervention],
    after: Sequence[Intervention] = (),
) -> Float[Tensor, "batch component"]:
    """Slope of each example's loss in its own gates, all open: minus the first-order effect of closing each."""
    gates = torch.ones(len(batch), len(items), device=model.device, dtype=model.dtype, requires_grad=True)
    logits = model.logits(batch, [*before, SoftMask(gates, source, tuple(items)), *after])
    return torch.autograd.grad(loss(logits).sum(), gates, materialize_grads=True)[0]


@torch.enable_grad()
def node_effects(
    model: HookedModel,
    batch: Batch,
    kind: str,
    source: Source,
    loss: Loss,
    before: Sequence[Intervention],
    passes: Sequence[Sequence[Intervention]],
    *,
    qk_fix: bool,
) -> list[Float[Tensor, "batch head"]]:
    """For each list of `passes` (edits that shape the backward pass), estimated effects of replacing each head's input.

    Heads are in execution order. With `qk_fix` the change of `z` that new queries or keys bring is exact, and the loss
    is linear in it; otherwise the loss is linear in the input itself.
    """
    layers = range(model.n_layers)
    whole = [Site(layer, name) for layer in layers for name in ("q", "k", "v")]
    with torch.no_grad():
        clean = model.run(batch, before, capture=whole).captured
        new = source_values(source, model, batch, [Site(layer, kind) for layer in layers], before)
        new = clean if new is None else new  # pairs with equal sides: nothing changes
        fixed = qk_fix and kind in "qk"
        edits = by_site(model.compile(batch, before))
        changes = [
            _change_of_z(model, layer, kind, new[Site(layer, kind)], clean, batch, edits)
            if fixed
            else new[Site(layer, kind)] - clean[Site(layer, kind)]
            for layer in layers
        ]
    place = "z" if fixed else kind
    effects = []
    for after in passes:
        leaves = [torch.zeros_like(change, requires_grad=True) for change in changes]
        probes = [Edit(Site(layer, place), lambda own, leaf=leaf: own + leaf) for layer, leaf in enumerate(leaves)]
        slopes = torch.autograd.grad(
            loss(model.logits(batch, [*before, *probes, *after])).sum(), leaves, materialize_grads=True
        )
        seen = batch.attention_mask[:, :, None, None].to(model.device)
        found = [(slope * change * seen).sum((1, 3)) for slope, change in zip(slopes, changes, strict=True)]
        effects.append(torch.cat(found, dim=1))
    return effects


def _change_of_z(
    model: HookedModel,
    layer: int,
    kind: str,
    new: Tensor,
    clean: dict[Site, Tensor],
    batch: Batch,
    edits: Mapping[Site, Sequence[Callable[[Tensor], Tensor]]],
) -> Float[Tensor, "batch pos head d_head"]:
    """What all heads' `z` move by when their queries or keys become `new`; each head is taken alone.

    `edits` are those that stand before: what they do to pattern and `z` comes after the replacement.
    """
    q, k, v = (clean[Site(layer, name)] for name in "qkv")

    def z(q: Tensor, k: Tensor) -> Tensor:
        pattern = model.geometry.pattern(layer, q, k, batch.attention_mask.to(model.device))
        for fn in edits.get(Site(layer, "pattern"), ()):
            pattern = fn(pattern)
        value = attend(pattern, v)
        for fn in edits.get(Site(layer, "z"), ()):
            value = fn(value)
        return value

    return z(*((new.expand_as(q), k) if kind == "q" else (q, new.expand_as(k)))) - z(q, k)
