"""Activations with gradients of our own: torch's to the last digit, ties and edges included."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from cnnsearch.model.activations import Maxout, PReLU

SHAPES = [(6, 8), (3, 8, 5, 4)]
EDGES = torch.tensor([0.0, -0.0, 1.0, -1.0, 1e-30, -1e30, 3.0, -2.0])


def inputs(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Draws with ties between the halves of the channels, and with edges in the last row."""
    x = torch.randn(shape, generator=torch.Generator().manual_seed(4), dtype=dtype)
    x[0] = x[0].round()
    x[1, :4] = x[1, 4:]
    x[-1] = EDGES.to(dtype).view(-1, *[1] * (len(shape) - 2)).expand(shape[1:])
    if x.ndim == 4:
        x = x.contiguous(memory_format=torch.channels_last)
    return x.requires_grad_()


def gradients(out: Tensor, *of: Tensor) -> tuple[Tensor, ...]:
    draws = torch.Generator().manual_seed(5)
    return torch.autograd.grad(out, of, torch.randn(out.shape, generator=draws, dtype=out.dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_prelu_is_torchs(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    x = inputs(shape, dtype)
    for slope in (0.25, -0.5, 0.0, 1.0, 2.0):
        ours, theirs = PReLU().to(dtype), nn.PReLU().to(dtype)
        for layer in (ours, theirs):
            nn.init.constant_(layer.weight, slope)
        assert torch.equal(ours(x), theirs(x))
        found, wanted = (gradients(layer(x), x, layer.weight) for layer in (ours, theirs))
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_maxout_is_torchs(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    x = inputs(shape, dtype)
    wanted = torch.maximum(*x.chunk(2, 1))
    found = Maxout()(x)
    assert torch.equal(found, wanted)
    assert torch.equal(*(gradients(out, x)[0] for out in (found, wanted)))


def test_maxout_of_more_pieces() -> None:
    x = inputs((5, 8), torch.float64)
    wanted = x.view(5, 4, 2).amax(1)
    assert torch.equal(Maxout(4)(x), wanted)
    torch.autograd.gradcheck(Maxout(4), torch.randn(5, 8, dtype=torch.float64, requires_grad=True))
