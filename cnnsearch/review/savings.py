"""What the pruner and the divergence guard saved: epochs that trials did not run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, dataclass

from cnnsearch.ranking import last_attempts
from cnnsearch.records import State, StudySummary, Trial


@dataclass(frozen=True, slots=True)
class Savings:
    """Epochs of the points that are complete, pruned or diverged; those of each fold count.

    Args:
        full: were every trial run to its last epoch.
        pruned: that pruned trials did not run.
        diverged: that diverged trials did not run; the epoch in which one diverged counts as run,
            however little of it was.
    """

    full: int = 0
    pruned: int = 0
    diverged: int = 0

    @property
    def saved(self) -> int:
        """Epochs that were not run."""
        return self.pruned + self.diverged

    @property
    def run(self) -> int:
        """Epochs that were."""
        return self.full - self.saved

    def __add__(self, other: Savings) -> Savings:
        pairs = zip(astuple(self), astuple(other), strict=True)
        return Savings(*(one + another for one, another in pairs))


def savings(summary: StudySummary, attempts: Iterable[Trial]) -> Savings:
    """What was saved in a study; attempts that were run again do not count, nor failed points."""
    found = Savings()
    for trial in last_attempts(attempts):
        full = _epochs(summary, trial)
        finished = int(trial.facts.get("fold_epochs", trial.epochs))
        if trial.state is State.COMPLETE:
            found += Savings(full)
        elif trial.state is State.PRUNED:
            found += Savings(full, pruned=full - finished)
        elif trial.state is State.DIVERGED:
            found += Savings(full, diverged=full - finished - 1)
    return found


def _epochs(summary: StudySummary, trial: Trial) -> int:
    """How many a trial has, over all folds."""
    epochs = trial.params.get("epochs", summary.config["train"]["epochs"])
    validation = summary.config["data"]["validation"]
    folds = validation["folds"] if isinstance(validation, dict) else 1
    assert isinstance(epochs, int)
    return epochs * int(folds)
