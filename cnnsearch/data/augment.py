"""Augmentation of a batch on its device, each image by its own draws."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
        """One trial's draws for an epoch of `count` images; nothing is drawn for what is off."""
        flips = torch.rand(1, count, generator=generator) < 0.5 if self.flip else None
        places = 2 * self.crop + 1
        corners = torch.randint(places, (1, count, 2), generator=generator) if self.crop else None
        return Draws(self.crop, flips, corners)


@dataclass(frozen=True, eq=False)
class Draws:
    """The draws of an epoch for T trials.

    Args:
        crop: see `Augmentation`.
        flips: bool [T, N], or None.
        corners: row and column of each window in the padded image, int64 [T, N, 2], or None.
    """

    crop: int
    flips: Tensor | None
    corners: Tensor | None

    @classmethod
    def stack(cls, draws: Sequence[Draws]) -> Draws:
        """Those of several trials, each drawn alone."""
        flips = [one.flips for one in draws if one.flips is not None]
        corners = [one.corners for one in draws if one.corners is not None]
        return cls(
            draws[0].crop,
            torch.cat(flips) if flips else None,
            torch.cat(corners) if corners else None,
        )

    def to(self, device: torch.device) -> Draws:
        """The same on a device."""
        return self._each(lambda drawn: drawn.to(device))

    def keep(self, trials: Tensor) -> Draws:
        """Those of some trials, int64 [T']."""
        return self._each(lambda drawn: drawn[trials])

    def apply(self, images: Tensor, start: int, end: int) -> Tensor:
        """Flip and crop a batch by the draws from `start` to `end`.

        Args:
            images: uint8 [T * B, C, H, W], trial after trial.
        """
        if self.flips is not None:
            flips = self.flips[:, start:end].reshape(-1, 1, 1, 1)
            images = torch.where(flips, images.flip(3), images)
        if self.corners is not None:
            images = _windows(images, self.corners[:, start:end].reshape(-1, 2), self.crop)
        return images

    def _each(self, change: Callable[[Tensor], Tensor]) -> Draws:
        flips, corners = self.flips, self.corners
        return Draws(
            self.crop,
            None if flips is None else change(flips),
            None if corners is None else change(corners),
        )


def _windows(images: Tensor, corners: Tensor, crop: int) -> Tensor:
    """The windows [B, C, H, W] at `corners` [B, 2] of the zero-padded images."""
    _, _, height, width = images.shape
    padded = F.pad(images, (crop, crop, crop, crop))
    # A view [B, C, 2 crop + 1, 2 crop + 1, H, W] of all windows; one index takes each image's own.
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)
    batch = torch.arange(len(images), device=images.device)
    return windows[batch, :, corners[:, 0], corners[:, 1]]
