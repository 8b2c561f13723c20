"""The screen `attribution_patching` (AtP*): first-order effects of replacing each component, with two corrections."""

from collections.abc import Iterable

import torch
from torch import Tensor

from hc_interp.data.batch import Batch
from hc_interp.data.parts import Data
from hc_interp.errors import SearchError
from hc_interp.interventions.sources import Source
from hc_interp.models.hooked import HookedModel, Intervention
from hc_interp.search.node_gradients import NODES, dropped, gate_gradients, node_effects
from hc_interp.search.ranking import Ranking
from hc_interp.search.screens.screen import Screen, screen
from hc_interp.torch_modes import own_torch_modes


@screen
@own_torch_modes
def attribution_patching(
    model: HookedModel,
    data: Data,
    means: Source | None = None,
    *,
    nodes: str = "components",
    components: str = "heads+mlps",
    objective: str = "kl",
    qk_fix: bool = True,
    grad_drop: bool = True,
    interventions: Iterable[Intervention] = (),
    batch_size: int = 32,
) -> Ranking:
    """AtP*: the expected absolute first-order effect of replacing each node on the loss, with two corrections.

    A node is a component (`nodes="components"`: a head's `z` or an MLP's output), or one input of each head (`"q"`,
    `"k"` or `"v"`). `means` is what replaces its value: mean activations (None: taken over `data`) or another source,
    such as `ContrastPairs` with `data=pairs.clean`. The loss is that of `gradient_importance`.

    `qk_fix` computes the attention under new queries or keys exactly and linearises only what follows, because a
    saturated softmax has no slope. It changes nothing for other nodes. `grad_drop` makes one backward pass for each
    layer, in which no gradient flows through that layer's components, and averages the absolute estimates over passes.
    So direct and indirect effects of opposite sign do not cancel. Sources: Kramar et al. 2024 (arXiv 2403.00745); Nanda
    2023.

    The scores are estimates. `leave_one_out` measures the effects. `objective` is "kl" or "task", as there. Raises
    `SearchError` for nodes or an objective of another name.
    """
    if nodes not in NODES:
        raise SearchError(f"nodes={nodes!r} was given. Expected one of {', '.join(map(repr, NODES))}.")
    job = Screen.of(model, data, means, components, objective, interventions, batch_size, nodes)
    goal, model = job.objective, job.objective.model
    passes = dropped(model.n_layers) if grad_drop and model.n_layers > 1 else [()]

    def score(batch: Batch, rows: Tensor) -> Tensor:
        loss = goal.answer_loss(rows)
        if nodes == "components":
            effects = [
                gate_gradients(model, batch, goal.universe, goal.source, loss, goal.interventions, drop)
                for drop in passes
            ]
        else:
            effects = node_effects(model, batch, nodes, goal.source, loss, goal.interventions, passes, qk_fix=qk_fix)
        # A node's estimate is 0 in the pass that drops its own layer, so the mean is over the other passes.
        return torch.stack(effects).abs().sum(0).T / max(1, len(passes) - 1)

    name = "attribution patching" if nodes == "components" else f"attribution patching of {nodes}"
    return job.rank(name, score, nodes=nodes, qk_fix=qk_fix, grad_drop=grad_drop)
