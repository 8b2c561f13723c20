"""`ModelSeries`: the checkpoints of one training, each loaded when it is asked for."""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from hc_interp.models.checkpoints import SeriesFolder
from hc_interp.models.hooked import HookedModel
from hc_interp.models.load import load


class ModelSeries:
    """The checkpoints that `hc.finetune` wrote to a folder.

    `series[step]` is the `HookedModel` at a step. It is read from disk each time and not kept, so that a loop over the
    steps holds one model at a time. `series.steps` are the steps in ascending order, and iteration goes over them.
    `series.metrics` is a table of what was measured at each checkpoint, and `series.card` the whole record: origin,
    recipe, fingerprints of the data, and the SHA-256 of each file.
    """

    def __init__(self, folder: SeriesFolder, device: Any = None) -> None:
        self._files = folder
        self._device = device

    @property
    def folder(self) -> Path:
        """The folder of the checkpoints."""
        return self._files.path

    @property
    def steps(self) -> tuple[int, ...]:
        """The training steps that have a checkpoint, ascending. Step 0 is before any training."""
        return self._files.steps

    @property
    def card(self) -> dict[str, Any]:
        """The series' whole record, as `card.json` has it: origin, recipe, data, the SHA-256 of each file."""
        return self._files.card

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """A row per checkpoint and system, with the columns step, system and loss, and what the task lets measure.

        `system` is "full" for the model of the checkpoint, and "intervened" for that model under the interventions of
        its training. `loss` is the mean training loss since the checkpoint before, in nats (NaN at step 0).
        `validation` and the case ids are accuracies; `separation_X` and `pull_X` are those of the heuristic X.
        """
        frame = pd.DataFrame(self.card["metrics"], columns=None if self.card["metrics"] else ["step", "system", "loss"])
        numbers = [name for name in frame if name not in ("step", "system")]
        return frame.astype(dict.fromkeys(numbers, float)).sort_values("step", kind="stable", ignore_index=True)

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[int]:
        return iter(self.steps)

    def __contains__(self, step: object) -> bool:
        return step in self.steps

    def __getitem__(self, step: int) -> HookedModel:
        """The model at a step. Raises `ModelError` for a step without a checkpoint, and for a damaged file."""
        return load(f"{self.folder}@{self._files.check_step(step)}", device=self._device)

    def absolute(self) -> "ModelSeries":
        """The same series by its absolute path, for processes that run in other folders."""
        return ModelSeries(SeriesFolder.open(self.folder.absolute()), self._device)

    def __repr__(self) -> str:
        steps = f"steps {self.steps[0]} to {self.steps[-1]}" if self.steps else "no step yet"
        state = "" if self.card["finished"] else "; training has not finished"
        return f"ModelSeries({self.folder}: {len(self)} checkpoints, {steps}, {self.card['weights']} weights{state})"

    def _repr_html_(self) -> str:
        title = repr(self).replace("&", "&amp;").replace("<", "&lt;")
        return f"<p><b>{title}</b></p>{self.metrics.to_html(float_format='%.3g', index=False)}"


def load_series(name_or_folder: str | Path, *, device: Any = None) -> ModelSeries:
    """The series `name_or_folder`: a folder that `hc.finetune` wrote, or "zoo:NAME". No weights are read yet.

    `device` is where its models are loaded (default: CUDA if there is one). Raises `ModelError` for a name that is not
    in the zoo and for a folder that holds no series.
    """
    return ModelSeries(SeriesFolder.open(name_or_folder), device)
