"""`ValueCache`: activations and logits that several pieces need, computed by one worker and read by the others.

A file is named by the digest of everything that shapes its values: the model, the data, the sites, the interventions,
the number of threads and the versions. It appears whole, with a checksum, and is mapped into memory. A value that is
read has the bytes and the memory layout of the one that was written, so that no result depends on the cache. The files
together have a limit; above it the oldest ones are dropped, and computed again where they are needed.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hc_interp.errors import HCError, in_one_line, warn
from hc_interp.records.digest import digest
from hc_interp.records.lease import leased, wait_a_little
from hc_interp.records.provenance import versions
from hc_interp.records.tensor_file import NAMES, dense, read_header, read_tensors, write_tensors

ACTIVATIONS = "activations"  # in the folder of the pieces
VARIABLE = "HC_INTERP_CACHE_GIB"
LIMIT_GIB = 8.0

Values = Mapping[str, Tensor]
_unseen: dict[Path, int] = {}  # by folder: bytes that this process has written since it last added up the files


def values_name(*shaped_by: Any) -> str:
    """The name of values that are shaped by these objects, by the number of threads and by the versions."""
    return digest(*shaped_by, torch.get_num_threads(), versions())


def cache_limit() -> int:
    """The bytes that a cache may have. Raises `HCError` for a limit in the environment that is no number from 0."""
    given = os.environ.get(VARIABLE, str(LIMIT_GIB))
    try:
        gib = float(given)
    except ValueError:
        gib = -1.0
    if not 0 <= gib < float("inf"):
        raise HCError(
            f"{VARIABLE}={given!r} is set. Expected the gibibytes that activations may take on disk while workers "
            "share them, a number from 0, which turns this off."
        )
    return int(gib * 2**30)


@dataclass(frozen=True)
class ValueCache:
    """A folder of values, whose files have `limit` bytes together at most."""

    folder: Path
    limit: int

    def kept(self, name: str, compute: Callable[[], Mapping[str, Values]], together: str | None = None) -> Values:
        """The values of a name, from their file. Where there is none, `compute` gives them, and they are written.

        `compute` returns the values of this name and of any others that it gets by the way, by name; `together` is a
        name for all of them. Other processes that need one of them wait meanwhile.
        """
        while True:
            if (values := self.get(name)) is not None:
                return values
            with leased(self.folder, together or name) as free:
                if free:
                    if (values := self.get(name)) is not None:
                        return values
                    computed = compute()
                    for other, made in computed.items():
                        self.put(other, made)
                    return computed[name]
            wait_a_little()

    def get(self, name: str) -> Values | None:
        """Values from their file; None where there is none. A damaged file is removed, with a warning."""
        path = self._path(name)
        try:
            return _read(path)
        except FileNotFoundError:
            return None
        except Exception as error:  # safetensors has errors of its own
            warn(f"{path} is damaged ({in_one_line(error)}). It is removed, and its values are computed again.")
            path.unlink(missing_ok=True)
            return None

    def put(self, name: str, values: Values) -> None:
        """Write values, and drop the oldest files where they are too many. What is above the limit is not written.

        Values that cannot be written (a full disk) are left out, with a warning: other workers compute them again.
        """
        size = sum(value.nbytes for value in values.values())
        if size > self.limit or not all(map(_can_be_kept, values.values())):
            return
        self._make_room(size)
        try:
            _write(self._path(name), values)
        except HCError as error:
            warn(f"Activations are not kept for other workers, which compute them again. {error}")

    def clear(self) -> None:
        """Remove all files. Another process that needs one computes it again."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.safetensors"

    def _make_room(self, size: int) -> None:
        """Drop the oldest files until `size` bytes more are within the limit.

        The files are added up only when this process has written a sixteenth of the limit since it last did so:
        looking through many small files takes long on a network disk.
        """
        _unseen[self.folder] = _unseen.get(self.folder, self.limit) + size
        if _unseen[self.folder] < self.limit / 16:
            return
        _unseen[self.folder] = size
        files = []
        for path in self.folder.glob("*.safetensors"):
            with suppress(FileNotFoundError):  # another process dropped it
                files.append((path.stat().st_mtime_ns, path.stat().st_size, path))
        total = sum(n_bytes for _, n_bytes, _ in files)
        for _, n_bytes, path in sorted(files):
            if total + size <= self.limit:
                return
            path.unlink(missing_ok=True)
            total -= n_bytes


def _can_be_kept(value: Tensor) -> bool:
    """Whether a value is of an ordinary type, without an axis along which it is one value repeated."""
    repeated = any(stride == 0 and size > 1 for stride, size in zip(value.stride(), value.shape, strict=True))
    return value.dtype in NAMES and not repeated


def _write(path: Path, values: Values) -> None:
    tensors, orders = zip(*map(dense, values.values()), strict=True) if values else ((), ())
    strides = [value.stride() for value in values.values()]
    about = {"names": list(values), "orders": orders, "strides": strides, "sha256": _sha256(tensors)}
    write_tensors(path, tensors, {"about": json.dumps(about)})


def _read(path: Path) -> Values:
    """Raises `ValueError` for values that are not those that were written."""
    about = json.loads(read_header(path)["about"])
    tensors = read_tensors(path)
    if _sha256(tensors) != about["sha256"]:
        raise ValueError("its checksum does not fit")
    laid_out = map(_laid_out, tensors, about["orders"], about["strides"])
    return dict(zip(about["names"], laid_out, strict=True))


def _laid_out(tensor: Tensor, order: list[int], stride: list[int]) -> Tensor:
    """A tensor in the memory layout in which it was computed: kernels can round otherwise in another one."""
    value = tensor.permute(order)
    if value.stride() == tuple(stride):
        return value
    return torch.empty_strided(value.shape, stride, dtype=value.dtype).copy_(value)  # it was a part of a larger one


def _sha256(tensors: Any) -> str:
    sha = hashlib.sha256()
    for tensor in tensors:
        sha.update(repr((str(tensor.dtype), tuple(tensor.shape))).encode())
        sha.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return sha.hexdigest()
