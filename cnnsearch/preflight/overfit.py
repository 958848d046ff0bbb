"""Whether a network can learn a few images by heart: if not, something in it is broken.

CS231n, lecture 6: overfit a tiny portion of the data first, with regularisation off.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F

from cnnsearch import runner
from cnnsearch.config import Config
from cnnsearch.data import TrialData
from cnnsearch.optimizer import make_optimizer
from cnnsearch.precision import autocast

IMAGES = 20
STEPS = 300
"""At most, full batch."""
_LOSS = 0.1


@dataclass(frozen=True, slots=True)
class Try:
    """One learning rate on the few images.

    Args:
        steps: taken, until the images were known or the loss was not finite.
        loss: the last.
        accuracy: 0..1, likewise.
    """

    lr: float
    steps: int
    loss: float
    accuracy: float

    @property
    def learned(self) -> bool:
        """Whether all images are known."""
        return self.accuracy == 1.0 and math.isfinite(self.loss)


def overfit(config: Config, images: TrialData, rates: Sequence[float]) -> list[Try]:
    """Try learning rates until one is enough; without dropout, weight decay and augmentation."""
    tries: list[Try] = []
    for lr in rates:
        tries.append(_try(config, images, lr))
        if tries[-1].learned:
            break
    return tries


def best(tries: Sequence[Try]) -> Try:
    """The most accurate; of equals the one with the lowest loss."""
    return max(tries, key=lambda t: (math.isfinite(t.loss), t.accuracy, -t.loss))


def _try(config: Config, images: TrialData, lr: float) -> Try:
    model = config.model.model_copy(update={"dropout": 0.0})
    section = config.train.model_copy(update={"lr": lr, "weight_decay": 0.0})
    network = runner.make_network(replace(config, model=model), images, images.device)
    optimizer = make_optimizer(network, section)
    pixels, labels = _few(images)
    network.train()
    for step in range(STEPS + 1):
        with autocast(pixels.device, section.precision):
            scores = network(pixels)
            loss = F.cross_entropy(scores, labels)
        correct = (scores.argmax(1) == labels).float().mean()
        value, accuracy = torch.stack([loss.detach(), correct]).tolist()
        if step == STEPS or not math.isfinite(value) or (accuracy == 1.0 and value < _LOSS):
            break
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return Try(lr, step, value, accuracy)


def _few(images: TrialData) -> tuple[torch.Tensor, torch.Tensor]:
    """Training images from all over their order: its first ones may be of few classes."""
    count = min(IMAGES, images.train_size)
    rows = images.train[:: images.train_size // count][:count]
    return replace(images, train=rows, train_size=count).probe(count)
