"""How long one trial takes, measured on its own network with its own learning rate."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, islice, pairwise, repeat
from typing import Any

import torch

from cnnsearch import data, runner
from cnnsearch.config import Config, from_plain
from cnnsearch.guard import Diverged, DivergenceGuard
from cnnsearch.process import settle
from cnnsearch.train import Batches, evaluate, train

_WARM_UP = 3
_TIMED = 10
# So many windows of the guard: a learning rate far too high is seen in the first.
_WINDOWS = 2
_MOST_STEPS = 100
# Of a large validation split so many batches stand for all.
_EVALUATED = 4


@dataclass(frozen=True, slots=True)
class Pace:
    """What one trial costs, in seconds.

    Args:
        begin_s: its images, its network and the first look at it.
        step_s: median of ten steps after warm-up.
        epoch_s: what an epoch costs beside its steps: evaluation and the look at the layers.
        steps: of an epoch.
        tried: steps that were taken.
        diverged: at which of them it diverged, or None.
        ready: when the process was first ready to train, seconds since 1970.
        process: the process's id.
    """

    begin_s: float
    step_s: float
    epoch_s: float
    steps: int
    epochs: int
    tried: int
    diverged: int | None
    ready: float
    process: int
    folds: int = 1

    @property
    def seconds(self) -> float:
        """Of the whole trial; of one that diverged, as far as it came."""
        steps = self.diverged or self.epochs * self.steps
        fold_s = self.begin_s + steps * self.step_s + steps // self.steps * self.epoch_s
        return fold_s if self.diverged else self.folds * fold_s


def pace(plain: Mapping[str, Any], process: int) -> Pace:
    """Measure a single run, in this process.

    Args:
        plain: its config as plain data.
    """
    config = from_plain(plain)
    settle(config.threads, config.train)
    device = runner.resolve_device(config.device)
    _Begun(config, device)  # to load and warm up, which the first trial of a process pays
    ready = time.time()
    started = time.perf_counter()
    begun = _Begun(config, device)
    _finish(device)
    begin_s = time.perf_counter() - started
    steps = begun.images.steps(config.train.batch_size)
    tried = max(_WARM_UP + _TIMED, min(_WINDOWS * config.abort.check_every, _MOST_STEPS))
    watched = _Watched(begun.images, min(tried, config.train.epochs * steps))
    diverged = _take_steps(config, begun, watched)
    return Pace(
        begin_s,
        statistics.median(watched.times()),
        _epoch_seconds(begun, watched),
        steps,
        config.train.epochs,
        len(watched.clock),
        diverged,
        ready,
        process,
        config.data.folds,
    )


class _Begun:
    """A trial before its first step."""

    def __init__(self, config: Config, device: torch.device) -> None:
        images = data.load(config.data, lambda _: None)
        self.images = data.prepare(images, config.data, device)
        self.precision = config.train.precision
        self.network = runner.make_network(config, self.images, device)
        self.prober = None
        if config.diagnose:
            self.prober = runner.make_prober(config, self.images, self.network)
            self.prober.look()


def _take_steps(config: Config, begun: _Begun, watched: _Watched) -> int | None:
    """The trial's first steps; the step at which it diverged, or None."""
    order = torch.Generator().manual_seed(config.seed)
    guard = DivergenceGuard(begun.images.classes, config.abort.loss_ratio, config.abort.check_every)
    try:
        next(train(begun.network, watched, config.train, guard, order, begun.prober))
    except Diverged as lost:
        return lost.step
    return None


def _epoch_seconds(begun: _Begun, watched: _Watched) -> float:
    """Evaluation and a look, the second time, when nothing has to warm up."""
    taken = 0.0
    for _ in range(2):
        started = time.perf_counter()
        evaluate(begun.network, watched.validation_batches(), begun.precision)
        _finish(begun.images.device)
        evaluated = time.perf_counter()
        if begun.prober is not None:
            begun.prober.look()
        looked = time.perf_counter()
        count = min(begun.images.validation_size, _EVALUATED * begun.images.evaluation_batch)
        share = begun.images.validation_size / count
        taken = (evaluated - started) * share + looked - evaluated
    return taken


@dataclass
class _Watched:
    """The first steps' batches, however many epochs they are, with the time of each."""

    whole: data.TrialData
    count: int
    clock: list[float] = field(default_factory=list)
    """When each step began."""
    _end: float | None = None

    def steps(self, batch_size: int) -> int:
        """Batches of a real epoch, by which schedules go."""
        return self.whole.steps(batch_size)

    def batches(self, batch_size: int, generator: torch.Generator) -> Batches:
        epochs = (self.whole.batches(batch_size, generator) for _ in repeat(None))
        return self._timed(islice(chain.from_iterable(epochs), self.count))

    def validation_batches(self) -> Batches:
        return islice(self.whole.validation_batches(), _EVALUATED)

    def times(self) -> list[float]:
        """Of the steps after warm-up; of all where there were few."""
        marks = [*self.clock, *([self._end] if self._end is not None else [])]
        times = [after - before for before, after in pairwise(marks)]
        return times[_WARM_UP:][:_TIMED] or times or [0.0]

    def _timed(self, batches: Batches) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        iterator = iter(batches)
        while True:
            _finish(self.whole.device)
            now = time.perf_counter()  # with the making of the batch
            batch = next(iterator, None)
            if batch is None:
                self._end = now
                return
            self.clock.append(now)
            yield batch


def _finish(device: torch.device) -> None:
    """Wait for what an accelerator has been given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
