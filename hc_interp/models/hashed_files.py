"""Safetensors files whose SHA-256 a card holds: they are read only if it fits."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from hc_interp.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_hashed(path: Path, sha256: str, mend: str) -> "dict[str, Tensor]":
    """The tensors of a file, read from the bytes whose SHA-256 was checked.

    Raises `ModelError`, which ends with `mend`, for a file that is missing or that has another SHA-256.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}). {mend}") from error
    if (actual := hashlib.sha256(content).hexdigest()) != sha256:
        raise ModelError(
            f"{path} ({len(content):,} bytes) has SHA-256 {actual}; expected {sha256}. The file is truncated, "
            f"corrupted or another version. {mend}"
        )
    try:
        return load(content)
    except SafetensorError as error:
        raise ModelError(f"{path} is not a readable safetensors file ({error}). {mend}") from error
