"""What is subtracted from an image and what it is divided by, from the training part only."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from cnnsearch import catalog

_CHUNK = 4096


@dataclass(frozen=True, eq=False)
class Preprocessing:
    """(pixel - mean) * factor, the scale of the pixels included.

    Args:
        mean: float32 [C, H, W] or [C, 1, 1], in pixels of 0..255; None to subtract nothing.
        factor: float32 [1, 1, 1] or [C, 1, 1].
    """

    mean: Tensor | None
    factor: Tensor

    def to(self, device: torch.device) -> Preprocessing:
        """The same on a device."""
        mean = None if self.mean is None else self.mean.to(device)
        return Preprocessing(mean, self.factor.to(device))

    def __call__(self, images: Tensor) -> Tensor:
        """Images uint8 [B, C, H, W] as float32."""
        floats = images.float()
        if self.mean is not None:
            floats.sub_(self.mean)
        return floats.mul_(self.factor)


def preprocessing(name: str, pixels: str, images: Tensor, index: Tensor) -> Preprocessing:
    """Measure what a row of `catalog.PREPROCESSORS` needs.

    Args:
        name: the row.
        pixels: "unit" for 0..1, "raw" for 0..255. A division by the deviation cancels it.
        images: uint8 [N, C, H, W], on the CPU, so that all devices get the same numbers.
        index: int64 [n], the training part.
    """
    row = catalog.PREPROCESSORS[name]
    factor = torch.full((1, 1, 1), 1 / 255 if pixels == "unit" else 1.0, dtype=torch.float64)
    mean = None
    if row.mean is not None:
        mean = _mean_image(images, index)
        if row.mean == "channel":
            mean = mean.mean((1, 2), keepdim=True)
    if row.std:
        factor = 1 / _deviation(images, index)
    return Preprocessing(None if mean is None else mean.float(), factor.float())


def _mean_image(images: Tensor, index: Tensor) -> Tensor:
    """Float64 [C, H, W]; the sums are of integers, so exact."""
    total = torch.zeros(images.shape[1:], dtype=torch.int64)
    for rows in torch.split(index, _CHUNK):
        total += images[rows].sum(0)
    return total.double() / len(index)


def _deviation(images: Tensor, index: Tensor) -> Tensor:
    """Standard deviation of all pixels of a channel, float64 [C, 1, 1]; 1 for a constant one."""
    sums = torch.zeros(images.shape[1], dtype=torch.int64)
    squares = torch.zeros_like(sums)
    for rows in torch.split(index, _CHUNK):
        values = images[rows].int()
        sums += values.sum((0, 2, 3))
        squares += values.square_().sum((0, 2, 3))
    count = len(index) * images[0, 0].numel()
    # Python's integers: no overflow, and no digits lost where a deviation is small.
    pairs = zip(squares.tolist(), sums.tolist(), strict=True)
    deviations = [math.sqrt(count * square - total * total) / count for square, total in pairs]
    return torch.tensor([d or 1.0 for d in deviations], dtype=torch.float64)[:, None, None]
