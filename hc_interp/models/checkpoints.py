"""`SeriesFolder`: the checkpoints of one training in a folder, with a card that has the SHA-256 of each file.

The folder holds `card.json`, the model that training began from as `start/`, and one safetensors file a checkpoint. The
card's `weights` says what such a file holds:

- "full": all parameters.
- "low-rank": the difference from the start in the form of `low_rank.py`.
- "lora": a LoRA adapter under peft's names, which is merged into the start, and the head.

Where the card's `start` has a `base`, `start/` has no weights: they are those of a public base (`bases.py`), and the
checkpoints hold the whole head.
"""

import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from hc_interp.checksum import read_checked
from hc_interp.errors import ChecksumError, ModelError
from hc_interp.models.bases import Base
from hc_interp.models.hashed_files import read_hashed, sha256_of
from hc_interp.models.low_rank import StateDict, added
from hc_interp.models.zoo_cards import CARD, SERIES, series_folder

START = "start"
SERIES_FORMAT = 1
ADAPTED = "base_model.model."  # begins peft's name of every tensor of an adapter
_DOWN, _UP = ".lora_A.weight", ".lora_B.weight"
_MEND = "Restore the folder from a copy, or make the series again: hc.finetune(...) into an empty folder."
_AT_STEP = re.compile(r"(?P<series>.+)@(?P<step>\d+)")


@dataclass(frozen=True)
class SeriesFolder:
    """A folder that `hc.finetune` wrote, and the record of its card."""

    path: Path
    card: dict[str, Any]

    @classmethod
    def open(cls, name_or_folder: str | Path) -> Self:
        """The series of this name in the zoo ("zoo:NAME"), or in this folder.

        Raises `ModelError` for a folder without a card, a damaged card, and the card of a newer hc_interp.
        """
        path = series_folder(name_or_folder)
        try:
            card, _ = read_checked(path / CARD, "card of a series", _MEND)
        except ChecksumError as error:
            raise ModelError(str(error)) from error
        except (OSError, ValueError) as error:
            raise ModelError(
                f"{path} holds no series of checkpoints: its {CARD} cannot be read ({error}). Expected a folder that "
                "hc.finetune or hc-interp finetune wrote."
            ) from error
        if card.get("series") != SERIES_FORMAT:
            raise ModelError(
                f"{path / CARD} is the card of a series of format {card.get('series')!r}; this hc_interp reads format "
                f"{SERIES_FORMAT}. Update hc_interp, or make the series again."
            )
        return cls(path, card)

    @property
    def steps(self) -> tuple[int, ...]:
        """The training steps of the checkpoints, ascending."""
        return tuple(sorted(map(int, self.card["checkpoints"])))

    @property
    def start(self) -> Path:
        """The folder of the model that training began from, as `save_pretrained` wrote it. Its weights are checked."""
        for name, sha256 in self.card["start"]["files"].items():
            path = self.path / START / name
            try:
                actual = sha256_of(path)
            except OSError as error:
                raise ModelError(f"{path} cannot be read ({error.strerror}). {_MEND}") from error
            if actual != sha256:
                raise ModelError(f"{path} has SHA-256 {actual}; expected {sha256}. It was changed or damaged. {_MEND}")
        return self.path / START

    @property
    def base(self) -> Base | None:
        """The public base whose weights are the start's, as the card describes it; None if `start/` has them."""
        return self.card["start"].get("base")

    @property
    def dtype(self) -> torch.dtype:
        """The type in which the weights were trained; their files may hold a narrower one."""
        return getattr(torch, self.card["dtype"])

    def check_step(self, step: Any) -> int:
        """Return `step` if the series has a checkpoint there. Raises `ModelError`, which lists the steps."""
        if isinstance(step, bool) or step not in self.steps:
            raise ModelError(
                f"The series {self.path} has no checkpoint at step {step!r}. It has: "
                f"{', '.join(map(str, self.steps)) or 'none yet'}. Choose one of them."
            )
        return int(step)

    def read(self, step: int) -> StateDict:
        """The tensors in a checkpoint's file. Raises `ModelError` for a file without the SHA-256 of the card."""
        entry = self.card["checkpoints"][str(self.check_step(step))]
        return read_hashed(self.path / entry["file"], entry["sha256"], _MEND)


