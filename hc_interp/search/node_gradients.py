"""First-order effects of replacing a node (a component, or the q, k or v of a head) on a loss.

The effect is linearised: the derivative of the loss in the node's value, or in the component's gate, times the change.
A gate blends a component's output with what replaces the output: 1 is the output, 0 the replacement.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from hc_interp.components import Component
from hc_interp.data.batch import Batch
from hc_interp.interventions.nodes import SoftMask
from hc_interp.interventions.sites import Edit
from hc_interp.interventions.sources import Source, source_values
from hc_interp.models.attention_rule import attend
from hc_interp.models.forward import by_site
from hc_interp.models.hooked import HookedModel, Intervention
from hc_interp.models.site import Site

# The nodes that can be replaced, and the kinds of site whose values replace them.
NODES = {"components": ("z", "mlp_out"), "q": ("q",), "k": ("k",), "v": ("v",)}
Loss = Callable[[Tensor], Float[Tensor, " batch"]]


def dropped(n_layers: int) -> list[tuple[Edit, ...]]:
    """For each layer the edits that stop gradients at its components (GradDrop, arXiv 2403.00745).

    Gradients still pass that layer through the residual stream. The edits change no value.
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
    """Derivatives of each example's loss in its gates, where all gates are 1.

    Minus a derivative is the first-order effect of replacing that component.
    """
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
    """Estimated effects on each example's loss of replacing one input (`kind`: "q", "k" or "v") of each head.

    Each list of `passes` holds edits that change a backward pass, and gives one result. Heads are in execution order.
    With `qk_fix` the change of `z` under new queries or keys is computed exactly and the loss is linearised in `z`.
    Without it, and for "v", the loss is linearised in the input itself.
    """
    layers = range(model.n_layers)
    inputs = [Site(layer, name) for layer in layers for name in ("q", "k", "v")]
    with torch.no_grad():
        clean = model.run(batch, before, capture=inputs).captured
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
    edited = "z" if fixed else kind
    effects = []
    for after in passes:
        leaves = [torch.zeros_like(change, requires_grad=True) for change in changes]
        probes = [Edit(Site(layer, edited), lambda value, leaf=leaf: value + leaf) for layer, leaf in enumerate(leaves)]
        slopes = torch.autograd.grad(
            loss(model.logits(batch, [*before, *probes, *after])).sum(), leaves, materialize_grads=True
        )
        tokens = batch.attention_mask[:, :, None, None].to(model.device)  # 0 at padding
        by_layer = [(slope * change * tokens).sum((1, 3)) for slope, change in zip(slopes, changes, strict=True)]
        effects.append(torch.cat(by_layer, dim=1))
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
    """The change of each head's `z` when the queries or keys of this head alone become `new`.

    `edits` are those of the interventions before. Their edits of pattern and `z` are applied after the replacement.
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
