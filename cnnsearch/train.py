"""The training loop: a generator of epoch results that knows no search and no storage."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any, Protocol

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


class Progress:
    """How far a model is trained: between epochs, all that the next one goes on from.

    Attributes:
        epoch: the last one that has ended.
    """

    def __init__(
        self, model: nn.Module, section: Train, guard: DivergenceGuard, generator: Generator
    ) -> None:
        self.epoch = 0
        self.optimizer = make_optimizer(model, section)
        self.losses = Losses([guard])
        self._model = model
        self._guard = guard
        self._generator = generator

    def state(self) -> dict[str, Any]:
        """Tensors, shared with what is trained, and plain values."""
        return {
            "epoch": self.epoch,
            "steps": self.losses.steps,
            "model": self._model.state_dict(),  # running averages, and the draws of dropout too
            "optimizer": self.optimizer.state_dict(),
            "guard": self._guard.state(),
            "generator": self._generator.get_state(),
            "random": torch.get_rng_state(),  # which only networks of the user's own draw from
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` told.

        Raises:
            ValueError: it does not fit this model; nothing has changed then.
        """
        before = copy.deepcopy(self.state())
        try:
            self._restore(state)
        except Exception as error:
            self._restore(before)
            raise ValueError(str(error)) from error

    def _restore(self, state: Mapping[str, Any]) -> None:
        self.epoch, self.losses.steps = state["epoch"], state["steps"]
        self._model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self._guard.restore(state["guard"])
        self._generator.set_state(state["generator"])
        torch.set_rng_state(state["random"])


def train(
    model: nn.Module,
    data: TrainingData,
    section: Train,
    guard: DivergenceGuard,
    generator: Generator,
    prober: Prober | None = None,
    progress: Progress | None = None,
) -> Iterator[EpochResult]:
    """Train a model, yielding after each epoch; the caller stops early by not resuming.

    Inside an epoch the device is waited for once every `guard.check_every` steps.

    Args:
        model: initialised, on the device of the data.
        generator: for the order and the augmentation of the images.
        prober: looks at the network after each epoch; that changes no number of the training.
        progress: where to begin; default: at the first epoch.

    Raises:
        Diverged: at the first look at the losses that `guard` rejects.
    """
    progress = progress or Progress(model, section, guard, generator)
    optimizer, losses = progress.optimizer, progress.losses
    steps = data.steps(section.batch_size)
    step = progress.epoch * steps
    for epoch in range(progress.epoch + 1, section.epochs + 1):
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
        progress.epoch = epoch
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
