"""How long a trial and a search will take."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import torch

from cnnsearch import data, runner
from cnnsearch.config import Config
from cnnsearch.data.trial import Epoch
from cnnsearch.guard import Diverged, DivergenceGuard
from cnnsearch.preflight.examine import Preflight
from cnnsearch.process import settle
from cnnsearch.records import Params
from cnnsearch.train import Batches, train

# A trial's time is read off epochs of so many steps.
_TIMED_STEPS = (2, 6)


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
    few, more = (FewSteps(whole, steps) for steps in _TIMED_STEPS)
    short, long = (
        _epoch_seconds(config, few, ready.device),
        _epoch_seconds(config, more, ready.device),
    )
    if short is None or long is None:
        return None
    batch = config.train.batch_size
    added = more.steps(batch) - few.steps(batch)
    if not added:  # the whole epoch was timed
        return config.train.epochs * long
    step = max(0.0, long - short) / added
    fixed = max(0.0, long - step * more.steps(batch))
    validations = math.ceil(whole.validation_size / whole.evaluation_batch)
    return config.train.epochs * (whole.steps(batch) * step + validations * fixed)


def _epoch_seconds(config: Config, few: FewSteps, device: torch.device) -> float | None:
    """The faster of two epochs over a few steps, after one to warm up; None if it diverges."""
    harmless: Params = {"lr": 1e-6, "epochs": 3, "warmup_epochs": 0.0, "init": "he"}
    config = config.at(harmless, config.seed)
    guard = DivergenceGuard(few.whole.classes, None, 10**9)
    order = torch.Generator().manual_seed(config.seed)
    settle(config.threads, config.train)
    try:
        network = runner.make_network(config, few.whole, device)
        epochs = list(train(network, few, config.train, guard, order))
    except (Diverged, RuntimeError):  # out of memory among them: the trial itself will say so
        return None
    return min(epoch.seconds for epoch in epochs[1:])


@dataclass(frozen=True)
class FewSteps:
    """The first batches of a data set in the place of all, and one of the validation split."""

    whole: data.TrialData
    count: int

    def steps(self, batch_size: int) -> int:
        """Batches of an epoch."""
        return min(self.count, self.whole.steps(batch_size))

    def batches(self, batch_size: int, generator: torch.Generator) -> Batches:
        """The first ones of a new order."""
        return islice(self.whole.batches(batch_size, generator), self.count)

    def epoch(self, batch_size: int, generators: Sequence[torch.Generator]) -> Epoch:
        """Those of a group."""
        epoch = self.whole.epoch(batch_size, generators)
        epoch.bounds = epoch.bounds[: self.count]
        return epoch

    def validation_batches(self, size: int | None = None) -> Batches:
        """One batch for all."""
        return islice(self.whole.validation_batches(size), 1)
