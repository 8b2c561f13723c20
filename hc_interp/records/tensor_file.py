"""Files of tensors in the safetensors format, in which every large tensor begins at a multiple of 64 bytes.

safetensors' own writer aligns to 8 bytes. Kernels can round otherwise at another alignment, and results must be equal
to the byte whether weights were allocated by torch or mapped from a file.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from hc_interp.files import atomic

ALIGNMENT = 64  # bytes; torch allocates at such addresses
NAMES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64",
    torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
}  # fmt: skip


def write_tensors(path: Path, tensors: Sequence[Tensor], about: Mapping[str, str] | None = None) -> None:
    """Write contiguous tensors of the types in `NAMES`. The file appears whole. The i-th tensor is called "i".

    `about` is text that stands in the header (`read_header`).
    """
    # Those that fill whole multiples of the alignment come first, so that each of them begins at one.
    order = sorted(range(len(tensors)), key=lambda i: tensors[i].nbytes % ALIGNMENT != 0)
    header: dict[str, Any] = {} if about is None else {"__metadata__": dict(about)}
    end = 0
    for i in order:
        start, end = end, end + tensors[i].nbytes
        entry = {"dtype": NAMES[tensors[i].dtype], "shape": list(tensors[i].shape), "data_offsets": [start, end]}
        header[str(i)] = entry
    text = json.dumps(header).encode()
    text += b" " * (-(8 + len(text)) % ALIGNMENT)
    with atomic(path) as temporary, temporary.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for i in order:
            file.write(tensors[i].detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)


def read_tensors(path: Path) -> list[Tensor]:
    """The tensors of a file that `write_tensors` wrote, mapped from it; those that are not aligned are copied."""
    with safe_open(path, "pt") as file:
        tensors = [file.get_tensor(str(i)) for i in range(len(file.keys()))]
    return [tensor if tensor.data_ptr() % ALIGNMENT == 0 else tensor.clone() for tensor in tensors]


def read_header(path: Path) -> dict[str, str]:
    """The `about` of a file that `write_tensors` wrote."""
    with safe_open(path, "pt") as file:
        return file.metadata() or {}


def dense(tensor: Tensor) -> tuple[Tensor, tuple[int, ...]]:
    """A contiguous tensor of the same memory order, and the permutation that gives the tensor back."""
    axes = sorted(range(tensor.dim()), key=lambda axis: -tensor.stride(axis))
    inverse = tuple(axes.index(axis) for axis in range(tensor.dim()))
    return tensor.detach().permute(axes).contiguous(), inverse
