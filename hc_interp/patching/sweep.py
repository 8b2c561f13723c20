"""`Sweep`: rows measured exactly on every batch of pairs, by the engine that serves them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from torch import Tensor

from hc_interp.data.align import EncodedPairs, PairBatch
from hc_interp.data.batch import Batch
from hc_interp.interventions.nodes import Ablate, Keep, Scale, SoftMask
from hc_interp.interventions.path_steps import PathBatch, value_sites
from hc_interp.interventions.sources import source_values
from hc_interp.metrics import ClassGroups, Metric
from hc_interp.models.forward import by_site
from hc_interp.models.hooked import HookedModel, Intervention
from hc_interp.models.site import Site
from hc_interp.patching.engine.budget import Budget
from hc_interp.patching.engine.check import check_engine
from hc_interp.patching.engine.decoder import Decoder
from hc_interp.patching.engine.encoder import Encoder
from hc_interp.patching.engine.exact import ExactEngine
from hc_interp.patching.engine.stack import Stack
from hc_interp.patching.equal_lengths import equal_lengths, first_position
from hc_interp.patching.general import GeneralEngine
from hc_interp.patching.pair_state import PairState
from hc_interp.patching.rows import Row

NODE_INTERVENTIONS = (Keep, Ablate, SoftMask, Scale)


def is_fast(model: HookedModel, interventions: Iterable[Intervention]) -> bool:
    """Whether the fast engine computes this model under these interventions; the general one computes all others."""
    family = model.geometry.family
    known = family.causal or family.classify is not None
    return known and all(isinstance(item, NODE_INTERVENTIONS) for item in interventions)


@dataclass(frozen=True, eq=False)
class Sweep:
    """What all engines are given: the model, the pairs, and what is measured under what.

    `receivers` are all components whose inputs may be asked for: those of the rows, unless other sweeps over the same
    clean runs (made by `replace` of `rows`) will ask for more.
    """

    model: HookedModel
    encoded: EncodedPairs
    rows: Sequence[Row]
    corruption: Any
    interventions: Sequence[Intervention]
    metric: Metric
    groups: ClassGroups
    route: str
    batch_size: int
    memory_mib: int
    # one over the same pairs under the same interventions, whose clean runs serve this one
    other: "Sweep | None" = None
    receivers: tuple[Any, ...] | None = None
    _states: dict[tuple[int, ...], PairState] = field(default_factory=dict)
    _stacks: dict[int, Stack] = field(default_factory=dict)

    @property
    def read(self) -> tuple[Any, ...]:
        """The components whose inputs every engine captures."""
        if self.receivers is not None:
            return self.receivers
        return tuple(dict.fromkeys(item for row in self.rows for item in row.receivers))

    @cached_property
    def fast(self) -> bool:
        """The fast engine and the general one compute the same definition; the general one serves all there is."""
        return is_fast(self.model, self.interventions)

    @cached_property
    def parts(self) -> list[PairBatch]:
        """The batches: without padding for the fast engine, which knows no mask."""
        if self.other is not None:
            return self.other.parts
        if not self.fast:
            return self.encoded.batches
        read_at = self.model.readout.positions if self.model.geometry.family.causal else first_position
        return equal_lengths(self.encoded.batches, self.batch_size, read_at)

    def stack_of(self, batch: Batch) -> Stack:
        """The model as the fast engine computes with it, read where it reads all rows of this batch.

        Raises `ModelError` where it is not the model that runs; it is checked on the first batch that asks for it.
        """
        if self.other is not None:
            return self.other.stack_of(batch)
        causal = self.model.geometry.family.causal
        at = int(self.model.readout.positions(batch)[0]) - batch.input_ids.shape[1] if causal else 0
        if at not in self._stacks:
            stack = Decoder(self.model, at) if causal else Encoder(self.model)
            check_engine(stack, batch, self.interventions)
            self._stacks[at] = stack
        return self._stacks[at]

    def state(self, part: PairBatch) -> PairState:
        """Both sides' values on one batch, kept while all that are kept fit into the memory bound."""
        key = tuple(part.index.tolist())
        if key in self._states:
            return self._states[key]
        state = self._run(part)
        if sum(each.size for each in (*self._states.values(), state)) <= self.memory_mib * 2**20:
            self._states[key] = state
        return state

    def _run(self, part: PairBatch) -> PairState:
        by_pair = isinstance(self.corruption, str)
        if self.fast:
            paths = self._fast_run(part)
        else:
            source = part.corrupt if by_pair else self.corruption
            paths = PathBatch.of(self.model, part.clean, source, self.read, self.interventions)
        return PairState.of(paths, part, self.metric, self.groups, by_pair)

    def _fast_run(self, part: PairBatch) -> PathBatch:
        """What `PathBatch.of` gives, by the fast engine's own functions, at all sites that it reads."""
        sites, clean_side = value_sites(self.model), part.clean.to(self.model.device)
        if self.other is None:
            clean, logits = self._values(clean_side)
        else:
            known = self.other.state(part).paths
            clean, logits = known.clean, known.clean_logits
        other = None
        if isinstance(self.corruption, str):
            found, other = self._values(part.corrupt.to(self.model.device))
        else:
            found = source_values(self.corruption, self.model, clean_side, sites, self.interventions) or clean
        corrupt = {site: found[site].expand_as(clean[site]) for site in sites}
        return PathBatch(self.model, clean_side, corrupt, self.interventions, clean, logits, other)

    def _values(self, batch: Batch) -> tuple[dict[Site, Tensor], Tensor]:
        """One side's run under the interventions, from the input that the model itself makes."""
        self.model.check_batch(batch)
        embed = Site.embed()
        start = self.model.run_edits(batch, [], [embed], stop_after=embed).captured[embed]
        return self.stack_of(batch).values(start, by_site(self.model.compile(batch, self.interventions)))

    def engine(self, state: PairState) -> ExactEngine | GeneralEngine:
        return self.exact_engine(state) if self.fast else GeneralEngine(state, self.route, self.rows)

    def exact_engine(self, state: PairState) -> ExactEngine:
        narrow = all(len({getattr(item, "layer", -1) for item in row.active}) < 2 for row in self.rows)
        batch, length = state.paths.batch.input_ids.shape
        budget = Budget.of(
            self.model,
            batch,
            length,
            self.memory_mib,
            throughs=len({row.through for row in self.rows}),
            layers=1 if narrow else self.model.n_layers,
        )
        return ExactEngine(self.stack_of(state.paths.batch), state, self.route, self.rows, budget)
