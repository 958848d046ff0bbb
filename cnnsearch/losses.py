"""The losses of an epoch's steps, left on the device until a window of them is full."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from cnnsearch.guard import Diverged, DivergenceGuard

STRETCH_IMAGES = 100
"""Losses are compared within an epoch as means over so many images, whatever the batch size."""

EpochMeans = tuple[float, float, list[float]]
"""Mean loss and accuracy (0..1) over an epoch's images, and the mean losses of its stretches."""


class Losses:
    """Of one trial, or of the T slots of a group that takes its steps together.

    Attributes:
        lost: by slot, what its guard rejected; it is not looked at again.
        steps: taken so far. Between epochs, after `end_epoch`, nothing else is kept.
    """

    def __init__(self, guards: Sequence[DivergenceGuard]) -> None:
        self.lost: dict[int, Diverged] = {}
        self._guards: list[DivergenceGuard | None] = list(guards)
        self._check_every = guards[0].check_every
        self.steps = 0
        self._pending: list[Tensor] = []
        self._correct: list[Tensor] = []
        self._sizes: list[int] = []
        self._losses: list[list[float]] = []

    def add(self, losses: Tensor, correct: Tensor, size: int, epoch: int) -> None:
        """Take a step's mean losses and numbers of right guesses, [T] each; look if a window is
        full.

        Args:
            size: images of each trial's batch.
        """
        self._pending.append(losses)
        self._correct.append(correct)
        self._sizes.append(size)
        self.steps += 1
        if self.steps % self._check_every == 0:
            self.look(epoch)

    def look(self, epoch: int) -> None:
        """Bring what is pending from the device, and show it to the guards."""
        rows: list[list[float]] = torch.stack(self._pending).tolist() if self._pending else []
        self._pending.clear()
        self._losses.extend(rows)
        for slot, guard in enumerate(self._guards):
            if guard is None:
                continue
            try:
                guard.look([row[slot] for row in rows], epoch)
            except Diverged as lost:
                self.lost[slot] = lost
                self.end(slot)

    def end(self, slot: int) -> None:
        """Look at a slot no more."""
        self._guards[slot] = None

    def end_epoch(self) -> list[EpochMeans]:
        """What the epoch measured, by slot, after a look; of slots that ended, anything."""
        count = sum(self._sizes)
        hits: list[int] = torch.stack(self._correct).sum(0).tolist()
        means = []
        for slot, correct in enumerate(hits):
            losses = [row[slot] for row in self._losses]
            total = math.fsum(x * n for x, n in zip(losses, self._sizes, strict=True))
            stretches = list(_stretches(losses, self._sizes))
            means.append((total / count, correct / count, stretches))
        for values in (self._correct, self._sizes, self._losses):
            values.clear()
        return means

    def keep(self, slots: Sequence[int]) -> None:
        """Go on with some slots only, in this order, after a look."""
        assert not self._pending
        self._guards = [self._guards[slot] for slot in slots]
        self._losses = [[row[slot] for slot in slots] for row in self._losses]
        if self._correct:
            index = torch.tensor(slots, device=self._correct[0].device)
            self._correct = [correct[index] for correct in self._correct]


def _stretches(losses: list[float], sizes: list[int]) -> Iterator[float]:
    """Mean losses over steps that together saw at least `STRETCH_IMAGES` images; the rest is left
    out, unless it is all there is."""
    total, count, some = 0.0, 0, False
    for loss, size in zip(losses, sizes, strict=True):
        total, count = total + loss * size, count + size
        if count >= STRETCH_IMAGES:
            yield total / count
            total, count, some = 0.0, 0, True
    if not some:
        yield total / count
