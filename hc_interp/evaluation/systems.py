"""Scores of many systems that differ only in which components are replaced, with common layers computed once.

Systems that replace the same components below some layer have the same residual stream there. The stream is computed
once for all of them, and each system continues from the layer where it differs. The scores equal those of separate
passes (up to rounding; `tests/evaluation/test_systems.py`).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from hc_interp.components import Component
from hc_interp.data.batch import Batch
from hc_interp.data.encode import EncodedBatch, batches, in_order
from hc_interp.data.examples import Examples
from hc_interp.data.parts import DataPart
from hc_interp.errors import HCError
from hc_interp.evaluation.score_data import Block, Classes, class_groups
from hc_interp.interventions.nodes import component_values, replacements
from hc_interp.interventions.sources import Source
from hc_interp.metrics import MetricRows, logit_diff
from hc_interp.models.forward import SiteEdit
from hc_interp.models.hooked import HookedModel, Intervention
from hc_interp.models.site import Site
from hc_interp.progress import Stage

Removed = frozenset[Component]
Systems = Mapping[str, Removed]  # the components that each system replaces
Matrices = dict[str, list[np.ndarray]]


@dataclass(frozen=True, eq=False)
class EncodedBlocks:
    """The texts of blocks of rows as batches; `places[name]` are the rows of each side of a block among all texts."""

    batches: list[EncodedBatch]
    places: dict[str, list[slice]]

    @classmethod
    def of(cls, model: HookedModel, blocks: Mapping[str, Block], batch_size: int) -> "EncodedBlocks":
        """Texts of all blocks are sorted by length together, so that batches hold little padding."""
        sides = [(name, side) for name, block in blocks.items() for side in block.sides]
        pooled: dict[object, list[tuple[str, DataPart]]] = {}
        for number, (name, side) in enumerate(sides):
            key = (side.second is None) if isinstance(side, Examples) else ("batch", number)
            pooled.setdefault(key, []).append((name, side))
        encoded, places, start = [], {name: [] for name in blocks}, 0
        for pool in pooled.values():
            data = pool[0][1] if len(pool) == 1 else _joined([side for _, side in pool])  # type: ignore[misc]
            encoded += [
                replace(item, index=item.index + start) for item in batches(model, data, batch_size, with_labels=False)
            ]
            for name, side in pool:
                places[name].append(slice(start, start + len(side)))
                start += len(side)
        return cls(encoded, places)

    def split(self, s: Float[np.ndarray, "system text"]) -> Matrices:
        """The columns of each side of each block."""
        return {name: [s[:, place] for place in places] for name, places in self.places.items()}


def _joined(parts: Iterable[Examples]) -> Examples:
    """The texts alone, which may be labelled in different ways."""
    listed = list(parts)
    first = tuple(text for part in listed for text in part.first)
    second = tuple(text for part in listed for text in part.second or ())
    return Examples(first, second or None)


@torch.no_grad()
def score_systems(
    model: HookedModel,
    encoded: Sequence[EncodedBatch],
    systems: Systems,
    source: Source,
    classes: Classes,
    before: Sequence[Intervention],
    progress: Stage,
) -> Float[np.ndarray, "system text"]:
    """s of each system (the log odds of `classes`) on each text, with systems and texts in the order given.

    A system is the model under `before` with its components replaced by `source`. Raises `HCError` for logits that are
    not finite. The stage advances by the number of systems for each batch.
    """
    parts = []
    for item in encoded:
        parts.append(batch_scores(model, item, systems, source, classes, before))
        progress.advance(len(systems))
    return joined_scores(parts, encoded, systems)


@torch.no_grad()
def batch_scores(
    model: HookedModel,
    item: EncodedBatch,
    systems: Systems,
    source: Source,
    classes: Classes,
    before: Sequence[Intervention],
) -> Float[Tensor, "text system"]:
    """s of each system on the texts of one batch. It does not depend on other batches."""
    groups = class_groups(classes, len(model.labels or ()))

    def score(logits: Float[torch.Tensor, "text class"]) -> Float[torch.Tensor, " text"]:
        gold = torch.zeros(len(logits), dtype=torch.long, device=logits.device)
        return logit_diff(logits, MetricRows.labelled(gold, groups))

    removed = dict.fromkeys(systems.values())
    logits = BatchOfSystems.of(model, item.batch, removed, source, before).logits(tuple(removed))
    scores = {key: score(value) for key, value in logits.items()}
    return torch.stack([scores[key] for key in systems.values()], dim=1).double().cpu()


def joined_scores(
    parts: Sequence[Float[Tensor, "_ system"]], encoded: Sequence[EncodedBatch], systems: Systems
) -> Float[np.ndarray, "system text"]:
    """The scores of all batches, texts in the order given. Raises `HCError` for scores that are not finite."""
    s = in_order(parts, [item.index for item in encoded]).numpy().T
    if bad := [name for name, row in zip(systems, s, strict=True) if not np.isfinite(row).all()]:
        raise HCError(
            f"The scores of {bad[0]!r} are NaN or infinite. Expected finite logits; check the model's weights and "
            "dtype, the means and the interventions."
        )
    return s


@dataclass(frozen=True, eq=False)
class BatchOfSystems:
    """Logits of one batch under several systems."""

    model: HookedModel
    batch: Batch
    edits: Callable[[Removed], list[SiteEdit]]

    @classmethod
    def of(
        cls,
        model: HookedModel,
        batch: Batch,
        systems: Iterable[Removed],
        source: Source,
        before: Sequence[Intervention],
    ) -> "BatchOfSystems":
        shared = model.compile(batch, before)
        union = frozenset().union(*systems)
        values = component_values(union, source, model, batch, before) or {}
        return cls(model, batch, lambda removed: [*shared, *replacements(removed, values, model, batch)])

    def logits(
        self, systems: Sequence[Removed], layer: int = 0, stream: Tensor | None = None
    ) -> dict[Removed, Float[Tensor, "batch class"]]:
        """Logits of systems that agree below `layer`, from the stream that enters it (None: from the texts)."""
        start = None if stream is None else (layer, stream)
        if len(systems) == 1:
            return {systems[0]: self.model.run_edits(self.batch, self.edits(systems[0]), start=start).logits}
        by_layer = [[_at(removed, depth) for removed in systems] for depth in range(self.model.n_layers)]
        fork = next(depth for depth in range(layer, self.model.n_layers) if len(set(by_layer[depth])) > 1)
        if fork > layer:
            site = Site(fork, "resid_pre")
            run = self.model.run_edits(self.batch, self.edits(systems[0]), [site], start=start, stop_after=site)
            stream = run.captured[site]
        branches: dict[Removed, list[Removed]] = {}
        for removed, here in zip(systems, by_layer[fork], strict=True):
            branches.setdefault(here, []).append(removed)
        found: dict[Removed, Tensor] = {}
        for branch in branches.values():
            found |= self.logits(branch, fork, stream)
        return found


def _at(removed: Removed, layer: int) -> Removed:
    return frozenset(item for item in removed if item.layer == layer)
