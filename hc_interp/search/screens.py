"""Screens: one score for each component, taken one component at a time. Cheap, and baselines for a search.

Each gives a `Ranking`, whose `top(sparsity)` is a subnetwork.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from jaxtyping import Float
from torch import Tensor

from hc_interp.data.batch import Batch
from hc_interp.data.parts import Data, as_parts, fingerprint, sources_of
from hc_interp.errors import SearchError
from hc_interp.interventions.means import mean_activations
from hc_interp.interventions.nodes import Ablate
from hc_interp.interventions.sources import Source, check_source
from hc_interp.models.hooked import HookedModel, Intervention
from hc_interp.models.site import Site
from hc_interp.progress import stage
from hc_interp.records.provenance import provenance
from hc_interp.search.node_gradients import NODES, dropped, gate_gradients, node_effects
from hc_interp.search.objective import Objective, check_choice
from hc_interp.search.ranking import Ranking
from hc_interp.torch_modes import own_torch_modes

Score = Callable[[Batch, Tensor], Float[Tensor, "component batch"]]  # of a batch, and where its rows stand


@own_torch_modes
def gradient_importance(
    model: HookedModel,
    data: Data,
    means: Source | None = None,
    *,
    components: str = "heads+mlps",
    objective: str = "kl",
    normalize: bool = False,
    interventions: Sequence[Intervention] = (),
    batch_size: int = 32,
) -> Ranking:
    """Expected absolute slope of the loss in each component's gate, at the full model.

    A gate blends a component's output with `means` (None: taken over `data`; `means=0` is the published form). The loss
    is minus the log probability of the label group (`objective="task"`) or of the full model's own answer (`"kl"`,
    which looks at no label: KL itself is flat at the full model). `normalize=True` divides each layer's scores by their
    Euclidean norm, as Michel et al. do. One backward pass. Source: Michel, Levy & Neubig 2019 (arXiv 1905.10650).

    A slope at the full model says nothing of what happens far from it, or when several components go together.
    """
    screen = _Screen.of(model, data, means, components, objective, interventions, batch_size)
    goal = screen.objective

    def score(batch: Batch, rows: Tensor) -> Tensor:
        loss = goal.answer_loss(rows)
        return gate_gradients(model, batch, goal.universe, goal.source, loss, goal.interventions).abs().T

    ranking = screen.rank("gradient importance", score, normalize=normalize)
    return _by_layer(ranking) if normalize else ranking


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
    screen = _Screen.of(model, data, means, components, objective, interventions, batch_size, nodes)
    goal = screen.objective
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
    return screen.rank(name, score, nodes=nodes, qk_fix=qk_fix, grad_drop=grad_drop)


@own_torch_modes
def leave_one_out(
    model: HookedModel,
    data: Data,
    means: Source | None = None,
    *,
    components: str = "heads+mlps",
    objective: str = "kl",
    interventions: Sequence[Intervention] = (),
    batch_size: int = 64,
) -> Ranking:
    """The exact loss of replacing each component alone: KL(full || without it), or what the task loss rises by.

    One pass for each component, from its layer on. Exact for one component; components that can stand in for each other
    score low together.
    """
    screen = _Screen.of(model, data, means, components, objective, interventions, batch_size)
    goal = screen.objective

    @torch.no_grad()
    def score(batch: Batch, rows: Tensor) -> Tensor:
        streams = [Site(layer, "resid_pre") for layer in range(model.n_layers)]
        below = model.run(batch, goal.interventions, capture=streams).captured
        found = []
        for item in goal.universe:
            edits = model.compile(batch, [*goal.interventions, Ablate(item, goal.source)])
            start = (item.layer, below[Site(item.layer, "resid_pre")])
            found.append(goal.loss(model.run_edits(batch, edits, start=start).logits, rows))
        return torch.stack(found) - goal.full_loss(rows)

    return screen.rank("leave one out", score)


@dataclass(frozen=True, eq=False)
class _Screen:
    """What a screen computes with: the objective on all examples, and what its ranking is to say of them."""

    objective: Objective
    batch_size: int
    sources: tuple[str, ...]
    provenance: dict[str, Any]

    @classmethod
    def of(
        cls,
        model: HookedModel,
        data: Data,
        means: Source | None,
        components: str,
        objective: str,
        interventions: Sequence[Intervention],
        batch_size: int,
        nodes: str = "components",
    ) -> Self:
        """Check the arguments and encode the data; nodes that are inputs of heads are scored for heads alone."""
        check_choice(components, objective)
        before = model.check_interventions(interventions)
        parts = as_parts(data)
        if means is None:
            means = mean_activations(model, parts, interventions=before, kinds=NODES[nodes])
        check_source(means, model)
        scored = components if nodes == "components" else "heads"
        goal = Objective.of(model, parts, means, scored, objective, before, batch_size)
        record = provenance(model, fingerprint(parts), means=means, interventions=before, objective=objective)
        return cls(goal, batch_size, tuple(sources_of(parts)), record)

    def rank(self, method: str, score: Score, **settings: Any) -> Ranking:
        """Scores of all rows, a batch of similar lengths at a time."""
        pool, items = self.objective.pool, self.objective.universe
        order = torch.argsort(pool.lengths, stable=True)
        found = []
        with stage(method, len(order)) as progress:
            for rows in order.split(self.batch_size):
                found.append(score(pool.take(rows), rows.to(pool.reference.device)).detach().cpu())
                progress.advance(len(rows))
        per_example = torch.cat(found, dim=1)[:, torch.argsort(order)]
        settings |= {"objective": self.objective.name, "components": len(items)}
        return Ranking(method, items, per_example, self.sources, settings, self.provenance)


def _by_layer(ranking: Ranking) -> Ranking:
    """Scores over the Euclidean norm of their layer's."""
    layers = torch.tensor([item.layer for item in ranking.universe])
    norms = torch.stack([ranking.scores[layers == layer].norm() for layer in layers.tolist()])
    scaled = ranking.per_example / norms.clamp_min(1e-30)[:, None].to(ranking.per_example.dtype)
    return Ranking(ranking.method, ranking.universe, scaled, ranking.sources, ranking.settings, ranking.provenance)
