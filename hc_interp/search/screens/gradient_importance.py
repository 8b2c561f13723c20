"""The screen `gradient_importance`: derivatives of the loss in each component's gate."""

from collections.abc import Iterable

import torch
from torch import Tensor

from hc_interp.data.batch import Batch
from hc_interp.data.parts import Data
from hc_interp.interventions.sources import Source
from hc_interp.models.hooked import HookedModel, Intervention
from hc_interp.search.node_gradients import gate_gradients
from hc_interp.search.ranking import Ranking
from hc_interp.search.screens.screen import Screen, screen
from hc_interp.torch_modes import own_torch_modes


@screen
@own_torch_modes
def gradient_importance(
    model: HookedModel,
    data: Data,
    means: Source | None = None,
    *,
    components: str = "heads+mlps",
    objective: str = "kl",
    normalize: bool = False,
    interventions: Iterable[Intervention] = (),
    batch_size: int = 32,
) -> Ranking:
    """The expected absolute derivative of the loss in each component's gate, at the full model.

    A gate blends a component's output (gate 1) with the value of `means` (gate 0). None: mean activations over `data`;
    `means=0` is the published form. The loss is minus the log probability of the label group (`objective="task"`) or of
    the full model's answer (`"kl"`, which uses no labels; the derivative of KL itself is 0 at the full model).
    `normalize=True` divides each layer's scores by their Euclidean norm, as Michel et al. do. There is one backward
    pass for each batch. Source: Michel, Levy & Neubig 2019 (arXiv 1905.10650).

    A derivative at the full model does not show what happens far from it, or when several components are removed.
    """
    job = Screen.of(model, data, means, components, objective, interventions, batch_size)
    goal, model = job.objective, job.objective.model

    def score(batch: Batch, rows: Tensor) -> Tensor:
        loss = goal.answer_loss(rows)
        return gate_gradients(model, batch, goal.universe, goal.source, loss, goal.interventions).abs().T

    ranking = job.rank("gradient importance", score, normalize=normalize)
    return _by_layer(ranking) if normalize else ranking


def _by_layer(ranking: Ranking) -> Ranking:
    """The ranking with each layer's scores divided by their Euclidean norm."""
    layers = torch.tensor([item.layer for item in ranking.universe])
    norms = torch.stack([ranking.scores[layers == layer].norm() for layer in layers.tolist()])
    scaled = ranking.per_example / norms.clamp_min(1e-30)[:, None].to(ranking.per_example.dtype)
    return Ranking(ranking.method, ranking.universe, scaled, ranking.sources, ranking.settings, ranking.provenance)
