"""The measurements of the premises in pieces: scores of systems on a few batches of texts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from hc_interp.evaluation.score_data import score_rows
from hc_interp.evaluation.scores import Scores
from hc_interp.evaluation.systems import Systems, batch_scores, joined_scores
from hc_interp.interventions.sources import Source
from hc_interp.progress import Stage, stage
from hc_interp.reading.premise_measure import Sample
from hc_interp.records.digest import digest
from hc_interp.records.dispatch import make_missing
from hc_interp.records.pieces import Runner
from hc_interp.records.result import Result
from hc_interp.records.store import Store

BATCHES = 4  # batches of texts of one piece
ScoreKey = tuple[str, int, int]  # which scores, the number of the source, and of the first batch


@dataclass(frozen=True, eq=False)
class SystemScores(Result):
    """s of each system on the texts of some batches, in the order of these batches."""

    s: Float[Tensor, "text system"]

    def to_frame(self) -> pd.DataFrame:
        """A row per text, a column per system."""
        return pd.DataFrame(self.s.numpy())


class ScoreStore(Store):
    """A file for the scores on a few batches."""

    work: ClassVar[str] = "check of premises"
    shaped_by: ClassVar[str] = "model, task, heads, means or settings"
    piece: ClassVar[str] = "scores"
    kind: ClassVar[type[Result]] = SystemScores


@dataclass(frozen=True, eq=False)
class Measure:
    """What one table of scores is measured on: texts, systems, and the sources over which s is averaged."""

    sample: Sample
    systems: Systems
    sources: Sequence[Source]

    @property
    def keys(self) -> list[tuple[int, int]]:
        """Of each piece the number of the source and of the first batch."""
        starts = range(0, len(self.sample.encoded.batches), BATCHES)
        return [(source, start) for source in range(len(self.sources)) for start in starts]


@dataclass(frozen=True, eq=False)
class PremiseWork:
    """All scores of the premises. It is also its own bench: texts are encoded when it is made."""

    measures: Mapping[str, Measure]

    def bench(self, keys: Sequence[ScoreKey]) -> Self:
        return self

    def size(self, key: ScoreKey) -> int:
        return len(self.measures[key[0]].systems) * len(self._batches(key))

    def make(self, key: ScoreKey, progress: Stage) -> SystemScores:
        measure = self.measures[key[0]]
        sample, source = measure.sample, measure.sources[key[1]]
        parts = []
        for item in self._batches(key):
            parts.append(batch_scores(sample.model, item, measure.systems, source, sample.classes, sample.before))
            progress.advance(len(measure.systems))
        return SystemScores(torch.cat(parts))

    def _batches(self, key: ScoreKey) -> list[Any]:
        return self.measures[key[0]].sample.encoded.batches[key[2] : key[2] + BATCHES]

    def digest(self, runner: Runner) -> str:
        """The digest of everything that shapes the scores."""
        shaped_by: list[Any] = [BATCHES, *runner.shaping.items()]
        for name, measure in self.measures.items():
            sample = measure.sample
            texts = [item.batch for item in sample.encoded.batches]
            shaped_by += [name, sample.model, sample.model.backend_name, texts, sample.classes, list(sample.before)]
            shaped_by += [dict(measure.systems), list(measure.sources)]
        return digest(*shaped_by)


def measured(
    measures: Mapping[str, Measure], resume: str | Path | None, runner: Runner, about: Mapping[str, Any]
) -> dict[str, Scores]:
    """The tables of scores, each the mean of s over its sources; finished pieces are read from `resume`."""
    work = PremiseWork(measures)
    keys = {
        f"scores-{name}-{source:03d}-{start:05d}": (name, source, start)
        for name, measure in measures.items()
        for source, start in measure.keys
    }
    store = None if resume is None else ScoreStore(Path(resume), work.digest(runner))
    found: dict[ScoreKey, Tensor] = {}
    if store is not None:
        store.check()
        for name, key in keys.items():
            if (piece := store.get(name, SystemScores)) is not None:
                found[key] = piece.s
    missing = {name: key for name, key in keys.items() if key not in found}
    with stage("premises", sum(map(work.size, missing.values()))) as progress:
        for name, piece in make_missing(work, missing, store, runner, progress):
            assert isinstance(piece, SystemScores)
            found[missing[name]] = piece.s
    return {name: _scores(name, measure, found, about) for name, measure in measures.items()}


def _scores(name: str, measure: Measure, found: Mapping[ScoreKey, Tensor], about: Mapping[str, Any]) -> Scores:
    sample = measure.sample
    by_source = []
    for source in range(len(measure.sources)):
        parts = [found[name, number, start] for number, start in measure.keys if number == source]
        by_source.append(joined_scores(parts, sample.encoded.batches, measure.systems))
    rows = score_rows(sample.blocks, sample.encoded.split(np.mean(by_source, axis=0)))
    return Scores(names=tuple(measure.systems), rows=rows, **about)
