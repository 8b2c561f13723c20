"""`Objective`: the components that a search or a screen chooses from, and the loss by which it chooses."""

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
from hc_interp.metrics import answer_cross_entropy, group_cross_entropy, kl_divergence
from hc_interp.models.forward import SiteEdit
from hc_interp.models.hooked import HookedModel, Intervention
from hc_interp.models.one_word import at_one_word
from hc_interp.models.site import Site
from hc_interp.records.value_cache import ValueCache
from hc_interp.search.pool import Pool, build_pool

COMPONENTS = ("heads+mlps", "heads")
OBJECTIVES = ("kl", "task")


def check_choice(components: str, objective: str) -> None:
    """Raise `SearchError` for a set of components or an objective that does not exist."""
    for name, value, known in (("components", components, COMPONENTS), ("objective", objective, OBJECTIVES)):
        if value not in known:
            raise SearchError(f"{name}={value!r} was given. Expected {' or '.join(map(repr, known))}.")


def universe_of(model: HookedModel, components: str) -> tuple[Component, ...]:
    """All heads, and all MLPs unless `components` is "heads"."""
    return universe(model.n_layers, model.n_heads, mlps=components == "heads+mlps")


@dataclass(frozen=True)
class Objective:
    """The loss of a mask on a pool of examples, and everything that it depends on.

    A mask has one gate for each component of `universe`: 1 keeps the output, 0 replaces it by the value of `source`.
    `name` is the loss: "kl" is KL(full model || masked model), "task" the cross entropy of the label group. For a
    language model without label words both are over its whole vocabulary at the position that is read, and "task" is
    the cross entropy of the row's answer.
    `interventions` are applied in both models, before the mask.
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
        *,
        with_gold: bool = False,
        cache: ValueCache | None = None,
    ) -> Self:
        """Encode the data and run the full model on them once, `size` examples at a time.

        `with_gold` reads labels, also where the loss does not use them. `cache` keeps the full model's logits for other
        processes.

        Raises an `HCError` for data that do not fit the source, and for logits that are not finite.
        """
        model = at_one_word(model)
        with_gold = with_gold or name == "task"
        pool = build_pool(model, parts, with_gold=with_gold, interventions=interventions, size=size, cache=cache)
        check_rows(source, model, pool.batch)
        return cls(model, universe_of(model, components), source, pool, name, tuple(interventions))

    def logits(
        self,
        gates: Float[Tensor, "*batch component"],
        rows: Int[Tensor, " batch"],
        start: tuple[int, Float[Tensor, "batch pos d_model"]] | None = None,
    ) -> Float[Tensor, "batch class"]:
        """Logits of these rows, all under one mask or each under its own.

        `start` names a layer and the residual stream that enters it: earlier layers are then not run.
        """
        batch = self.pool.take(rows)  # checked, and on the device, since the full model read it
        return self.model.run_edits(batch, self._edits(batch, gates), start=start).logits

    def streams(
        self, gates: Float[Tensor, " component"], rows: Int[Tensor, " batch"], last: int
    ) -> list[Float[Tensor, "batch pos d_model"]]:
        """The residual stream that enters each layer from the first to `last` under a mask."""
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
        return self._gold_loss(logits, rows)

    def _gold_loss(self, logits: Float[Tensor, "batch class"], rows: Int[Tensor, " batch"]) -> Float[Tensor, " batch"]:
        """Minus the log probability of the label group, or of the answer."""
        if self.pool.gold is not None:
            return group_cross_entropy(logits, self.pool.gold[rows])
        assert self.pool.batch.answer is not None
        return answer_cross_entropy(logits, self.pool.batch.answer[rows.to(self.pool.batch.answer.device)])

    def full_loss(self, rows: Int[Tensor, " batch"]) -> Float[Tensor, " batch"]:
        return self.loss(self.pool.reference[rows], rows)

    def answer_loss(
        self, rows: Int[Tensor, " batch"]
    ) -> Callable[[Float[Tensor, "batch class"]], Float[Tensor, " batch"]]:
        """A loss of logits whose derivative at the full model is not 0, as the derivative of KL is.

        It is minus the log probability of the label group or answer ("task") or of the full model's answer ("kl").
        """
        if self.pool.gold is not None or self.pool.batch.answer is not None:
            return lambda logits: self._gold_loss(logits, rows)
        answers = self.pool.reference[rows].argmax(-1, keepdim=True)
        return lambda logits: answer_cross_entropy(logits, answers)

    def by_length(self, rows: Int[Tensor, " n"], size: int) -> Sequence[Int[Tensor, " _"]]:
        """The rows in parts of at most `size` rows, each of similar length, so that little is padded."""
        return rows[torch.argsort(self.pool.lengths[rows], stable=True)].split(size)
