"""What is compared between trials, read off a trial's curve."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import replace

from cnnsearch.records import EpochResult

DIRECTIONS = {"val_accuracy": "maximize", "val_loss": "minimize"}


def measured(result: EpochResult, objective: str) -> float:
    """The objective after one epoch."""
    number = getattr(result, objective)
    assert isinstance(number, float)
    return number


def best_epoch(curve: Sequence[EpochResult], objective: str) -> int | None:
    """The epoch with the best objective, the earliest of equals; None without epochs."""
    choose = max if DIRECTIONS[objective] == "maximize" else min
    if not curve:
        return None
    return choose(curve, key=lambda result: measured(result, objective)).epoch


def value(curve: Sequence[EpochResult], objective: str, at: str) -> float | None:
    """A trial's value: the objective at its best or at its last epoch; None without epochs."""
    if not curve:
        return None
    if at == "last":
        return measured(curve[-1], objective)
    choose = max if DIRECTIONS[objective] == "maximize" else min
    return choose(measured(result, objective) for result in curve)


def mean_curve(folds: Sequence[Sequence[EpochResult]]) -> list[EpochResult]:
    """The mean of the curves of several folds, epoch by epoch, as far as all of them go.

    Learning rate and probe are the first one's; the seconds are the sum, which is what it cost.
    """
    return [_mean(results) for results in zip(*folds, strict=False)]


def _mean(results: Sequence[EpochResult]) -> EpochResult:
    if len(results) == 1:
        return results[0]
    return replace(
        results[0],
        train_loss=statistics.fmean(one.train_loss for one in results),
        train_accuracy=statistics.fmean(one.train_accuracy for one in results),
        val_loss=statistics.fmean(one.val_loss for one in results),
        val_accuracy=statistics.fmean(one.val_accuracy for one in results),
        seconds=math.fsum(one.seconds for one in results),
    )


def fold_values(folds: Sequence[Sequence[EpochResult]], objective: str, at: str) -> list[float]:
    """The objective of each fold at one epoch for all: where their mean is best, or the last.

    Their mean is the value of the mean curve. Each at its own best epoch, they would be too good.
    """
    curve = mean_curve(folds)
    epoch = best_epoch(curve, objective) if at == "best" else len(curve)
    return [measured(fold[epoch - 1], objective) for fold in folds] if epoch else []