@dataclass(frozen=True)
class Checkpoint:
    """One step of a series, as "FOLDER@STEP" or "zoo:NAME@STEP" names it."""

    series: SeriesFolder
    step: int
    name: str

    @classmethod
    def named(cls, source: Any) -> Self | None:
        """The checkpoint that `source` names; None for a source of another kind.

        Raises `ModelError` for a series without the step, and for a series of which no step is named.
        """
        if not isinstance(source, str | Path):
            return None
        of_zoo = str(source).startswith("zoo:") and str(source).removeprefix("zoo:") in SERIES
        path = Path(source).expanduser()
        if of_zoo or os.path.isdir(path):
            if not of_zoo and not (path / CARD).is_file():
                return None
            steps = SeriesFolder.open(source).steps
            raise ModelError(
                f"{source} is a series of {len(steps)} checkpoints. Expected one of them: '{source}@STEP', where STEP "
                f"is one of {', '.join(map(str, steps)) or 'none yet'}. hc.load_series reads the whole series."
            )
        if (match := _AT_STEP.fullmatch(str(source))) is None:
            return None
        series = SeriesFolder.open(match["series"])
        return cls(series, series.check_step(int(match["step"])), str(source))

    @property
    def labels(self) -> list[str] | None:
        """The names of the classes in logit order, or the label words of a language model."""
        return self.series.card["labels"]

    @property
    def read_at(self) -> int | None:
        """The position at which a token classifier was read in its training; None for other models."""
        return self.series.card.get("read_at")

    def load_into(self, module: nn.Module, undefined: Collection[str] = ()) -> None:
        """Give `module`, the start, the weights of this checkpoint.

        Raises `ModelError` if they do not fit, and if they leave one of the weights that the start does not define.
        """
        tensors = self.series.read(self.step)
        file = self.series.path / self.series.card["checkpoints"][str(self.step)]["file"]
        try:
            given = checkpoint_weights(module, tensors, self.series.card)
            with torch.no_grad():
                for name, value in given.items():
                    module.get_parameter(name).copy_(value)
        except (AttributeError, KeyError, RuntimeError) as error:
            raise ModelError(
                f"{file} does not fit the model in {self.series.path / START} ({error}). {_MEND}"
            ) from error
        if lacking := set(undefined) - set(given):
            raise ModelError(f"{file} lacks {min(lacking)}, which the base of the series does not have. {_MEND}")


def checkpoint_weights(module: nn.Module, tensors: StateDict, card: Mapping[str, Any]) -> StateDict:
    """The parameters that a checkpoint changes, by name, from the tensors of its file and the start's module."""
    if card["weights"] == "full":
        return tensors
    names = dict(module.named_parameters())
    if card["weights"] == "low-rank":
        changed = {re.sub(r"\.[UV]$", "", name) for name in tensors}
        return added({name: names[name].detach() for name in changed}, tensors)
    return _merged(module, tensors, card["lora"]["scaling"])


def _merged(module: nn.Module, adapter: StateDict, scaling: float) -> StateDict:
    """`W + scaling B A` of each adapted weight, computed in float64 and rounded once, and the tensors stored whole."""
    state: StateDict = {}
    for key, value in adapter.items():
        name = key.removeprefix(ADAPTED)
        if name.endswith(_DOWN):
            path = name.removesuffix(_DOWN)
            update = scaling * (adapter[f"{ADAPTED}{path}{_UP}"].double() @ value.double())
            state[f"{path}.weight"] = _plus(module.get_submodule(path), update)
        elif not name.endswith(_UP):
            state[name] = value
    return state


def _plus(projection: Any, update: Tensor) -> Tensor:
    """The weight of a Linear, or of transformers' Conv1D (whose weight is `[in, out]`), plus an update `[out, in]`."""
    weight = projection.weight.detach()
    return weight.double() + (update if isinstance(projection, nn.Linear) else update.T).to(weight.device)
