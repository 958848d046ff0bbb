"""What is compared between trials, read off a trial's curve."""

from __future__ import annotations

from collections.abc import Sequence

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
