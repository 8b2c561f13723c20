"""`Sweep`: rows, pairs and settings, the clean and corrupt values of each batch, and the engine that measures them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from hc_interp.data.align import EncodedPairs, PairBatch
from hc_interp.data.batch import Batch
from hc_interp.interventions.nodes import Ablate, Keep, Scale, SoftMask
from hc_interp.interventions.path_steps import PathBatch, PathEnd, SiteValues, value_sites
from hc_interp.interventions.sources import Source, source_values
from hc_interp.metrics import ClassGroups, Metric, MetricRows
from hc_interp.models.families.family import Family
from hc_interp.models.forward import by_site
from hc_interp.models.hooked import HookedModel, Intervention, Run
from hc_interp.models.site import Site
from hc_interp.patching.engine.budget import Budget
from hc_interp.patching.engine.check import check_engine
from hc_interp.patching.engine.decoder import DecoderStack
from hc_interp.patching.engine.encoder import EncoderStack
from hc_interp.patching.engine.exact import ExactEngine
from hc_interp.patching.engine.stack import Stack
from hc_interp.patching.equal_lengths import equal_lengths, first_position
from hc_interp.patching.general import GeneralEngine
from hc_interp.patching.pair_state import PairState
from hc_interp.patching.rows import Row
from hc_interp.records.value_cache import ValueCache, values_name

NODE_INTERVENTIONS = (Keep, Ablate, SoftMask, Scale)


def is_fast(model: HookedModel, interventions: Iterable[Intervention]) -> bool:
    """Whether the fast engine can measure this model under these interventions; the general engine can always."""
    family = model.geometry.family
    known = family.pre_norm if family.causal else _is_encoder(family)
    return known and all(isinstance(item, NODE_INTERVENTIONS) for item in interventions)


def _is_encoder(family: Family) -> bool:
    """Whether `EncoderStack` computes a family's layers and its head."""
    unknown = ("q_norm", "rotary", "angles", "score_cap", "attn_norm", "mlp_norm")
    known = family.classify is not None and family.mlp_in is not None and not family.pre_norm
    return known and all(getattr(family, name) is None for name in unknown)


