"""Trials in groups by a hyperparameter, for `cnnsearch compare --by` and the failure map."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from cnnsearch import ranking
from cnnsearch.records import State, Trial, Value

# More distinct numbers than this are put into intervals.
MOST_VALUES = 8
INTERVALS = 4


@dataclass(frozen=True, slots=True)
class Group:
    """The trials that share a value or an interval of a hyperparameter.

    Args:
        value: the value; None where the hyperparameter is inactive, or for an interval.
        interval: (low, high), high excluded but in the last interval; None for a value.
    """

    value: Value
    interval: tuple[float, float] | None
    trials: tuple[Trial, ...]

    @property
    def complete(self) -> list[Trial]:
        """Those that completed."""
        return [trial for trial in self.trials if trial.state is State.COMPLETE]

    @property
    def mean(self) -> float | None:
        """Mean value of the complete trials; None without one."""
        values = [trial.value for trial in self.complete if trial.value is not None]
        return math.fsum(values) / len(values) if values else None

    @property
    def diverged(self) -> float:
        """Share of the trials that diverged, 0..1."""
        return sum(trial.state is State.DIVERGED for trial in self.trials) / len(self.trials)

    def best(self, direction: str) -> Trial | None:
        """The best complete trial."""
        return ranking.best(self.trials, direction)


def groups(
    trials: Sequence[Trial], name: str, even: tuple[float, float] | None = None
) -> list[Group]:
    """Groups by a hyperparameter, in the order of its values; many numbers in intervals.

    Trials in which it is inactive are the last group.

    Args:
        even: ends of a range whose scale is linear; without it the numbers decide on the scale.
    """
    having = [trial for trial in trials if name in trial.params]
    lacking = tuple(trial for trial in trials if name not in trial.params)
    last = [Group(None, None, lacking)] if lacking else []
    numbers = [v for trial in having if (v := _number(trial.params[name])) is not None]
    if len(numbers) == len(having) and len(set(numbers)) > MOST_VALUES:
        return [*_by_interval(having, numbers, even), *last]
    found: dict[str, list[Trial]] = {}
    for trial in having:
        found.setdefault(repr(trial.params[name]), []).append(trial)
    parts = [Group(part[0].params[name], None, tuple(part)) for part in found.values()]
    return [*sorted(parts, key=_order), *last]


def _by_interval(
    trials: Sequence[Trial], numbers: Sequence[float], even: tuple[float, float] | None
) -> list[Group]:
    edges = _even(*even) if even else _edges(min(numbers), max(numbers))
    found = []
    for i, (low, high) in enumerate(itertools.pairwise(edges)):
        last = i == len(edges) - 2
        inside = tuple(
            trial
            for trial, number in zip(trials, numbers, strict=True)
            if low <= number and (number < high or last)
        )
        if inside:
            found.append(Group(None, (low, high), inside))
    return found


def _edges(low: float, high: float) -> list[float]:
    """Decades where the numbers span more than one, else intervals of equal width."""
    if low > 0 and high / low > 10:
        first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
        return [float(f"1e{exponent}") for exponent in range(first, last + 1)]
    return _even(low, high)


def _even(low: float, high: float) -> list[float]:
    """Intervals of equal width."""
    step = (high - low) / INTERVALS
    return [*(low + i * step for i in range(INTERVALS)), high]


def _number(value: Value) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value)


def _order(group: Group) -> tuple[int, float, str]:
    number = _number(group.value)
    return (1, 0.0, str(group.value)) if number is None else (0, number, "")
