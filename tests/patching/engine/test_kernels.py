"""The fast products equal the plain ones."""

import pytest
import torch
import torch.nn.functional as F

from hc_interp.patching.engine.kernels import attend_first, attention, linear


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(7,), (3, 4), (2, 8, 5), (4, 5, 16)])
def test_linear(dtype, shape) -> None:
    x, weight, bias = (torch.randn(*s, dtype=dtype) for s in ((*shape, 24), (40, 24), (40,)))
    tolerance = 1e-4 if dtype == torch.float32 else 1e-12
    for b in (bias, None):
        torch.testing.assert_close(linear(x, weight, b), F.linear(x, weight, b), atol=tolerance, rtol=0)


@pytest.mark.parametrize("pos", [1, 15, 16, 17])
def test_attention(pos) -> None:
    q, k, v = torch.randn(3, 2, pos, 4, 6, dtype=torch.float64)
    expected = F.scaled_dot_product_attention(*(x.transpose(1, 2) for x in (q, k, v))).transpose(1, 2)
    torch.testing.assert_close(attention(q, k, v), expected, atol=1e-12, rtol=0)
    torch.testing.assert_close(attention(q[None], k[None], v[None])[0], expected, atol=1e-12, rtol=0)


def test_attention_with_its_own_scale_and_added_scores() -> None:
    """Of each head and each row."""
    q, k, v = torch.randn(3, 2, 7, 4, 6, dtype=torch.float64)
    added = torch.randn(2, 4, 7, 7, dtype=torch.float64)
    expected = F.scaled_dot_product_attention(*(x.transpose(1, 2) for x in (q, k, v)), attn_mask=added, scale=0.3)
    torch.testing.assert_close(attention(q, k, v, added, 0.3), expected.transpose(1, 2), atol=1e-12, rtol=0)
    eye = torch.eye(6, dtype=torch.float64).expand(4, 6, 6)
    keys = torch.zeros(4, 6, 24, dtype=torch.float64)
    for head in range(4):
        keys[head, :, 6 * head : 6 * head + 6] = eye[head]
    values, zeros = keys.roll(1, dims=1), torch.zeros(4, 6, dtype=torch.float64)
    x = k.flatten(-2)  # k are the stream's own parts, and v these with their entries moved
    expected = attention(q, k, k.roll(1, dims=-1), added, 0.3)[:, 0]
    result = attend_first(x, q[:, 0], keys, values, zeros, added[:, :, 0].mT, 0.3)
    torch.testing.assert_close(result, expected, atol=1e-12, rtol=0)


def test_attention_of_the_first_position() -> None:
    x = torch.randn(5, 9, 24, dtype=torch.float64)
    weights = torch.randn(3, 4, 6, 24, dtype=torch.float64)
    biases = torch.randn(3, 4, 6, dtype=torch.float64)
    q, k, v = (torch.einsum("bpm,hdm->bphd", x, w) + b for w, b in zip(weights, biases, strict=True))
    result = attend_first(x, q[:, 0], weights[1], weights[2], biases[2])
    torch.testing.assert_close(result, attention(q, k, v)[:, 0], atol=1e-10, rtol=0)
