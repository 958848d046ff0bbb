"""The training loop for T trials that take each step together, as one batched network."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from cnnsearch.config.sections import Train
from cnnsearch.fused.network import FusedNetwork
from cnnsearch.fused.optimizers import make_fused_optimizer
from cnnsearch.fused.step import make_step
from cnnsearch.guard import Diverged, DivergenceGuard
from cnnsearch.losses import EpochMeans, Losses
from cnnsearch.optimizer import learning_rate
from cnnsearch.probe import Prober
from cnnsearch.records import EpochResult
from cnnsearch.train import Batches

# Trials that have ended leave once they are so large a share of the slots: each time costs copies
# of all that the others keep, and on a GPU a new CUDA graph.
_LEAVE_AT = 0.25
# Of all slots together; the activations of a validation batch are as many as there are trials.
_EVALUATED_TOGETHER = 16_384
_EVALUATED_LEAST = 64

Results = Mapping[int, EpochResult | Diverged]


class Epoch(Protocol):
    """One epoch of T trials."""

    def batches(self) -> Batches:
        """Images [T, B, C, H, W] and labels [T, B]."""
        ...

    def keep(self, trials: Tensor) -> None:
        """Go on with some trials only, int64 [T']."""
        ...


class GroupData(Protocol):
    """What the loop asks of data, beyond what a single trial's loop does."""

    def steps(self, batch_size: int) -> int:
        """Batches of an epoch."""
        ...

    def epoch(self, batch_size: int, generators: Sequence[torch.Generator]) -> Epoch:
        """The training images in a new order for each trial."""
        ...

    def validation_batches(self, size: int | None = None) -> Batches:
        """The validation split."""
        ...


@dataclass(frozen=True, eq=False)
class Member:
    """One trial of a group: what `cnnsearch.train.train` takes.

    Args:
        model: initialised, on the device of the data. It shares the memory of its slot, so it is
            trained as the group is.
        section: may differ in lr and its schedule, momentum, weight_decay and epochs.
        generator: for the order and the augmentation of its images.
    """

    model: nn.Module
    section: Train
    guard: DivergenceGuard
    generator: torch.Generator
    prober: Prober | None = None


def train_fused(
    members: Sequence[Member], data: GroupData, graph: bool = True
) -> Generator[Results, Collection[int] | None, None]:
    """Train trials of one structure together, yielding after each epoch what each of them did.

    Each has the weights, the order of images, the augmentation and the dropout that it has alone,
    and the same numbers but for rounding. One that diverges, or that the caller sends back as
    stopped, takes no more part: its parameters stay as they are.

    Args:
        members: alike but for values, see `cnnsearch.fusion`.
        graph: on a GPU record a step as a CUDA graph.

    Yields:
        by number of the member its epoch's result, or how it diverged; a member that ended before
        is absent. The caller sends the numbers of those to stop.
    """
    group = _Group(members, data, graph)
    while group.living:
        results = group.epoch()
        stopped = yield results
        group.end(group.living & set(stopped or ()))


class _Group:
    """Who trains in which slot, and all that holds something for each slot.

    Attributes:
        living: numbers of the members that still train.
    """

    def __init__(self, members: Sequence[Member], data: GroupData, graph: bool) -> None:
        self._members = members
        self._graph = graph
        self._data = data
        self._slots = list(range(len(members)))
        self.living = set(self._slots)
        sections = [member.section for member in members]
        self._steps = data.steps(sections[0].batch_size)
        self._network = FusedNetwork([m.model for m in members], sections[0].precision)
        self._optimizer = make_fused_optimizer(self._network.params, sections)
        self._step = make_step(self._network, self._optimizer, self._graph)
        self._losses = Losses([member.guard for member in members])
        self._epoch = 0

    def epoch(self) -> Results:
        """Train for an epoch; members that diverge, or have had their last one, end."""
        started = time.perf_counter()
        self._epoch += 1
        self._begin()
        lost: dict[int, Diverged] = {}
        for step, (images, labels) in enumerate(self._images.batches(), 1):
            if step == self._steps:
                self._remember()
            losses, correct = self._step(images, labels, self._rates[step - 1])
            self._losses.add(losses, correct, labels.shape[1], self._epoch)
            lost |= self._end_lost()
            if not self.living:
                return lost
        self._losses.look(self._epoch)
        lost |= self._end_lost()
        results = lost | (self._measure(started) if self.living else {})
        last = {n for n in self.living if self._epoch >= self._members[n].section.epochs}
        self.end(last | {n for n, how in results.items() if isinstance(how, Diverged)})
        return results

    def end(self, numbers: Collection[int]) -> None:
        """Let members take no more part; they leave their slots when it pays."""
        for number in self.living.intersection(numbers):
            self.living.discard(number)
            slot = self._slots.index(number)
            self._losses.end(slot)
            self._rates[:, slot] = 0.0
        gone = len(self._slots) - len(self.living)
        if self.living and gone >= _LEAVE_AT * len(self._slots):
            self._leave()

    def _begin(self) -> None:
        """Order the images of an epoch, and find the learning rate of each step and slot."""
        self._network.train()
        members = [self._members[number] for number in self._slots]
        generators = [member.generator for member in members]
        self._images = self._data.epoch(members[0].section.batch_size, generators)
        first = (self._epoch - 1) * self._steps
        rates = [
            [learning_rate(member.section, step, self._steps) for member in members]
            for step in range(first, first + self._steps)
        ]
        like = next(iter(self._network.params.values()))
        self._rates = torch.tensor(rates, dtype=like.dtype).to(like.device)
        for slot, number in enumerate(self._slots):
            if number not in self.living:
                self._rates[:, slot] = 0.0

    def _end_lost(self) -> dict[int, Diverged]:
        """End the members whose guards rejected something at the last look."""
        lost = {self._slots[slot]: how for slot, how in self._losses.lost.items()}
        self._losses.lost.clear()
        self.end(lost)
        return lost

    def _leave(self) -> None:
        slots = [slot for slot, number in enumerate(self._slots) if number in self.living]
        index = torch.tensor(slots, device=self._rates.device)
        self._slots = [self._slots[slot] for slot in slots]
        self._network.keep(slots, index)
        self._optimizer.keep(index)
        self._losses.keep(slots)
        self._images.keep(index)
        self._rates = self._rates[:, index]
        self._step = make_step(self._network, self._optimizer, self._graph)

    def _remember(self) -> None:
        for number in self.living:
            prober = self._members[number].prober
            if prober is not None:
                prober.remember()

    def _measure(self, started: float) -> dict[int, EpochResult | Diverged]:
        """What the epoch did to each living member."""
        means = self._losses.end_epoch()
        largest = self._network.largest()
        size = max(_EVALUATED_LEAST, _EVALUATED_TOGETHER // len(self._slots))
        evaluated = self._network.evaluate(self._data.validation_batches(size))
        self._network.show_gradients()
        results: dict[int, EpochResult | Diverged] = {}
        for slot, number in enumerate(self._slots):
            if number not in self.living:
                continue
            try:
                self._members[number].guard.look_at_weights(largest[slot], self._epoch)
                results[number] = self._result(number, means[slot], evaluated[slot], started)
            except Diverged as lost:
                results[number] = lost
        return results

    def _result(
        self, number: int, means: EpochMeans, evaluated: tuple[float, float], started: float
    ) -> EpochResult:
        member, (val_loss, val_accuracy) = self._members[number], evaluated
        if not math.isnan(val_accuracy):  # there are images to validate on
            member.guard.look_at_validation(val_loss, self._epoch)
        train_loss, train_accuracy, stretches = means
        lr = learning_rate(member.section, self._epoch * self._steps - 1, self._steps)
        probe = None if member.prober is None else member.prober.look(stretches)
        seconds = time.perf_counter() - started
        return EpochResult(
            self._epoch, lr, train_loss, train_accuracy, val_loss, val_accuracy, seconds, probe
        )
