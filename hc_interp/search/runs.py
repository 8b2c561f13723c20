"""The runs of a search as pieces: each run is made here or by a worker of an executor."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from jaxtyping import Float
from torch import Tensor

from hc_interp.data.parts import DataPart, pick
from hc_interp.interventions.sources import Source
from hc_interp.models.hooked import HookedModel, Intervention
from hc_interp.progress import Stage, stage
from hc_interp.records.digest import digest
from hc_interp.records.dispatch import make_missing
from hc_interp.records.pieces import Runner
from hc_interp.records.value_cache import ValueCache
from hc_interp.search.objective import Objective
from hc_interp.search.plan import Plan, RandomStreams, shaping
from hc_interp.search.store import FinishedRun, RunFolder, run_name
from hc_interp.search.training_run import EVAL_SIZE, run_once

RunKey = tuple[float, int]  # sparsity and seed
STARTS = "starts"  # the folder of a sample's trained starts, beside what else it keeps


@dataclass(frozen=True, eq=False)
class SearchWork:
    """The runs of one search. `plan` has the rows of every seed, and `streams` its random streams."""

    model: HookedModel
    parts: Sequence[DataPart]
    source: Source
    before: tuple[Intervention, ...]
    plan: Plan
    streams: dict[int, RandomStreams]
    settings: dict[str, Any]
    cache: ValueCache | None = None

    def bench(self, keys: Sequence[RunKey]) -> "SearchBench":
        bench = SearchBench(self)
        bench.encode(sorted({self.rows_seed(key) for key in keys}))
        return bench

    def size(self, key: RunKey) -> int:
        """Its training steps."""
        return self.settings["steps"] if key[0] > 0 else 0

    def rows_seed(self, key: RunKey) -> int:
        """The seed by which the run's rows were drawn."""
        return self.streams[key[1]].run_seed("data")


@dataclass(eq=False)
class SearchBench:
    """The encoded rows of some seeds, with the full model's logits, which do not depend on other seeds' rows."""

    work: SearchWork
    _plan: Plan = field(init=False)
    _goal: Objective = field(init=False)

    def encode(self, seeds: Sequence[int]) -> None:
        work, settings = self.work, self.work.settings
        self._plan = Plan(work.plan.held_out, {seed: work.plan.train[seed] for seed in seeds})
        chosen = [part for rows in self._plan.groups for part in pick(work.parts, rows)]
        self._goal = Objective.of(
            work.model, chosen, work.source, settings["components"], settings["objective"], work.before, EVAL_SIZE,
            cache=work.cache,
        )  # fmt: skip

    def make(self, key: RunKey, progress: Stage) -> FinishedRun:
        seed = self.work.rows_seed(key)
        if seed not in self._plan.train:
            self.encode([seed])
        return run_once(self._goal, self._plan, key[0], self.work.streams[key[1]], self.work.settings, progress)


def by_workers(
    work: SearchWork, sparsity: float, seeds: Sequence[int], runner: Runner
) -> list[Float[Tensor, " component"]]:
    """The trained `log_alpha` of the runs of these seeds, made by the runner's workers."""
    keys = {run_name(sparsity, seed): (sparsity, seed) for seed in seeds}
    assert runner.folder is not None
    streams = {seed: work.streams[seed] for seed in seeds}
    shaped_by = digest(
        work.model, shaping(work.parts, with_labels=work.settings["objective"] == "task"), work.source,
        list(work.before), work.settings, streams, work.plan, runner.shaping,
    )  # fmt: skip
    starts = replace(runner, folder=runner.folder / STARTS)
    folder = RunFolder(runner.folder / STARTS, shaped_by)
    folder.check()
    found = {name: run for name, key in keys.items() if (run := folder.read(*key)) is not None}
    missing = {name: key for name, key in keys.items() if name not in found}
    with stage("starts", sum(map(work.size, missing.values()))) as progress:
        for name, run in make_missing(replace(work, cache=starts.cache), missing, folder, runner, progress):
            assert isinstance(run, FinishedRun)
            found[name] = run
    starts.clear_cache()
    return [found[name].log_alpha for name in keys]
