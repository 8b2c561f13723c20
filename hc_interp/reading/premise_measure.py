"""The measurements behind the premises: the rows, the systems, and their scores."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from hc_interp.data.examples import Examples
from hc_interp.data.task import Task
from hc_interp.errors import DataError
from hc_interp.evaluation.score_data import Block, Classes, heuristic_blocks, in_domain_block
from hc_interp.evaluation.scores import IN_DOMAIN
from hc_interp.evaluation.systems import EncodedBlocks
from hc_interp.interventions.donors import Donors
from hc_interp.models.hooked import HookedModel, Intervention

MAX_DONOR_DATA = 8192  # examples that donors are drawn from
MIN_SET_PAIRS, MIN_SET_ROWS, MIN_SET_IN_DOMAIN = 48, 5, 150  # pairs of a kind, rows of a case: for comparison sets
Blocks = dict[str, Block]


@dataclass(frozen=True)
class Limits:
    """The largest numbers of examples of a case, of pairs of a case and kind, and of in-domain examples."""

    per_case: int
    pairs: int
    in_domain: int

    def of_sets(self, blocks: Blocks, share: float) -> "Limits":
        """The limits for comparison sets: a share, but at least `MIN_SET_PAIRS` pairs of a kind over all cases.

        The in-domain gap is the noisier part of the order sensitivity, so at least `MIN_SET_IN_DOMAIN` rows are in
        domain. With order pairs the cases do not decide, and as many examples as pairs will do.
        """
        n_blocks = max(1, sum(name.startswith("order ") for name in blocks))
        per_case, pairs, in_domain = (max(1, round(share * n)) for n in (self.per_case, self.pairs, self.in_domain))
        pairs = min(self.pairs, max(pairs, -(-MIN_SET_PAIRS // n_blocks)))
        if any(name.startswith("order ") for name in blocks):
            per_case = pairs
        in_domain = min(self.in_domain, max(in_domain, MIN_SET_IN_DOMAIN))
        return Limits(min(self.per_case, max(per_case, MIN_SET_ROWS)), pairs, in_domain)

    def of(self, block: str) -> int:
        return self.in_domain if block == IN_DOMAIN else self.per_case if block.startswith("case ") else self.pairs


def all_blocks(model: HookedModel, task: Task, heuristic: str, classes: Classes, selected: Collection[str]) -> Blocks:
    """Every row that the premises may use: none of the sources that chose the generalizing heads.

    Raises `DataError` where such sources leave no example of a case, or in domain.
    """
    blocks = {IN_DOMAIN: in_domain_block(model, task, classes)} | heuristic_blocks(model, task, heuristic, classes)
    left = {name: block.without(selected) for name, block in blocks.items()} if selected else blocks
    for name, block in left.items():
        if not len(block) and not name.startswith(("order", "overlap")):
            raise DataError(
                f"All examples of {name!r} of task {task.name!r} are of sources that chose the generalizing heads. "
                "Premises need others: give the task more examples, or choose the heads on fewer."
            )
    return {name: block for name, block in left.items() if len(block)}


def drawn(blocks: Blocks, limits: Limits, seed: int) -> Blocks:
    return {name: block.sample(limits.of(name), seed) for name, block in blocks.items()}


def short_half(block: Block) -> Block:
    """The rows of at most the median number of characters: comparison sets need many passes, and these are cheap."""
    part = block.data
    if not isinstance(part, Examples):
        return block
    sizes = np.array([len(a) + len(b) for a, b in zip(part.first, part.second or part.first, strict=True)])
    short = block.rows(np.flatnonzero(sizes <= np.median(sizes)))
    return block if short.gold.all() or not short.gold.any() else short


def with_donors(model: HookedModel, blocks: Blocks, donors: Donors, batch_size: int) -> tuple[Blocks, int]:
    """The rows whose texts all have a donor of their length, and the number of other rows."""
    encoded = EncodedBlocks.of(model, blocks, batch_size)
    fits = np.zeros(sum(len(item) for item in encoded.batches), dtype=bool)
    for item in encoded.batches:
        lengths = item.batch.attention_mask.sum(1).tolist()
        fits[item.index.cpu().numpy()] = [length in donors.lengths for length in lengths]
    rows = {name: np.all([fits[place] for place in places], axis=0) for name, places in encoded.places.items()}
    kept = {name: blocks[name].rows(np.flatnonzero(fit)) for name, fit in rows.items()}
    return kept, int(sum((~fit).sum() for fit in rows.values()))


def donors_for(model: HookedModel, task: Task) -> Donors:
    """Donors from the training split, or from validation where there is none."""
    data = task.train if task.train is not None else task.validation
    return Donors(model, data.sample(MAX_DONOR_DATA))


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of the premises: `all`, and `few` for the comparison sets and donors. No donors: none were asked for,
    or most rows of a block have none of their length."""

    all: Blocks
    few: Blocks
    donors: Donors | None
    notes: tuple[str, ...]

    @classmethod
    def of(
        cls,
        model: HookedModel,
        task: Task,
        blocks: Blocks,
        limits: Limits,
        set_share: float,
        any_donors: bool,
        batch_size: int,
        seed: int,
    ) -> "Rows":
        notes = []
        if not any(name.startswith("overlap ") for name in blocks):
            notes.append("the task has no overlap pairs of this heuristic, so the pull is not measured")
        least = limits.of_sets(blocks, set_share)
        few = drawn(blocks | {IN_DOMAIN: short_half(blocks[IN_DOMAIN])}, least, seed)
        donors = donors_for(model, task) if any_donors else None
        if donors is not None:
            fitting, n_left_out = with_donors(model, few, donors, batch_size)
            if any(2 * len(fitting[name]) < len(block) for name, block in few.items()):
                donors = None
                notes.append("donors are not measured: most rows of a block have no donor of their length")
            else:
                few = fitting
                if n_left_out:
                    notes.append(f"{n_left_out} rows without donors of their length are left out of comparison sets")
        return cls(drawn(blocks, limits, seed), few, donors, tuple(notes))


@dataclass(frozen=True, eq=False)
class Sample:
    """Blocks of rows and their texts as batches, on which systems are scored."""

    model: HookedModel
    blocks: Blocks
    encoded: EncodedBlocks
    classes: Classes
    before: Sequence[Intervention]

    @classmethod
    def of(
        cls, model: HookedModel, blocks: Blocks, classes: Classes, before: Sequence[Intervention], batch_size: int
    ) -> "Sample":
        return cls(model, blocks, EncodedBlocks.of(model, blocks, batch_size), classes, before)
