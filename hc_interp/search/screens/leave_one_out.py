"""The screen `leave_one_out`: the measured effect of replacing each component alone."""

from collections.abc import Iterable

import torch
from torch import Tensor

from hc_interp.data.batch import Batch
from hc_interp.data.parts import Data
from hc_interp.interventions.nodes import Ablate
from hc_interp.interventions.sources import Source
from hc_interp.models.hooked import HookedModel, Intervention
from hc_interp.models.site import Site
from hc_interp.search.ranking import Ranking
from hc_interp.search.screens.screen import Screen, screen
from hc_interp.torch_modes import own_torch_modes


@screen
@own_torch_modes
def leave_one_out(
    model: HookedModel,
    data: Data,
    means: Source | None = None,
    *,
    components: str = "heads+mlps",
    objective: str = "kl",
    interventions: Iterable[Intervention] = (),
    batch_size: int = 64,
) -> Ranking:
    """The effect on the loss of replacing each component alone, measured by a pass for each component.

    `objective="kl"`: KL(full || without the component), in nats. `"task"`: the rise of the cross entropy of the label
    group. `means` replaces the component's output: mean activations (None: taken over `data`) or another source. A pass
    starts at the component's layer.

    The effects are those of single components. Two components of which each can replace the other both score low.
    """
    job = Screen.of(model, data, means, components, objective, interventions, batch_size)
    goal, model = job.objective, job.objective.model

    @torch.no_grad()
    def score(batch: Batch, rows: Tensor) -> Tensor:
        streams = [Site(layer, "resid_pre") for layer in range(model.n_layers)]
        below = model.run(batch, goal.interventions, capture=streams).captured
        losses = []
        for item in goal.universe:
            edits = model.compile(batch, [*goal.interventions, Ablate(item, goal.source)])
            start = (item.layer, below[Site(item.layer, "resid_pre")])
            losses.append(goal.loss(model.run_edits(batch, edits, start=start).logits, rows))
        return torch.stack(losses) - goal.full_loss(rows)

    return job.rank("leave one out", score)
