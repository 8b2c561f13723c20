"""Tells whether the name of a model or tokenizer is a folder or a hub id, and recognises a mistyped folder."""

import difflib
import os
import re
import reprlib
from pathlib import Path
from typing import Any

from hc_interp.errors import ModelError
from hc_interp.models.zoo_cards import MODELS

_HUB_ID = re.compile(r"\w[\w.-]{,95}(/\w[\w.-]{,95})?")
# Hub ids without a user, which only the hub's first models have. Other single words are more often mistyped folders.
_WITHOUT_USER = re.compile(r"(distil)?(bert|roberta|gpt2)\b[\w.-]*")
_CLOSE = 0.8  # the least share of characters that two names have in common if one may be the other, mistyped


def folder_or_hub_id(source: Any) -> tuple[str, bool]:
    """The folder (`~` is the home directory) or hub id of this name, and whether it is a folder.

    Raises `ModelError` at once, without asking the hub, for a source that can be neither, and for a name that is close
    to a folder or to a model of the zoo.
    """
    is_name = isinstance(source, str | Path)
    path = os.path.expanduser(source) if is_name else ""
    if os.path.isdir(path):
        return path, True
    shown = _short(str(source) if is_name else " ".join(reprlib.repr(source).split()))
    matches = _close(path)
    hint = f" Did you mean {' or '.join(matches)}?" if matches else ""
    if os.path.isfile(path):
        hint = f" It is a file: pass its folder, {Path(path).parent}."
    elif not is_name and (field := _holds_a_module(source)):
        raise ModelError(f"A {type(source).__name__} holds a module; expected that itself. Pass its .{field}.")
    if isinstance(source, str) and _HUB_ID.fullmatch(source) and not hint and not _in_a_folder(path):
        return source, False
    raise ModelError(
        f"{shown} is neither a folder, nor zoo:<name>, nor a hub id like 'user/model'.{hint} Pass the folder that "
        "save_pretrained wrote (it holds config.json and model.safetensors)."
    )


def _short(text: str) -> str:
    return text if len(text) <= 300 else f"{text[:300]}..."


def _in_a_folder(path: str) -> bool:
    """Whether the path leads into a folder that exists, other than the current one."""
    parent = os.path.dirname(path)
    return bool(parent) and os.path.isdir(parent)


def _close(path: str) -> list[str]:
    """Existing folders, and names of the zoo, that `path` may be a mistyped form of."""
    if not path:
        return []
    parent, name = os.path.split(path.rstrip("/"))
    if _WITHOUT_USER.fullmatch(path):
        return []
    parents = [parent] if not parent or os.path.isdir(parent) else _close_in(*os.path.split(parent))
    folders = [match for folder in parents for match in _close_in(folder, name)]
    bare = name if not parent else ""
    return folders + [f"zoo:{match}" for match in difflib.get_close_matches(bare, MODELS, 3, _CLOSE)]


def _close_in(parent: str, name: str) -> list[str]:
    """Folders in `parent` whose names are close to `name`."""
    folder = parent or "."
    if not os.access(folder, os.R_OK | os.X_OK):
        return []
    folders = [entry.name for entry in os.scandir(folder) if entry.is_dir()]
    return [os.path.join(parent, match) for match in difflib.get_close_matches(name, folders, 3, _CLOSE)]


def _holds_a_module(source: Any) -> str:
    """The attribute of a pipeline, trainer or wrapped model that holds the module, or "" if there is none."""
    return next((name for name in ("module", "model") if hasattr(getattr(source, name, None), "state_dict")), "")
