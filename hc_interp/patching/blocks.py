"""An exact sweep in pieces: blocks of senders on one batch of pairs, measured here or by workers of an executor."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from hc_interp.patching.engine.exact import ExactEngine
from hc_interp.patching.general import GeneralEngine
from hc_interp.patching.measure import Measurements, as_arrays
from hc_interp.patching.shards import Block, BlockStore, block_name, blocks_of
from hc_interp.patching.sweep import Sweep
from hc_interp.progress import Stage, stage
from hc_interp.records.dispatch import make_missing
from hc_interp.records.pieces import Runner
from hc_interp.records.value_cache import values_name

BlockKey = tuple[int, int]  # the number of the batch of pairs, and of the block of rows


@dataclass(frozen=True, eq=False)
class SweepWork:
    """The blocks of a sweep. `blocks` are row indices, and `settings` the digest of all that shapes them."""

    sweep: Sweep
    blocks: Sequence[Sequence[int]]
    settings: str

    def bench(self, keys: Sequence[BlockKey]) -> "SweepBench":
        return SweepBench(self.sweep, self.blocks, self.settings)

    def size(self, key: BlockKey) -> int:
        return len(self.blocks[key[1]])


@dataclass(eq=False)
class SweepBench:
    """The engine of the batch that was measured last.

    Node effects are measured for all receivers together, since the rounding of a pass depends on what is in it: a block
    then has the same bytes whichever blocks were measured before.
    """

    sweep: Sweep
    blocks: Sequence[Sequence[int]]
    settings: str
    _batch: int | None = None
    _engine: ExactEngine | GeneralEngine = field(init=False)

    def make(self, key: BlockKey, progress: Stage) -> Block:
        batch, number = key
        part = self.sweep.parts[batch]
        state = self.sweep.state(part)
        if self._batch != batch:
            self._batch, self._engine = batch, self.sweep.engine(state)
            if isinstance(self._engine, ExactEngine):
                self._measure_nodes(self._engine, batch)
        block = self.blocks[number]
        arrays = as_arrays(self._engine.measure(block), block, len(part.index), progress)
        return Block(tuple(block), arrays, state.total.double().cpu())

    def _measure_nodes(self, engine: ExactEngine, batch: int) -> None:
        """The node effects of all receivers, a pass for each; the cache keeps them with the runs' values."""
        sweep, indices = self.sweep, [index for block in self.blocks for index in block]
        if sweep.cache is None:
            engine.node_effects(indices)
            return
        receivers = list(dict.fromkeys(sweep.rows[index].active for index in indices))
        name = values_name("node effects", self.settings, sweep.memory_mib, batch, indices)

        def compute() -> dict[str, dict[str, Tensor]]:
            effects = engine.node_effects(indices)
            by_receivers = {sweep.rows[index].active: effect for index, effect in effects.items()}
            return {name: {"effects": torch.stack([by_receivers[item] for item in receivers])}}

        effects = sweep.cache.kept(name, compute)["effects"].to(sweep.model.device)
        engine.know_node_effects(dict(zip(receivers, effects, strict=True)))


def measure_exact(sweep: Sweep, indices: Sequence[int], store: BlockStore | None, runner: Runner) -> Measurements:
    """Measure the rows of these indices, block by block; finished blocks are read from `store` and new ones written."""
    result = Measurements(len(sweep.encoded), len(sweep.rows))
    blocks = blocks_of(sweep.rows, indices)
    keys = {block_name(batch, block): (batch, n) for batch in range(len(sweep.parts)) for n, block in enumerate(blocks)}
    with stage("path patching", len(indices) * len(sweep.parts)) as progress:
        missing = {}
        for name, (batch, number) in keys.items():
            block = store.read(batch, blocks[number]) if store else None
            if block is None:
                missing[name] = (batch, number)
            else:
                progress.advance(len(blocks[number]))
                total = sweep.state(sweep.parts[batch]).total.double().cpu() if block.total is None else block.total
                result.enter(sweep.parts[batch], replace(block, total=total))
        settings = store.settings if store else ""
        work = SweepWork(replace(sweep, _states={}, _stacks={}, cache=runner.cache), blocks, settings)
        for name, piece in make_missing(work, missing, store, runner, progress):
            batch, number = missing[name]
            assert isinstance(piece, Block)
            result.enter(sweep.parts[batch], piece)
            if runner.executor is None:
                progress.part(f"block {number + 1} of {len(blocks)} of batch {batch + 1} of {len(sweep.parts)}")
    runner.clear_cache()
    for index in indices:
        result.exact[index] = True
    return result