@dataclass(frozen=True, eq=False)
class Sweep:
    """The model, the encoded pairs, the rows and the settings of a sweep; both engines read them here.

    `corruption` is "pair" or a source. `shared` is a sweep over the same pairs under the same interventions, whose
    clean runs this one uses. `receivers` are the components whose inputs are captured in the clean runs: None stands
    for the receivers of `rows`; more are named where `replace` will give other `rows` to the same clean runs.
    """

    model: HookedModel
    encoded: EncodedPairs
    rows: Sequence[Row]
    corruption: Source | str
    interventions: Sequence[Intervention]
    metric: Metric
    groups: ClassGroups | None
    route: str
    batch_size: int
    memory_mib: int
    shared: "Sweep | None" = None
    receivers: tuple[PathEnd, ...] | None = None
    cache: ValueCache | None = None
    _states: dict[tuple[int, ...], PairState] = field(default_factory=dict)
    _stacks: dict[int, Stack] = field(default_factory=dict)

    @property
    def captured(self) -> tuple[PathEnd, ...]:
        """The components whose inputs are captured in the clean runs."""
        if self.receivers is not None:
            return self.receivers
        return tuple(dict.fromkeys(item for row in self.rows for item in row.receivers))

    @cached_property
    def fast(self) -> bool:
        """Whether the fast engine measures; both engines compute the same definition."""
        return is_fast(self.model, self.interventions)

    @cached_property
    def parts(self) -> list[PairBatch]:
        """The batches of pairs; without padding for the fast engine, which has no attention mask."""
        if self.shared is not None:
            return self.shared.parts
        if not self.fast:
            return self.encoded.batches
        read_at = self.model.readout.positions if self.model.geometry.family.causal else first_position
        return equal_lengths(self.encoded.batches, self.batch_size, read_at)

    def stack_of(self, batch: Batch) -> Stack:
        """The model's `Stack` for the position at which the output reads the rows of this batch.

        A new stack is checked against a hooked pass on this batch. Raises `ModelError` where the two differ.
        """
        if self.shared is not None:
            return self.shared.stack_of(batch)
        causal = self.model.geometry.family.causal
        at = int(self.model.readout.positions(batch)[0]) - batch.input_ids.shape[1] if causal else 0
        if at not in self._stacks:
            stack = DecoderStack(self.model, at) if causal else EncoderStack(self.model)
            check_engine(stack, batch, self.interventions)
            self._stacks[at] = stack
        return self._stacks[at]

    def state(self, part: PairBatch) -> PairState:
        """The clean and corrupt values of one batch; they are kept while all kept values fit into `memory_mib`."""
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
            assert not isinstance(source, str)
            paths = PathBatch.of(self.model, part.clean, source, self.captured, self.interventions, run=self._run_side)
        return PairState.of(paths, self.metric_rows(part), self.metric, by_pair)

    def metric_rows(self, part: PairBatch) -> MetricRows:
        """What a metric is told of the rows of a batch; they are numbered in the pairs that the call was given."""
        clean = part.clean.to(self.model.device)
        index = torch.tensor(self.encoded.rows)[part.index.cpu()].to(self.model.device)
        gold = None if self.groups is None else clean.labels
        own = (clean.answer, clean.foil) if self.groups is None else (None, None)
        return MetricRows(index, None if clean.ids is None else tuple(clean.ids), gold, self.groups, *own)

    def _fast_run(self, part: PairBatch) -> PathBatch:
        """`PathBatch.of` with runs of the `Stack`, which give the values at all sites that the fast engine uses."""
        sites, clean_side = value_sites(self.model), part.clean.to(self.model.device)
        if self.shared is None:
            clean, logits = self._values(clean_side)
        else:
            known = self.shared.state(part).paths
            clean, logits = known.clean, known.clean_logits
        corrupt_logits = None
        if isinstance(self.corruption, str):
            values, corrupt_logits = self._values(part.corrupt.to(self.model.device))
        else:
            values = source_values(self.corruption, self.model, clean_side, sites, self.interventions) or clean
        corrupt = {site: values[site].expand_as(clean[site]) for site in sites}
        return PathBatch(self.model, clean_side, corrupt, self.interventions, clean, logits, corrupt_logits)

    def _values(self, batch: Batch) -> tuple[SiteValues, Float[Tensor, "batch class"]]:
        """The values and logits of one side's run of the `Stack` under the interventions."""
        self.model.check_batch(batch)
        run = self._kept("stack", batch, (), lambda: self._stack_run(batch))
        return run.captured, run.logits

    def _stack_run(self, batch: Batch) -> Run:
        """One side's run of the `Stack`; the model itself computes `embed`."""
        embed = Site.embed()
        start = self.model.run_edits(batch, [], [embed], stop_after=embed).captured[embed]
        edits = by_site(self.model.compile(batch, self.interventions))
        values, logits = self.stack_of(batch).values(start, edits)
        return Run(logits, values)

    def _run_side(self, batch: Batch, before: Sequence[Intervention], capture: Sequence[Site]) -> Run:
        """`HookedModel.run`, whose values the cache keeps."""
        return self._kept("pass", batch, capture, lambda: self.model.run(batch, before, capture=capture))

    def _kept(self, how: str, batch: Batch, capture: Sequence[Site], run: Callable[[], Run]) -> Run:
        if self.cache is None:
            return run()
        name = self.values_name(how, batch, list(capture))

        def compute() -> dict[str, dict[str, Tensor]]:
            done = run()
            return {name: {"logits": done.logits} | {str(site): value for site, value in done.captured.items()}}

        values = {key: value.to(self.model.device) for key, value in self.cache.kept(name, compute).items()}
        logits = values.pop("logits")
        return Run(logits, {Site.parse(key): value for key, value in values.items()})

    def values_name(self, *shaped_by: Any) -> str:
        """The name of cached values of this model under these interventions."""
        model = self.model
        return values_name(model, model.backend_name, str(model.device), list(self.interventions), *shaped_by)

    def engine(self, state: PairState) -> ExactEngine | GeneralEngine:
        """The engine that measures the rows on one batch: the fast one where it can, else the general one."""
        return self.exact_engine(state) if self.fast else GeneralEngine(state, self.route, self.rows)

    def exact_engine(self, state: PairState) -> ExactEngine:
        """The fast engine on one batch, with the numbers of senders and paths that `memory_mib` allows."""
        one_layer = all(len({getattr(item, "layer", -1) for item in row.active}) < 2 for row in self.rows)
        batch, length = state.paths.batch.input_ids.shape
        budget = Budget.of(
            self.model,
            batch,
            length,
            self.memory_mib,
            throughs=len({row.through for row in self.rows}),
            layers=1 if one_layer else self.model.n_layers,
        )
        return ExactEngine(self.stack_of(state.paths.batch), state, self.route, self.rows, budget)
