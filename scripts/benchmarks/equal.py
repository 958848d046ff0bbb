"""Whether contenders did equal work: the same points, epochs and images, learned as well."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from cnnsearch.records import Params

SEEDS_ALL, SEEDS_ROW = 0.02, 0.10
"""What other seeds may change in the mean accuracy of all trials, and of those of one row."""
ERRORS = 3


class UnequalError(Exception):
    """The contenders did not do equal work; one line that says what differs."""


@dataclass(frozen=True)
class Trained:
    """One trial as a contender reports it.

    Args:
        trained: images that steps were taken on, over all epochs.
        validated: images that were measured on, likewise.
        accuracy: on the validation images after the last epoch, 0..1.
        seconds: wall time of the trial, without the start of its process.
    """

    params: Params
    epochs: int
    trained: int
    validated: int
    accuracy: float
    seconds: float

    @property
    def row(self) -> tuple[str, bool]:
        """The activation, and whether there is batch norm."""
        return str(self.params["activation"]), bool(self.params["batchnorm"])

    @property
    def point(self) -> str:
        """The hyperparameters."""
        return ", ".join(f"{name} {self.params[name]}" for name in sorted(self.params))


@dataclass(frozen=True)
class Run:
    """What one contender did.

    Args:
        seconds: wall time of the whole command, its start included.
        at_once: trials that run at the same time.
        trials: in any order.
    """

    name: str
    seconds: float
    at_once: int
    trials: tuple[Trained, ...]

    @property
    def per_hour(self) -> float:
        """Trials an hour."""
        return 3600 * len(self.trials) / self.seconds

    def of_row(self, row: tuple[str, bool]) -> list[Trained]:
        """The trials of an activation, with or without batch norm."""
        return [trial for trial in self.trials if trial.row == row]

    def seconds_of(self, row: tuple[str, bool]) -> float:
        """Mean seconds of a trial of a row, over how many run at once."""
        return statistics.fmean(t.seconds for t in self.of_row(row)) / self.at_once


def check(runs: Sequence[Run]) -> None:
    """Hold all runs against the first.

    Raises:
        UnequalError: they did not do equal work.
    """
    first, *others = runs
    for other in others:
        _same_trials(first, other)
        everything = _rows(first)
        _same_accuracy(first, other, everything, SEEDS_ALL, "all trials")
        for row in everything:
            what = f"{row[0]} {'with' if row[1] else 'without'} batch norm"
            _same_accuracy(first, other, [row], SEEDS_ROW, what)


def allowed(validated: int, trials: int, seeds: float) -> float:
    """By how much two mean accuracies may differ: three standard errors of a difference of two
    shares of so many images, at their widest, and what seeds change."""
    return seeds + ERRORS * math.sqrt(2 * 0.25 / (validated * trials))


def _rows(run: Run) -> list[tuple[str, bool]]:
    return list(dict.fromkeys(trial.row for trial in run.trials))


def _same_trials(first: Run, other: Run) -> None:
    ours, theirs = ({t.point: t for t in run.trials} for run in (first, other))
    if len(first.trials) != len(other.trials) or ours.keys() != theirs.keys():
        raise UnequalError(
            f"{first.name} ran {len(first.trials)} trials and {other.name} {len(other.trials)};"
            f" {len(ours.keys() ^ theirs.keys())} points were run by one of them only"
        )
    for point, one in ours.items():
        for what in ("epochs", "trained", "validated"):
            a, b = getattr(one, what), getattr(theirs[point], what)
            if a != b:
                raise UnequalError(
                    f"{point}: {what} is {a} with {first.name} and {b} with {other.name}"
                )


def _same_accuracy(
    first: Run, other: Run, rows: Sequence[tuple[str, bool]], seeds: float, what: str
) -> None:
    trials = [[t for row in rows for t in run.of_row(row)] for run in (first, other)]
    ours, theirs = (statistics.fmean(t.accuracy for t in some) for some in trials)
    one = trials[0][0]
    most = allowed(one.validated // one.epochs, len(trials[0]), seeds)
    if abs(ours - theirs) > most:
        raise UnequalError(
            f"{what}: mean accuracy is {ours:.3f} with {first.name} and {theirs:.3f} with"
            f" {other.name}, more than {most:.3f} apart"
        )
