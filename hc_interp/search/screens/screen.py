"""`Screen`: the shared part of all screens, and the registry of screens.

A screen gives a score to each component by itself, while all others are kept. Screens are cheap, and baselines for a
search. A new screen is one function in a file of its own. The function builds a `Screen` from its arguments, and
`Screen.rank` turns the scores of single batches into a `Ranking`, whose `top(sparsity)` is a subnetwork. `@screen`
registers the function.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hc_interp.data.batch import Batch
from hc_interp.data.parts import Data, as_parts, fingerprint, sources_of
from hc_interp.interventions.means import mean_activations
from hc_interp.interventions.sources import Source, check_source
from hc_interp.models.hooked import HookedModel, Intervention
from hc_interp.progress import stage
from hc_interp.records.provenance import provenance
from hc_interp.registry import check_name
from hc_interp.search.node_gradients import NODES
from hc_interp.search.objective import Objective, check_choice
from hc_interp.search.ranking import Ranking

# The scores of one batch. The second argument are the indices of its rows in all examples.
BatchScore = Callable[[Batch, Int[Tensor, " batch"]], Float[Tensor, "component batch"]]
AnyScreen = TypeVar("AnyScreen", bound=Callable[..., Ranking])
SCREENS: dict[str, Callable[..., Ranking]] = {}


def screen(function: AnyScreen) -> AnyScreen:
    """Register a screen by its function's name. Raises `HCError` if another function has it (`check_name`)."""
    name = function.__name__
    check_name("screen", name, function, SCREENS.get(name))
    SCREENS[name] = function
    return function


@dataclass(frozen=True, eq=False)
class Screen:
    """The objective on all examples, and the sources and the provenance of the ranking."""

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
        interventions: Iterable[Intervention],
        batch_size: int,
        nodes: str = "components",
    ) -> Self:
        """Check the arguments and encode the data. If `nodes` are inputs of heads, MLPs get no score."""
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

    def rank(self, method: str, score: BatchScore, **settings: Any) -> Ranking:
        """The ranking by `score`, which gets batches of rows of similar length. `settings` are kept in the result."""
        pool, items = self.objective.pool, self.objective.universe
        order = torch.argsort(pool.lengths, stable=True)
        by_batch = []
        with stage(method, len(order)) as progress:
            for rows in order.split(self.batch_size):
                by_batch.append(score(pool.take(rows), rows.to(pool.reference.device)).detach().cpu())
                progress.advance(len(rows))
        per_example = torch.cat(by_batch, dim=1)[:, torch.argsort(order)]
        settings |= {"objective": self.objective.name, "components": len(items)}
        return Ranking(method, items, per_example, self.sources, settings, self.provenance)
