"""Checks that a checkpoint's weights are safetensors files in its own folder.

transformers reads any file that an index names. It opens a pickle by `torch.load`, and follows paths out of the folder.
"""

import json
from pathlib import Path, PurePosixPath
from typing import Any

from hc_interp.errors import ModelError

WEIGHTS, INDEX, SUFFIX = "model.safetensors", "model.safetensors.index.json", ".safetensors"


def check_weight_files(source: str, config: Any, *, local: bool) -> None:
    """Raise `ModelError` if the config or the index names weights that are not safetensors in the folder.

    `source` is a folder or a hub id. From the hub only the index is fetched, or the one file if there is no index.
    Raises `ValueError` or `OSError` for an index that cannot be read.
    """
    index = INDEX
    if (named := getattr(config, "transformers_weights", None)) is not None:
        index = _checked(source, "config.json", named, (SUFFIX, f"{SUFFIX}.index.json"))
    path = _index(source, index, local) if index.endswith(".json") else None
    if path is None:
        return
    record = json.loads(path.read_text(encoding="utf-8"))
    names = record.get("weight_map") if isinstance(record, dict) else None
    if not isinstance(names, dict):
        raise ValueError(f"{path.name} has no weight_map")
    for file in dict.fromkeys(names.values()):
        _checked(source, path.name, file, (SUFFIX,))
        if local:
            _check_inside(Path(source), file)


def _index(source: str, name: str, local: bool) -> Path | None:
    if local:
        path = Path(source) / name
        return path if path.is_file() else None
    from transformers.utils.hub import cached_file

    quiet = {"_raise_exceptions_for_missing_entries": False}
    if name == INDEX and cached_file(source, WEIGHTS, _raise_exceptions_for_connection_errors=False, **quiet):
        return None  # transformers reads the one file that holds everything
    index = cached_file(source, name, **quiet)
    return None if index is None else Path(index)


def _checked(source: str, by: str, file: Any, suffixes: tuple[str, ...]) -> str:
    path = PurePosixPath(str(file).replace("\\", "/"))
    if not isinstance(file, str) or path.is_absolute() or ".." in path.parts or ":" in file:
        raise _refused(source, by, file, "which is outside its folder")
    if not file.endswith(suffixes):
        raise _refused(source, by, file, "which is no safetensors file")
    return file


def _check_inside(folder: Path, file: str) -> None:
    """Raise `ModelError` for a link out of the folder. In the hub's cache, links to the `blobs` folder are allowed."""
    home = folder.resolve()
    homes = [home, home.parent.parent / "blobs"] if home.parent.name == "snapshots" else [home]
    if not any((folder / file).resolve().is_relative_to(home) for home in homes):
        raise _refused(str(folder), INDEX, file, "which is a link out of its folder")


def _refused(source: str, by: str, file: Any, reason: str) -> ModelError:
    return ModelError(
        f"{source} was not loaded: its {by} takes weights from {file!r}, {reason}. Expected safetensors files inside "
        "the folder, since others can run code or are not this model's. Save the model again with save_pretrained, "
        "from a source that you trust."
    )
