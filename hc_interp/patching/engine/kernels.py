"""The products that take most of a sweep's time, on the fastest kernels that PyTorch has for them."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

LANES = 16  # float32 numbers in a vector register; softmax over rows that do not fill whole registers is 8 times slower


def linear(
    x: Float[Tensor, "*rows d_in"], weight: Float[Tensor, "d_out d_in"], bias: Float[Tensor, " d_out"] | None
) -> Float[Tensor, "*rows d_out"]:
    """`x @ weight.T + bias`.

    On a CPU in float32 it is computed as a convolution of width 1. PyTorch gives that to oneDNN, which is about 1.6
    times as fast at these shapes as the BLAS behind `F.linear` (torch 2.13 on AMD Zen 4, 1 and 2 threads). PyTorch does
    so only for 16 images or more, so the rows are split into as many.
    """
    n = x.shape[:-1].numel()
    images = 16 if n % 16 == 0 else x.shape[:-2].numel()
    on_cpu = x.device.type == "cpu" and x.dtype == torch.float32 and torch.backends.mkldnn.is_available()
    if not on_cpu or images < 16:
        return F.linear(x, weight, bias)
    flat = x.reshape(images, -1, 1, x.shape[-1]).permute(0, 3, 1, 2)
    product = F.conv2d(flat, weight[:, :, None, None], bias).permute(0, 2, 3, 1)
    return product.reshape(*x.shape[:-1], weight.shape[0])


def attention(
    q: Float[Tensor, "*rows pos head d_head"],
    k: Float[Tensor, "*rows pos head d_head"],
    v: Float[Tensor, "*rows pos head d_head"],
    added: Float[Tensor, "*#rows head pos pos"] | None = None,
    scale: float | None = None,
) -> Float[Tensor, "*rows pos head d_head"]:
    """Each head's `z`: softmax attention without a mask. `scale` is `1 / sqrt(d_head)` if it is not given; `added` is
    added to the scaled scores.

    On a CPU the scores are padded to whole vector registers, with keys of weight 0.
    """
    n = k.shape[-3]
    width = -(-n // LANES) * LANES if q.device.type == "cpu" else n
    query = (q * (q.shape[-1] ** -0.5 if scale is None else scale)).transpose(-3, -2)
    key, value = k.transpose(-3, -2), v.transpose(-3, -2)
    scores = torch.matmul(query, key.transpose(-2, -1))
    if added is not None:
        scores.add_(added)
    scores = F.pad(scores, (0, width - n), value=-torch.inf)
    return torch.matmul(scores.softmax(-1)[..., :n], value).transpose(-3, -2)


def attend_first(
    x: Float[Tensor, "rows pos d_model"],
    q: Float[Tensor, "rows head d_head"],
    w_k: Float[Tensor, "head d_head d_model"],
    w_v: Float[Tensor, "head d_head d_model"],
    b_v: Float[Tensor, "head d_head"],
    added: Float[Tensor, "#rows pos head"] | None = None,
    scale: float | None = None,
) -> Float[Tensor, "rows head d_head"]:
    """One query's `z` over all positions of `x`, without projecting any position to keys or values.

    Scores are `x . (W_K^T q)`: the key's bias adds the same number at all positions, so the softmax does not depend on
    it. `x` is averaged by the pattern before it is projected to values. This takes `d_model * head` products per
    position for the scores, and as many for the average, instead of `2 d_model^2`. `added` and `scale` are those of
    `attention`.
    """
    query = torch.einsum("rhd,hdm->rmh", q * (q.shape[-1] ** -0.5 if scale is None else scale), w_k)
    scores = torch.matmul(x, query)
    pattern = (scores if added is None else scores + added).softmax(dim=1)
    averaged = torch.matmul(pattern.transpose(1, 2), x)
    return torch.einsum("rhm,hdm->rhd", averaged, w_v) + b_v
