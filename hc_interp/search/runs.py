"""The runs of a search as pieces: each run is made here or by a worker of an executor."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hc_interp.data.parts import DataPart, pick
from hc_interp.interventions.sources import Source
from hc_interp.models.hooked import HookedModel, Intervention
from hc_interp.progress import Stage
from hc_interp.search.objective import Objective
from hc_interp.search.plan import Plan, RandomStreams
from hc_interp.search.store import FinishedRun
from hc_interp.search.training_run import EVAL_SIZE, run_once

RunKey = tuple[float, int]  # sparsity and seed


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
            work.model, chosen, work.source, settings["components"], settings["objective"], work.before, EVAL_SIZE
        )

    def make(self, key: RunKey, progress: Stage) -> FinishedRun:
        seed = self.work.rows_seed(key)
        if seed not in self._plan.train:
            self.encode([seed])
        return run_once(self._goal, self._plan, key[0], self.work.streams[key[1]], self.work.settings, progress)
