"""Augmentation of a batch on its device, each image by its own draws."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Augmentation:
    """What is done to training images.

    Args:
        flip: left to right, with probability 1/2.
        crop: pixels of zero padding (black, before preprocessing) on each side of the image, of
            which a random window of the old size is taken; 0 for none.
    """

    flip: bool
    crop: int

    def draw(self, count: int, generator: torch.Generator) -> Draws:
        """The draws of an epoch of `count` images; nothing is drawn for what is off."""
        flips = torch.rand(count, generator=generator) < 0.5 if self.flip else None
        places = 2 * self.crop + 1
        corners = torch.randint(places, (count, 2), generator=generator) if self.crop else None
        return Draws(self.crop, flips, corners)


@dataclass(frozen=True, eq=False)
class Draws:
    """Draws of an epoch, or of a batch of it.

    Args:
        crop: see `Augmentation`.
        flips: bool [N], or None.
        corners: row and column of each window in the padded image, int64 [N, 2], or None.
    """

    crop: int
    flips: Tensor | None
    corners: Tensor | None

    def to(self, device: torch.device) -> Draws:
        """The same on a device."""
        flips = None if self.flips is None else self.flips.to(device)
        corners = None if self.corners is None else self.corners.to(device)
        return Draws(self.crop, flips, corners)

    def apply(self, images: Tensor, start: int, end: int) -> Tensor:
        """Flip and crop uint8 [B, C, H, W] by the draws from `start` to `end`."""
        if self.flips is not None:
            images = torch.where(self.flips[start:end, None, None, None], images.flip(3), images)
        if self.corners is not None:
            images = _windows(images, self.corners[start:end], self.crop)
        return images


def _windows(images: Tensor, corners: Tensor, crop: int) -> Tensor:
    """The windows [B, C, H, W] at `corners` [B, 2] of the zero-padded images."""
    _, _, height, width = images.shape
    padded = F.pad(images, (crop, crop, crop, crop))
    # A view [B, C, 2 crop + 1, 2 crop + 1, H, W] of all windows; one index takes each image's own.
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)
    batch = torch.arange(len(images), device=images.device)
    return windows[batch, :, corners[:, 0], corners[:, 1]]
