"""How long a trial and a search will take."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from itertools import islice, pairwise

import torch

from cnnsearch import data, runner
from cnnsearch.config import Config
from cnnsearch.data.trial import Epoch
from cnnsearch.guard import Diverged, DivergenceGuard
from cnnsearch.preflight.examine import Preflight
from cnnsearch.process import settle
from cnnsearch.records import Params
from cnnsearch.train import Batches, train

# A trial's time is read off epochs of so many steps, after one of a single step to warm up.
_TIMED_STEPS = (1, 4)


def default_jobs(device: torch.device, threads: int) -> int:
    """Workers where the user does not say: all cores on a CPU, one on an accelerator."""
    if device.type != "cpu":
        return 1
    usable = getattr(os, "sched_getaffinity", None)  # fewer than the machine's, in a container
    cores = len(usable(0)) if usable else os.cpu_count() or 1
    return max(1, cores // threads)


def estimate_seconds(configs: Sequence[Config], ready: Preflight) -> float | None:
    """Mean time of one trial's training, from a few steps of each of `configs`, single runs.

    None where not one of them can be trained. Divergence and pruning shorten a search, workers that
    share the machine lengthen it; neither is foreseen.
    """
    times = [
        config.data.folds * seconds
        for config in configs
        if (seconds := _fold_seconds(config, ready))
    ]
    return sum(times) / len(times) if times else None


def _fold_seconds(config: Config, ready: Preflight) -> float | None:
    """A line through the times of a short and a longer epoch: what is fixed, and what a step adds.

    Fixed is one batch of the validation split, for which all are counted.
    """
    whole = data.prepare(ready.images, config.data, ready.device)
    times = _epoch_seconds(config, whole)
    if times is None:
        return None
    short, long = times
    batch = config.train.batch_size
    few, more = (min(steps, whole.steps(batch)) for steps in _TIMED_STEPS)
    if few == more:  # the whole epoch was timed
        return config.train.epochs * long
    step = max(0.0, long - short) / (more - few)
    fixed = max(0.0, long - step * more)
    validations = math.ceil(whole.validation_size / whole.evaluation_batch)
    return config.train.epochs * (whole.steps(batch) * step + validations * fixed)


def _epoch_seconds(config: Config, whole: data.TrialData) -> list[float] | None:
    """Of an epoch of each of the numbers of steps; None if it diverges.

    Where one thread computes this is its CPU time: workers that load torch meanwhile do not count.
    """
    harmless: Params = {"lr": 1e-6, "epochs": 3, "warmup_epochs": 0.0, "init": "he"}
    config = config.at(harmless, config.seed)
    guard = DivergenceGuard(whole.classes, None, 10**9)
    order = torch.Generator().manual_seed(config.seed)
    settle(config.threads, config.train)
    alone = whole.device.type == "cpu" and config.threads == 1
    clock = time.thread_time if alone else time.perf_counter
    try:
        network = runner.make_network(config, whole, whole.device)
        lengths = FewSteps(whole, _TIMED_STEPS[0], _TIMED_STEPS)
        looked = [clock() for _ in train(network, lengths, config.train, guard, order)]
    except (Diverged, RuntimeError):  # out of memory among them: the trial itself will say so
        return None
    return [after - before for before, after in pairwise(looked)]


class FewSteps:
    """The first batches of a data set in the place of all, and one of the validation split."""

    def __init__(self, whole: data.TrialData, count: int, then: Sequence[int] = ()) -> None:
        """Give so many batches in the first epoch, and in those after it as `then` says."""
        self.whole = whole
        self._count = count
        self._then = iter(then)

    def steps(self, batch_size: int) -> int:
        """Batches of the next epoch."""
        return min(self._count, self.whole.steps(batch_size))

    def batches(self, batch_size: int, generator: torch.Generator) -> Batches:
        """The first ones of a new order."""
        return islice(self.whole.batches(batch_size, generator), self._next())

    def epoch(self, batch_size: int, generators: Sequence[torch.Generator]) -> Epoch:
        """Those of a group."""
        epoch = self.whole.epoch(batch_size, generators)
        epoch.bounds = epoch.bounds[: self._next()]
        return epoch

    def validation_batches(self, size: int | None = None) -> Batches:
        """One batch for all."""
        return islice(self.whole.validation_batches(size), 1)

    def _next(self) -> int:
        now, self._count = self._count, next(self._then, self._count)
        return now
