"""`Screen`: what every screen is made of, and the registry of screens.

A screen gives one score to each component, taken one component at a time. It is cheap, and a baseline for a search. A
new screen is one function in a file of its own: it builds a `Screen` from its arguments, and `Screen.rank` turns the
scores of single batches into a `Ranking`, whose `top(sparsity)` is a subnetwork. `@screen` registers the function.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from hc_interp.data.batch import Batch
from hc_interp.data.parts import Data, as_parts, fingerprint, sources_of
from hc_interp.errors import SearchError
from hc_interp.interventions.means import mean_activations
from hc_interp.interventions.sources import Source, check_source
from hc_interp.models.hooked import HookedModel, Intervention
from hc_interp.progress import stage
from hc_interp.records.provenance import provenance
from hc_interp.search.node_gradients import NODES
from hc_interp.search.objective import Objective, check_choice
from hc_interp.search.ranking import Ranking

# Scores of one batch; the second argument are its rows' indices in all examples.
BatchScore = Callable[[Batch, Tensor], Float[Tensor, "component batch"]]
AnyScreen = TypeVar("AnyScreen", bound=Callable[..., Ranking])
SCREENS: dict[str, Callable[..., Ranking]] = {}


def screen(function: AnyScreen) -> AnyScreen:
    """Register a screen by its function's name. Raises `SearchError` where another function has that name.

    A function that is defined again, as when a notebook's cell runs twice, takes its own place.
    """
    name = function.__name__
    if name in SCREENS and SCREENS[name].__module__ != function.__module__:
        raise SearchError(
            f"The screen {name!r} was registered by {function.__module__}, but {SCREENS[name].__module__} has one of "
            "that name. Give the function another name."
        )
    SCREENS[name] = function
    return function


@dataclass(frozen=True, eq=False)
class Screen:
    """What a screen computes with: the objective on all examples, and the sources and provenance of its ranking."""

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

    def rank(self, method: str, score: BatchScore, **settings: Any) -> Ranking:
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
