"""Small differences between two state dicts, in the form in which the zoo and series store them.

Each weight matrix `W` has factors in fp16, `W.U` `[out, rank]` and `W.V` `[rank, in]`, whose product is the difference.
Any other tensor is stored whole. It is added to the base's tensor of that name, or used by itself if the base has none.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

StateDict = dict[str, Tensor]


def factored(difference: Mapping[str, Tensor], rank: int) -> StateDict:
    """The difference in fp16: matrices by the `rank` largest terms of their SVD, other tensors whole.

    A matrix of which the factors would not be smaller is stored whole. The error of a factored matrix, in spectral
    norm, is its singular value number `rank + 1` and the rounding of fp16.
    """
    stored: StateDict = {}
    for name, value in difference.items():
        if value.ndim == 2 and rank * sum(value.shape) < value.numel():
            stored[f"{name}.U"], stored[f"{name}.V"] = _factors(value, rank)
        else:
            stored[name] = value.half().cpu()
    return stored


def _factors(matrix: Float[Tensor, "out inp"], rank: int) -> tuple[Float[Tensor, "out r"], Float[Tensor, "r inp"]]:
    """`U sqrt(S)` and `sqrt(S) V`: both factors have numbers of like size, which fp16 rounds least."""
    u, s, v = torch.linalg.svd(matrix.double(), full_matrices=False)
    root = s[:rank].sqrt()
    return (u[:, :rank] * root).half().cpu().contiguous(), (root[:, None] * v[:rank]).half().cpu().contiguous()


def added(base: Mapping[str, Tensor], difference: Mapping[str, Tensor]) -> StateDict:
    """Base plus stored difference, each tensor in its base's type.

    The sum is computed in float64 and rounded once, so that it does not depend on the order in which a machine adds.
    """
    state = dict(base)
    for name, value in difference.items():
        if name.endswith(".V"):
            continue
        if name.endswith(".U"):
            name, value = name[:-2], value.double() @ difference[name[:-2] + ".V"].double()
        if name in state:
            state[name] = (state[name].double() + value.to(state[name].device)).to(state[name].dtype)
        else:
            state[name] = value.float()
    return state
