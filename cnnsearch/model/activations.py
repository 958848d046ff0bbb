"""Activation functions that torch does not have."""

from __future__ import annotations

from functools import reduce

import torch
from torch import Tensor, nn


class Maxout(nn.Module):
    """The maximum of linear pieces (Goodfellow et al. 2013).

    [B, pieces * C, ...] -> [B, C, ...]; the first C channels are the first piece.
    """

    def __init__(self, pieces: int = 2) -> None:
        super().__init__()
        self.pieces = pieces

    def forward(self, x: Tensor) -> Tensor:
        """Take the maximum over the pieces."""
        return reduce(torch.maximum, x.chunk(self.pieces, dim=1))

    def extra_repr(self) -> str:
        """What `print(model)` shows."""
        return f"pieces={self.pieces}"
