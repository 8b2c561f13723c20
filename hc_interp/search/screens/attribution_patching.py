"""The screen `attribution_patching` (AtP*): first-order effects of replacing each component, corrected."""

from collections.abc import Sequence

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
    interventions: Sequence[Intervention] = (),
    batch_size: int = 32,
) -> Ranking:
    """AtP*: the expected absolute first-order effect of replacing each node, with its two known corrections.

    `nodes="components"` estimates what replacing a head's `z` or an MLP's output by `means` (or by another source:
    `ContrastPairs` with `data=pairs.clean`) does to the loss, `"q"`, `"k"`, `"v"` the same of one input of each head.
    `qk_fix` recomputes the attention that new queries or keys give, exactly, and is linear only after it: a saturated
    softmax has no slope. It changes nothing for other nodes. `grad_drop` averages the absolute estimates over backward
    passes that leave out one layer's components each (one pass for each layer), so that direct and indirect effects of
    opposite sign do not cancel. The loss is that of `gradient_importance`. Source: Kramar et al. 2024 (arXiv
    2403.00745); Nanda 2023.

    An estimate, not an effect: `leave_one_out` measures.
    """
    if nodes not in NODES:
        raise SearchError(f"nodes={nodes!r} was given. Expected one of {', '.join(map(repr, NODES))}.")
    job = Screen.of(model, data, means, components, objective, interventions, batch_size, nodes)
    goal = job.objective
    passes = dropped(model.n_layers) if grad_drop and model.n_layers > 1 else [()]

    def score(batch: Batch, rows: Tensor) -> Tensor:
        loss = goal.answer_loss(rows)
        if nodes == "components":
            found = [
                gate_gradients(model, batch, goal.universe, goal.source, loss, goal.interventions, drop)
                for drop in passes
            ]
        else:
            found = node_effects(model, batch, nodes, goal.source, loss, goal.interventions, passes, qk_fix=qk_fix)
        # In a pass that drops its layer a node has no effect, so it is in one pass fewer.
        return torch.stack(found).abs().sum(0).T / max(1, len(passes) - 1)

    name = "attribution patching" if nodes == "components" else f"attribution patching of {nodes}"
    return job.rank(name, score, nodes=nodes, qk_fix=qk_fix, grad_drop=grad_drop)
