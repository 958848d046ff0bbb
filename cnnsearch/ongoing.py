"""A trial in an executor's hands: what is known of it until it ends."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from cnnsearch.config import Config
from cnnsearch.records import EpochResult, Outcome, Prepared, Start, State, Trial


@dataclass(slots=True)
class Running:
    """A trial in an executor's hands, whole or fold by fold.

    Args:
        tasks: at the executor: which fold each of them is.
        curves: of each fold, as far as it came.
        outcomes: of the folds that have ended.
        heard: when the last message came of it, or it was given to a worker.
        stops: the user wants it ended after its current epoch.
    """

    start: Start
    trial: Trial
    config: Config
    tasks: dict[int, int] = field(default_factory=dict)
    curves: dict[int, list[EpochResult]] = field(default_factory=dict)
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    prepared: Prepared | None = None
    judged: int = 0
    heard: float = field(default_factory=time.monotonic)
    stops: bool = False

    @property
    def next_fold(self) -> int | None:
        """The first fold that no worker was given yet; none after one that ended the trial."""
        lost = any(one.state is not State.COMPLETE for one in self.outcomes.values())
        fold = len(self.curves)
        return fold if fold < self.config.data.folds and not lost else None

    @property
    def epochs(self) -> int:
        """Finished by now, over all folds."""
        return sum(map(len, self.curves.values()))

    @property
    def is_over(self) -> bool:
        """Whether it has finished its last epoch, of all folds."""
        return self.epochs >= self.config.train.epochs * self.config.data.folds

    def first(self, count: int) -> list[list[EpochResult]]:
        """The curves of the first folds, of those that were begun."""
        return [self.curves[fold] for fold in range(count) if fold in self.curves]
