"""Does a damaged file load? Flip random bits in files of every kind that hc_interp saves and reads back.

    python experiments/damage.py [--flips 1000] [--seed 0]

A file of each kind of result is made up, with every kind of value that results hold, and a subnetwork, a run's
manifest, and a finished piece of a search and of a sweep. Each trial flips one bit of one file and reads it as the
package does. A table has a row for each kind of file and counts what came of it: refused as damaged, refused otherwise,
loaded with the value that was saved, loaded with another. Exits with 1 if any of the last is not 0.
"""

import argparse
import dataclasses
import random
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import torch

import hc_interp as hc
from hc_interp.errors import ChecksumError
from hc_interp.patching.shards import Block, BlockStore, block_name
from hc_interp.records.result import MODULES, encode
from hc_interp.search.store import FinishedRun, RunFolder

OUTCOMES = ("refused as damaged", "refused otherwise", "loaded as saved", "loaded with another value")
VALUES = [
    torch.linspace(-1, 1, 12).reshape(3, 4),
    pd.DataFrame({"head": ["L0H1", "L2H0"], "effect": [0.25, float("nan")], "passes": [True, False]}),
    np.arange(6.0).reshape(2, 3),
    {(hc.Head(0, 1), "q"): 1.5, "words": ("é", None, 3)},
    (0.5, float("inf"), "text", True),
    0.1 + 0.2,
]


@dataclasses.dataclass(frozen=True)
class Saved:
    """A saved file: what kind it is, and what reads it."""

    kind: str
    path: Path
    read: Callable[[], Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flips", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        table = damaged(saved_files(Path(folder)), options.flips, random.Random(options.seed))
    print(table.to_string())
    print(table.sum().to_string())
    sys.exit(bool(table[OUTCOMES[-1]].sum()))


def saved_files(folder: Path) -> list[Saved]:
    """One file of each kind that the package saves and reads back."""
    files = []
    for name, module in sorted(MODULES.items()):
        path = made_up(getattr(import_module(module), name), folder / f"{name}.json")
        files.append(Saved(name, path, lambda path=path: hc.read(path)))
    heads = [hc.Head(0, 0), hc.Head(0, 1), hc.Head(1, 0)]
    kept = hc.Subnetwork(heads[:2], heads).save(folder / "kept.json")
    files += [Saved("Subnetwork", kept, lambda: hc.Subnetwork.load(kept))]
    run = hc.RunResults(manifest={"status": "finished", "seconds": {"all": 1.5}, "settings": {"seeds": 4}})
    run.save(folder / "run")
    files += [Saved("manifest", folder / "run" / "manifest.json", lambda: hc.RunResults.load(folder / "run").manifest)]
    searches, blocks = RunFolder(folder / "search", "digest"), BlockStore(folder / "patch", "digest")
    frame, alpha = pd.DataFrame({"step": [0, 1], "loss": [0.5, 0.25]}), torch.linspace(-2, 2, 5)
    searches.write(FinishedRun(0.5, 3, alpha, frame, frame, alpha.exp(), alpha > 0))
    blocks.put(block_name(0, (1, 2)), Block((1, 2), {"effects": torch.linspace(0, 1, 8).reshape(4, 2)}))
    (piece,), (block,) = searches.folder.iterdir(), blocks.folder.iterdir()
    files += [Saved("piece of a search", piece, lambda: searches.read(0.5, 3))]
    return [*files, Saved("piece of a sweep", block, lambda: blocks.read(0, (1, 2)))]


def made_up(kind: Any, path: Path) -> Path:
    """The file of a result whose fields hold values of every kind, in the first order that its class takes."""
    for first in range(len(VALUES)):
        result = object.__new__(kind)
        for place, field in enumerate(dataclasses.fields(kind)):
            object.__setattr__(result, field.name, VALUES[(place + first) % len(VALUES)])
        result.save(path)
        with suppress(hc.ResultError, TypeError):
            encode(hc.read(path))
            return path
    raise hc.ResultError(f"{kind.__name__} takes none of the values that were made up. Add one that it takes.")


def damaged(files: list[Saved], flips: int, rng: random.Random) -> pd.DataFrame:
    """Counts of what came of `flips` flipped bits, a row for each kind of file, which are hit in turn."""
    table = pd.DataFrame(0, index=[file.kind for file in files], columns=[*OUTCOMES])
    for number in range(flips):
        file = files[number % len(files)]
        content = file.path.read_bytes()
        place = rng.randrange(8 * len(content))
        changed = bytearray(content)
        changed[place // 8] ^= 1 << place % 8
        before = encode(file.read())
        file.path.write_bytes(changed)
        table.loc[file.kind, outcome(file, before)] += 1
        file.path.write_bytes(content)
    return table


def outcome(file: Saved, before: Any) -> str:
    with warnings.catch_warnings(record=True):  # that a file has no checksum does not excuse another value
        try:
            after = encode(file.read())
        except ChecksumError as error:
            return OUTCOMES[0] if str(file.path) in str(error) else OUTCOMES[1]
        except hc.HCError:
            return OUTCOMES[1]
    return OUTCOMES[2] if repr(after) == repr(before) else OUTCOMES[3]


if __name__ == "__main__":
    main()
