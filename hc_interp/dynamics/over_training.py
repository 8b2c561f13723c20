"""`over_training`: one analysis at every checkpoint of a series."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pandas as pd

from hc_interp.dynamics.result import OverTraining, Table
from hc_interp.dynamics.store import CheckpointStore
from hc_interp.errors import HCError
from hc_interp.models.hooked import HookedModel
from hc_interp.models.series import ModelSeries, load_series
from hc_interp.progress import Stage, stage
from hc_interp.records.digest import digest
from hc_interp.records.dispatch import make_missing
from hc_interp.records.pieces import Executor, Runner
from hc_interp.records.result import Result

Analysis = Callable[[HookedModel], Result | pd.DataFrame]


def over_training(
    series: ModelSeries | str | Path,
    analysis: Analysis,
    *,
    steps: Iterable[int] | None = None,
    resume: str | Path | None = None,
    executor: Executor | None = None,
    threads: int = 1,
) -> OverTraining:
    """Run `analysis` on the model of each checkpoint, and put the results side by side.

    `analysis` is a function of a `HookedModel` that returns a result of the package, a result of your own or a table:
    `lambda model: hc.evaluate(model, task)`. What is to be measured anew at each checkpoint, such as mean activations,
    it takes from the model that it is given. `hc.analyses` makes the usual ones: `hc.analyses.premises(task, core,
    generalizing)`. One model is in memory at a time.

    `series` is a `ModelSeries` or what `hc.load_series` takes. `steps` are some of its steps (default: all). `resume`
    is a folder that keeps each checkpoint's finished result: the same call, also with other steps, reads them there.
    `executor` is an object with `submit(fn, *args)`, whose workers look at the checkpoints (`hc.spread`) and
    read the series in the same folder. `threads` is the number of threads of an analysis, also
    without an executor.

    Raises `ModelError` for a step without a checkpoint, `HCError` for a series without steps and for an analysis that
    returns something else, `ResultError` for a folder of another analysis. A quantity that grows over training does not
    show why it grows: for that, train under an intervention (`hc.finetune`).
    """
    runner = Runner.of(executor, threads, resume)
    resume = runner.folder
    series = series if isinstance(series, ModelSeries) else load_series(series)
    chosen = tuple(sorted(set(series.steps if steps is None else steps)))
    if not chosen:
        raise HCError(f"{series!r} has no step to look at. Expected a series with at least one checkpoint.")
    if missing := [step for step in chosen if step not in series]:
        series[missing[0]]  # raises the error that lists the steps there are
    shaping = runner.shaping.items()
    store = None if resume is None else CheckpointStore(Path(resume), digest(analysis, series.card["start"], *shaping))
    if store is not None:
        store.check()
    names = {f"step-{step:07d}-{series.card['checkpoints'][str(step)]['sha256'][:8]}": step for step in chosen}
    results = {step: found for name, step in names.items() if store and (found := store.get(name, Result)) is not None}
    missing = {name: step for name, step in names.items() if step not in results}
    with stage("over training", len(chosen)) as progress:
        progress.advance(len(results))
        for name, result in make_missing(
            SeriesWork(series.absolute(), analysis, series.folder), missing, store, runner, progress
        ):
            results[missing[name]] = result
            if executor is None:
                progress.part(f"checkpoint {missing[name]}")
    origin = {"start": series.card["start"]["fingerprint"], "checkpoints": series.card["checkpoints"]}
    return OverTraining(str(series.folder), chosen, tuple(results[step] for step in chosen), origin)


@dataclass(frozen=True, eq=False)
class SeriesWork:
    """An analysis in pieces: one checkpoint each. It is also its own bench, since checkpoints share nothing.

    `folder` is the series' folder as the user named it, by which its models are named.
    """

    series: ModelSeries
    analysis: Analysis
    folder: Path

    def bench(self, keys: Sequence[int]) -> Self:
        return self

    def size(self, key: int) -> int:
        return 1

    def make(self, key: int, progress: Stage) -> Result:
        model = self.series[key]
        model.name = f"{self.folder}@{key}"
        result = _checked(self.analysis(model), key)
        progress.advance()
        return result


def _checked(found: Any, step: int) -> Result:
    if isinstance(found, pd.DataFrame):
        return Table(found)
    if isinstance(found, Result):
        return found
    raise HCError(
        f"The analysis returned a {type(found).__name__} at step {step}. Expected a result, such as hc.evaluate gives, "
        "or a table (pandas.DataFrame)."
    )
