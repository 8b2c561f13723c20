"""`TrainingFolder`: the folder of a series while it is trained. Every file appears whole or not at all.

Training can be killed at any moment: `state.safetensors` holds everything that the next update depends on. What was
written after that state is written again by the resumed training, with the same bytes.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from hc_interp.checksum import write_checked
from hc_interp.errors import ModelError, TrainingError
from hc_interp.files import atomic, plain
from hc_interp.models.checkpoints import SERIES_FORMAT, START, SeriesFolder
from hc_interp.models.hashed_files import sha256_of
from hc_interp.models.hooked import HookedModel
from hc_interp.models.trainable import trainable_module
from hc_interp.models.zoo_cards import CARD
from hc_interp.records.digest import digest
from hc_interp.records.store import check_writable
from hc_interp.training.trainer import Trainer
from hc_interp.writer import Writer

STATE = "state.safetensors"


class TrainingFolder:
    """The folder `path` with the card of the series, which is written again after each change."""

    def __init__(self, path: Path, card: dict[str, Any]) -> None:
        self.path, self.card = path, card

    @classmethod
    def of(cls, out: str | Path, recipe: Mapping[str, Any], **described: Any) -> Self:
        """The folder of a new series, or that of the same training, which then goes on. Nothing is written yet.

        `recipe` has everything that shapes the weights; `described` are the card's other entries. Raises
        `TrainingError` for a folder with other files, and for that of another training, naming the differences.
        """
        path = Path(out).expanduser()
        check_writable(path, "checkpoint", "out")
        fresh: Any = plain(
            {
                "series": SERIES_FORMAT, "finished": False, **described, "recipe": dict(recipe), "checkpoints": {},
                "metrics": [],
            }
        )  # fmt: skip
        if (path / CARD).exists():
            card = SeriesFolder.open(path).card
            _check_same(path, card["recipe"], fresh["recipe"])
            return cls(path, card)
        if path.exists() and any(Writer.of(item.name) is None for item in path.iterdir()):
            raise TrainingError(
                f"{path} has files, and no {CARD} of a series. Expected an empty or new folder, or that of the same "
                "training, which then goes on. Choose another out=."
            )
        return cls(path, fresh)

    @property
    def series(self) -> SeriesFolder:
        return SeriesFolder(self.path, self.card)

    def begin(self, start: HookedModel, dtype: torch.dtype | None) -> None:
        """Save the start, unless an earlier call did. `dtype` is that of its file; None: the weights' own."""
        if self.card["start"]["files"]:
            return
        self._write_card()
        folder = self.path / START
        trainable_module(start).to(dtype=dtype).save_pretrained(folder, max_shard_size="1000GB")
        if start.tokenizer is not None:
            start.tokenizer.save_pretrained(folder)
        self.card["start"]["files"] = {path.name: sha256_of(path) for path in sorted(folder.iterdir())}
        self._write_card()

    def put(self, step: int, tensors: Mapping[str, Tensor]) -> None:
        """Write the file of a checkpoint and enter it into the card."""
        name = f"step-{step:07d}.safetensors"
        sha256 = _save(self.path / name, tensors, {"format": "pt"})
        size = (self.path / name).stat().st_size
        self.card["checkpoints"][str(step)] = {"file": name, "sha256": sha256, "bytes": size}
        self._write_card()

    def note(self, step: int, rows: list[dict[str, Any]]) -> None:
        """Enter what was measured at a checkpoint into the card."""
        others = [row for row in self.card["metrics"] if row["step"] != step]
        self.card["metrics"] = sorted([*others, *rows], key=lambda row: row["step"])
        self._write_card()

    def keep_state(self, trainer: Trainer) -> None:
        """Write the state of a training, by which it can go on after a kill."""
        tensors, words = trainer.state()
        _save(self.path / STATE, tensors, {**words, "digest": digest(_by_name(tensors))})

    def take_state(self, trainer: Trainer) -> None:
        """Give a training the state in the folder, if there is one. Raises `ModelError` for a damaged file."""
        from safetensors import SafetensorError, safe_open

        path = self.path / STATE
        if not path.exists():
            return
        mend = "Delete it: training then begins again and makes the same series."
        try:
            with safe_open(path, "pt") as file:
                words = file.metadata()
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise ModelError(f"{path} cannot be read as the state of a training ({error}). {mend}") from error
        if digest(_by_name(tensors)) != words.get("digest"):
            raise ModelError(f"{path} was damaged or changed after it was written: its digest does not fit. {mend}")
        trainer.restore(tensors, words)

    def finish(self) -> None:
        """Mark the series as finished, and remove the state, which is no longer needed."""
        self.card["finished"] = True
        self._write_card()
        (self.path / STATE).unlink(missing_ok=True)

    def _write_card(self) -> None:
        write_checked(self.path / CARD, self.card)


def _save(path: Path, tensors: Mapping[str, Tensor], words: dict[str, str]) -> str:
    """Write tensors to a file. Returns its SHA-256."""
    from safetensors.torch import save_file

    with atomic(path) as temporary:
        save_file({name: value.cpu().contiguous() for name, value in tensors.items()}, temporary, words)
        return sha256_of(temporary)


def _by_name(tensors: Mapping[str, Tensor]) -> list[tuple[str, torch.Tensor]]:
    return sorted(tensors.items())


def _check_same(path: Path, earlier: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raise `TrainingError` if the recipe of the folder's series differs from that of this call."""
    names = dict.fromkeys([*earlier, *now])
    if changed := [name for name in names if earlier.get(name) != now.get(name)]:
        shown = "; ".join(f"{name} was {earlier.get(name)!r} and is {now.get(name)!r}" for name in changed[:3])
        raise TrainingError(
            f"{path} holds a series that was trained otherwise: {shown}. Expected the same arguments, model, data and "
            "versions, since a resumed training goes on with the same weights. Give what it was begun with, or choose "
            "another out=."
        )
