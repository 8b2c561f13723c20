"""`Objective`: what components a search or a screen chooses from, and the loss that it chooses by."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hc_interp.components import Component, universe
from hc_interp.data.batch import Batch
from hc_interp.data.parts import DataPart
from hc_interp.errors import SearchError
from hc_interp.interventions.nodes import SoftMask
from hc_interp.interventions.sources import Source, check_rows
from hc_interp.metrics import group_cross_entropy, kl_divergence
from hc_interp.models.forward import SiteEdit
from hc_interp.models.hooked import HookedModel, Intervention
from hc_interp.models.site import Site
from hc_interp.search.pool import Pool, build_pool

COMPONENTS = ("heads+mlps", "heads")
OBJECTIVES = ("kl", "task")


def check_choice(components: str, objective: str) -> None:
    """Raise `SearchError` for names that are none."""
    for name, value, known in (("components", components, COMPONENTS), ("objective", objective, OBJECTIVES)):
        if value not in known:
            raise SearchError(f"{name}={value!r} was given. Expected {' or '.join(map(repr, known))}.")


def universe_of(model: HookedModel, components: str) -> tuple[Component, ...]:
    """All heads, and all MLPs unless `components` is "heads"."""
    return universe(model.n_layers, model.n_heads, mlps=components == "heads+mlps")


@dataclass(frozen=True)
class Objective:
    """What components are chosen for: the model, what replaces a removed component, and the loss on a pool of examples.

    `name` is the loss: "kl" is KL(full || masked), "task" the cross entropy of the label group. `interventions` stand
    before the mask, and in the full model.
    """

    model: HookedModel
    universe: tuple[Component, ...]
    source: Source
    pool: Pool
    name: str
    interventions: tuple[Intervention, ...] = ()

    @classmethod
    def of(
        cls,
        model: HookedModel,
        parts: Sequence[DataPart],
        source: Source,
        components: str,
        name: str,
        interventions: Sequence[Intervention],
        size: int,
    ) -> Self:
        """Encode the data and run the full model on it once, `size` examples at a time.

        Raises an `HCError` for data that do not fit the source, and for logits that are not finite.
        """
        pool = build_pool(model, parts, with_gold=name == "task", interventions=interventions, size=size)
        check_rows(source, model, pool.batch)
        return cls(model, universe_of(model, components), source, pool, name, tuple(interventions))

    def logits(
        self,
        gates: Float[Tensor, "*batch component"],
        rows: Int[Tensor, " batch"],
        start: tuple[int, Float[Tensor, "batch pos d_model"]] | None = None,
    ) -> Tensor:
        """Logits of these rows, all under one mask or each under its own; from the layer and stream of `start` on."""
        batch = self.pool.take(rows)  # checked, and on the device, since the full model read it
        return self.model.run_edits(batch, self._edits(batch, gates), start=start).logits

    def streams(
        self, gates: Float[Tensor, " component"], rows: Int[Tensor, " batch"], last: int
    ) -> list[Float[Tensor, "batch pos d_model"]]:
        """What enters each layer up to `last` under a mask."""
        batch, sites = self.pool.take(rows), [Site(layer, "resid_pre") for layer in range(last + 1)]
        run = self.model.run_edits(batch, self._edits(batch, gates), sites, stop_after=sites[-1])
        return [run.captured[site] for site in sites]

    def _edits(self, batch: Batch, gates: Float[Tensor, "*batch component"]) -> list[SiteEdit]:
        mask = SoftMask(gates.to(self.model.dtype), self.source, self.universe)
        return self.model.compile(batch, [*self.interventions, mask])

    def kl(self, logits: Float[Tensor, "batch class"], rows: Int[Tensor, " batch"]) -> Float[Tensor, " batch"]:
        return kl_divergence(self.pool.reference[rows], logits)

    def loss(self, logits: Float[Tensor, "batch class"], rows: Int[Tensor, " batch"]) -> Float[Tensor, " batch"]:
        if self.name == "kl":
            return self.kl(logits, rows)
        assert self.pool.gold is not None
        return group_cross_entropy(logits, self.pool.gold[rows])

    def full_loss(self, rows: Int[Tensor, " batch"]) -> Float[Tensor, " batch"]:
        return self.loss(self.pool.reference[rows], rows)

    def answer_loss(self, rows: Int[Tensor, " batch"]) -> Callable[[Tensor], Float[Tensor, " batch"]]:
        """Minus the log probability of the label group ("task") or of the full model's answer ("kl"), of logits.

        KL itself has no slope at the full model.
        """
        gold = self.pool.gold
        if gold is None:
            reference = self.pool.reference
            gold = torch.nn.functional.one_hot(reference.argmax(-1), reference.shape[-1]).bool()
        return lambda logits: group_cross_entropy(logits, gold[rows])

    def by_length(self, rows: Int[Tensor, " n"], size: int) -> Sequence[Int[Tensor, " part"]]:
        """The rows in parts of similar length."""
        return rows[torch.argsort(self.pool.lengths[rows], stable=True)].split(size)
