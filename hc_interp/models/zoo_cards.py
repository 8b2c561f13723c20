"""The zoo's models and their cards. This module does not import torch, so that listing the models is fast."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from hc_interp.errors import ModelError

DELTA_FORMAT = "hc-interp low-rank difference 1"
CARD = "card.json"  # of a series
DATA = Path(__file__).parent / "zoo_data"


@dataclass(frozen=True)
class ZooEntry:
    """One model of the zoo: its name, one line about it, and the card with its origin and measured accuracy."""

    name: str
    description: str
    card_file: Path

    @cached_property
    def card(self) -> dict[str, Any]:
        """The card, with `base`, `delta`, `labels`, `training` and `accuracy`. Raises `ModelError` if unreadable."""
        try:
            return json.loads(self.card_file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ModelError(broken(self.card_file, f"the card cannot be read ({error})")) from error

    @property
    def delta_file(self) -> Path:
        return self.card_file.with_name(self.card["delta"]["file"])


ZOO: dict[str, ZooEntry] = {
    "minilm-nli": ZooEntry(
        "minilm-nli",
        "6-layer, 12-head BERT (MiniLM) fine-tuned on NLI with some HANS lexical-overlap examples; 23 M parameters",
        DATA / "minilm-nli.json",
    )
}


@dataclass(frozen=True)
class FolderEntry:
    """A folder of the zoo: its name, one line about it, and where it is.

    It holds a series of checkpoints, or one whole model as `save_pretrained` writes it, and a card with the files'
    SHA-256.
    """

    name: str
    description: str
    folder: Path


_TINY = "BERTs of 4 layers from random weights on the grammar: lexical overlap first, held-out constructions later"
_MORE_SERIES = Path(__file__).parents[2] / "experiments" / "series"  # of the repository; the wheel lacks them
SERIES: dict[str, FolderEntry] = {
    "tiny-overlap": FolderEntry("tiny-overlap", f"{_TINY}; seed 0", DATA / "tiny-overlap"),
    "tiny-overlap-1": FolderEntry(
        "tiny-overlap-1", f"{_TINY}; seed 1, repository only", _MORE_SERIES / "tiny-overlap-1"
    ),
    "tiny-overlap-2": FolderEntry(
        "tiny-overlap-2", f"{_TINY}; seed 2, repository only", _MORE_SERIES / "tiny-overlap-2"
    ),
    "mpnet-nli": FolderEntry(
        "mpnet-nli",
        "MPNet, 12 layers x 12 heads, on MNLI alone and then with counterexamples; its base is 438 MB; repository only",
        _MORE_SERIES / "mpnet-nli",
    ),
}
WHOLE: dict[str, FolderEntry] = {
    "tiny-ioi": FolderEntry(
        "tiny-ioi",
        "GPT-2 of 3 layers x 4 heads that has learnt indirect object identification; 167,000 parameters",
        DATA / "tiny-ioi",
    )
}
MODELS = (*ZOO, *WHOLE)  # what "zoo:NAME" may name; a series needs a step besides


def series_folder(name_or_folder: str | Path) -> Path:
    """The folder of a series: that of the zoo's series "zoo:NAME", else `name_or_folder` itself (`~` is the home).

    Raises `ModelError` for a name that is not in the zoo, and for a series that only the repository holds.
    """
    text = str(name_or_folder)
    if not text.startswith("zoo:"):
        return Path(text).expanduser()
    name = text.removeprefix("zoo:")
    if name not in SERIES:
        single = f" zoo:{name} is a single model: hc.load('zoo:{name}')." if name in MODELS else ""
        raise ModelError(
            f"The zoo has no series {name!r}. It has: {', '.join(sorted(SERIES)) or 'none'}.{single} Pass the folder "
            "that hc.finetune wrote."
        )
    folder = SERIES[name].folder
    if not folder.is_dir():
        raise ModelError(
            f"zoo:{name} does not come with the installed package, and {folder} does not exist. Take experiments/"
            f"series/{name} from the repository of hc_interp and pass that folder, or use zoo:tiny-overlap."
        )
    return folder


def broken(path: Path, why: str) -> str:
    """The message for a damaged file of the zoo."""
    return f"{path} is broken: {why}. Reinstall hc-interp to restore the file."
