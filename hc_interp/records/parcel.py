"""Parcels: objects that are written once into a folder, for the processes that work on it.

A parcel is two files: the tensors, in the safetensors format, and a pickle of everything else. The weights of a model
are never in the pickle. Tensors are mapped from their file, so that the processes of one machine share the memory. An
object that says what it is (`identity()`: a model, contrast pairs) has a parcel of its own, named by its digest. It is
written once for all parcels that hold it, and a process keeps it between parcels.
"""

import hashlib
import io
import pickle
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cloudpickle
import torch
from torch import Tensor

from hc_interp.errors import HCError, ResultError, in_one_line
from hc_interp.files import atomic
from hc_interp.records.digest import Identified, digest
from hc_interp.records.tensor_file import NAMES, dense, read_tensors, write_tensors

SMALL = 1024  # bytes; smaller tensors are pickled
KEPT = 2  # objects with a parcel of their own that a process keeps
MEND = "Delete the folder that holds it (the finished pieces beside that folder stay), and call again."
_kept: "OrderedDict[str, Any]" = OrderedDict()


@dataclass(frozen=True)
class Parcel:
    """Where an object was written, and the SHA-256 of its pickle, which is checked before the pickle is read."""

    folder: Path
    name: str
    sha256: str

    @property
    def pickle(self) -> Path:
        return self.folder / f"{self.name}.pickle"

    @property
    def tensors(self) -> Path:
        return self.folder / f"{self.name}.safetensors"


def write_parcel(folder: Path, value: Any) -> Parcel:
    """Write an object, unless it is there already. Raises `HCError` for one that cannot be pickled."""
    return _write(folder, type(value).__name__.lower(), value, None)


def _write(folder: Path, stem: str, value: Any, whole: Any) -> Parcel:
    buffer = io.BytesIO()
    pickler = _Pickler(buffer, folder, whole)
    try:
        pickler.dump(value)
    except HCError:
        raise
    except Exception as error:  # an object's own reduction can fail in any way
        raise HCError(
            f"This call ({type(value).__name__}) cannot be sent to another process ({in_one_line(error)}). Expected "
            "models, data, sources and functions that can be pickled, without open files, locks or generators. Define "
            "functions in a module, or leave executor= out."
        ) from error
    content = buffer.getvalue()
    sha = hashlib.sha256(content).hexdigest()
    name = f"{stem}-{digest(sha, pickler.tensors)}"
    parcel = Parcel(folder, name, sha)
    if pickler.tensors and not parcel.tensors.exists():
        write_tensors(parcel.tensors, [dense(tensor)[0] for tensor in pickler.tensors])
    if not parcel.pickle.exists():
        with atomic(parcel.pickle) as temporary:
            temporary.write_bytes(content)
    return parcel


def read_parcel(parcel: Parcel) -> Any:
    """The object of a parcel. Raises `ResultError` for files that are missing or were changed."""
    try:
        content = parcel.pickle.read_bytes()
    except OSError as error:
        raise ResultError(
            f"{parcel.pickle} cannot be read on this machine ({error.strerror}). Give resume= a folder on a disk that "
            "all workers see under the same path."
        ) from error
    if hashlib.sha256(content).hexdigest() != parcel.sha256:
        raise ResultError(f"{parcel.pickle} was changed after it was written. {MEND}")
    try:
        tensors = read_tensors(parcel.tensors) if parcel.tensors.exists() else []
    except Exception as error:  # safetensors has errors of its own
        raise ResultError(f"{parcel.tensors} cannot be read ({in_one_line(error)}). {MEND}") from error
    return _Unpickler(io.BytesIO(content), parcel.folder, tensors).load()


class _Pickler(cloudpickle.Pickler):
    """Sets tensors aside, and writes parcels of the objects that have their own. `whole` is such an object itself."""

    def __init__(self, file: io.BytesIO, folder: Path, whole: Any) -> None:
        super().__init__(file, protocol=5)
        self.folder, self.whole = folder, whole
        self.tensors: list[Tensor] = []
        self._index: dict[int, int] = {}

    def persistent_id(self, obj: Any) -> Any:
        if isinstance(obj, Tensor):
            return self._set_aside(obj) if _is_plain(obj) else None
        if obj is self.whole or not (hasattr(type(obj), "identity") and isinstance(obj, Identified)):
            return None
        parcel = _write(self.folder, type(obj).__name__.lower(), obj, obj)
        return "parcel", parcel.name, parcel.sha256, digest(obj)

    def _set_aside(self, tensor: Tensor) -> tuple[Any, ...]:
        if id(tensor) not in self._index:
            self._index[id(tensor)] = len(self.tensors)
            self.tensors.append(tensor)
        is_parameter = isinstance(tensor, torch.nn.Parameter)
        order = dense(tensor)[1]
        return "tensor", self._index[id(tensor)], order, tensor.device.type, is_parameter, tensor.requires_grad


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, folder: Path, tensors: list[Tensor]) -> None:
        super().__init__(file)
        self.folder, self.tensors = folder, tensors
        self._made: dict[int, Tensor] = {}

    def persistent_load(self, pid: Any) -> Any:
        if pid[0] == "parcel":
            return _kept_object(Parcel(self.folder, pid[1], pid[2]), pid[3])
        _, index, order, device, is_parameter, requires_grad = pid
        if index not in self._made:
            tensor = self.tensors[index].permute(order)
            if device != "cpu":
                tensor = _on_device(tensor, device)
            made = torch.nn.Parameter(tensor, requires_grad) if is_parameter else tensor.requires_grad_(requires_grad)
            self._made[index] = made
        return self._made[index]


def _kept_object(parcel: Parcel, expected: str) -> Any:
    """The object of a parcel of its own, which the process keeps. Its content is compared with the digest."""
    if parcel.name not in _kept:
        value = read_parcel(parcel)
        if digest(value) != expected:
            raise ResultError(f"{parcel.tensors} does not hold what was written there. {MEND}")
        _kept[parcel.name] = value
    _kept.move_to_end(parcel.name)
    while len(_kept) > KEPT:
        _kept.popitem(last=False)
    return _kept[parcel.name]


def _on_device(tensor: Tensor, device: str) -> Tensor:
    try:
        return tensor.to(device)
    except (RuntimeError, AssertionError) as error:  # no such device, or torch was built without it
        raise HCError(
            f"The model was on device {device!r}, which this worker lacks ({in_one_line(error)}). Start workers with "
            "a GPU (gpus=1), or load the model with device='cpu'."
        ) from error


def _is_plain(tensor: Tensor) -> bool:
    """Whether a tensor is set aside: a large one of an ordinary type and layout."""
    ordinary = type(tensor) in (Tensor, torch.nn.Parameter) and tensor.layout is torch.strided
    return ordinary and tensor.dtype in NAMES and tensor.nbytes >= SMALL and tensor.is_leaf and not tensor.is_meta
