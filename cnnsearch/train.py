"""The training loop: a generator of epoch results that knows no search and no storage."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from cnnsearch.config.sections import Train
from cnnsearch.guard import DivergenceGuard
from cnnsearch.losses import Losses
from cnnsearch.optimizer import decayed, learning_rate, make_optimizer
from cnnsearch.precision import autocast
from cnnsearch.probe import Prober
from cnnsearch.records import EpochResult

Batches = Iterable[tuple[Tensor, Tensor]]


class TrainingData(Protocol):
    """What the loop asks of data: batches of images [B, C, H, W] and labels [B], on the device."""

    def steps(self, batch_size: int) -> int:
        """Batches of an epoch."""
        ...

    def batches(self, batch_size: int, generator: Generator) -> Batches:
        """The training images in a new order."""
        ...

    def validation_batches(self) -> Batches:
        """The validation split."""
        ...


def train(
    model: nn.Module,
    data: TrainingData,
    section: Train,
    guard: DivergenceGuard,
    generator: Generator,
    prober: Prober | None = None,
) -> Iterator[EpochResult]:
    """Train a model, yielding after each epoch; the caller stops early by not resuming.

    Inside an epoch the device is waited for once every `guard.check_every` steps.

    Args:
        model: initialised, on the device of the data.
        generator: for the order and the augmentation of the images.
        prober: looks at the network after each epoch; that changes no number of the training.

    Raises:
        Diverged: at the first look at the losses that `guard` rejects.
    """
    optimizer = make_optimizer(model, section)
    losses = Losses([guard])
    steps, step = data.steps(section.batch_size), 0
    for epoch in range(1, section.epochs + 1):
        started = time.perf_counter()
        model.train()
        for images, labels in data.batches(section.batch_size, generator):
            lr = learning_rate(section, step, steps)
            for group in optimizer.param_groups:
                group["lr"] = lr
            optimizer.zero_grad(set_to_none=True)
            with autocast(images.device, section.precision):
                scores = model(images)
                loss = F.cross_entropy(scores, labels)
            loss.backward()  # type: ignore[no-untyped-call]
            step += 1
            if prober is not None and step == epoch * steps:
                prober.remember()
            optimizer.step()
            hits = (scores.detach().argmax(1) == labels).sum()
            losses.add(loss.detach()[None], hits[None], len(labels), epoch)
            _raise(losses)
        losses.look(epoch)
        _raise(losses)
        train_loss, train_accuracy, stretches = losses.end_epoch()[0]
        guard.look_at_weights(largest(model), epoch)
        val_loss, val_accuracy = evaluate(model, data.validation_batches(), section.precision)
        if not math.isnan(val_accuracy):  # there are images to validate on
            guard.look_at_validation(val_loss, epoch)
        probe = prober.look(stretches) if prober is not None else None
        seconds = time.perf_counter() - started
        yield EpochResult(
            epoch, lr, train_loss, train_accuracy, val_loss, val_accuracy, seconds, probe
        )


@torch.inference_mode()
def evaluate(model: nn.Module, batches: Batches, precision: str = "fp32") -> tuple[float, float]:
    """Mean cross-entropy and accuracy (0..1) over images, with running averages, no dropout.

    Of no images both are nan. Leaves the model in evaluation mode.
    """
    model.eval()
    losses, correct, count = [], [], 0
    for images, labels in batches:
        with autocast(images.device, precision):
            scores = model(images)
            losses.append(F.cross_entropy(scores, labels, reduction="sum"))
        correct.append((scores.argmax(1) == labels).sum())
        count += len(labels)
    if not count:
        return math.nan, math.nan
    return math.fsum(_read(losses)) / count, sum(_read(correct)) / count


def _raise(losses: Losses) -> None:
    if losses.lost:
        raise losses.lost[0]


def l2_penalty(model: nn.Module, weight_decay: float) -> float:
    """The regularisation loss of the lectures: 0.5 * weight_decay * sum of the squared weights."""
    with torch.no_grad():
        return 0.5 * weight_decay * sum(_read([w.square().sum() for w in decayed(model)]))


def largest(model: nn.Module) -> float:
    """The largest magnitude in parameters and running averages; nan where one of them is nan."""
    values = [
        v.detach() for v in chain(model.parameters(), model.buffers()) if v.is_floating_point()
    ]
    # The largest magnitude, not the sum of squares: that overflows for weights that are finite.
    return float(nn.utils.get_total_norm(values, norm_type=math.inf))


def _read(values: list[Tensor]) -> list[float]:
    """Bring scalars from the device, all at once."""
    return [float(value) for value in torch.stack(values).tolist()] if values else []
