"""The folders of a search's attempts: their names while they run and after, and the checkpoints.

An attempt writes to a folder of its own, under a temporary name; it gets its name when the attempt
has ended, and from then on nothing is written there: a process that was given up finds no folder.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from cnnsearch import ranking
from cnnsearch.records import Checkpointing, Outcome, Start, State, Trial
from cnnsearch.study.location import study_folder, trial_folder


def partial(study: str, number: int) -> Path:
    """The folder of a trial while it runs."""
    return _partial(trial_folder(study, number))


def _partial(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.partial")


def settle(study: str, number: int) -> None:
    """Give a trial's folder its name; one of an earlier study is kept beside it."""
    _settle(trial_folder(study, number))


def _settle(folder: Path) -> None:
    running = _partial(folder)
    if not running.exists():
        return
    older = 0
    while folder.exists():
        older += 1
        kept = folder.with_name(f"{folder.name}.old{older}")
        if not kept.exists():
            folder.rename(kept)
    running.rename(folder)


def settle_all(study: str) -> None:
    """Give the folders that a dead coordinator left unfinished their names."""
    for running in study_folder(study).glob(".*.partial"):
        _settle(running.with_name(running.name.removeprefix(".").removesuffix(".partial")))


class KeptCheckpoints:
    """Which checkpoints of a search are kept, and for how long: until their point has a result.

    Args:
        study: its name.
        every: epochs between those of a trial; None: none are kept, and none used.
    """

    def __init__(self, study: str, every: int | None) -> None:
        self._study = study
        self._every = every
        self._killed: dict[str, list[int]] = {}
        self._error: str | None = None
        self._told = False

    def find(self, attempts: Sequence[Trial]) -> None:
        """Find those that earlier runs of the search left, and delete those without a use.

        Args:
            attempts: all of the study.
        """
        last = ranking.last_attempts(attempts)
        ended = {trial.key for trial in last if trial.state is not State.KILLED}
        for trial in attempts:
            if trial.key in ended:
                remove(trial_folder(self._study, trial.number))
            else:
                self._killed.setdefault(trial.key, []).append(trial.number)

    def plan(self, start: Start, number: int, fold: int, folds: int) -> Checkpointing | None:
        """What a worker is told of them.

        Args:
            number: of the trial.
            folds: of the trial; `fold` counts from 0.
        """
        if self._every is None:
            return None
        name = "checkpoint.pt" if folds == 1 else f"checkpoint-fold{fold + 1}.pt"
        earlier = [trial_folder(self._study, k) / name for k in self._killed.get(start.key, ())]
        return Checkpointing(
            self._every,
            str(partial(self._study, number) / name),
            tuple(map(str, reversed(earlier))),
            after_last=folds > 1,
        )

    def ended(self, start: Start, number: int, outcome: Outcome, stored: bool) -> None:
        """Take note of how an attempt ended, whose folder has its name by now.

        Where its point has a result, its checkpoints and those of its earlier attempts go; where
        the result waits to be stored, the next run deletes them.
        """
        self._error = self._error or outcome.facts.get("checkpoint_error")
        if outcome.state is State.KILLED:
            self._killed.setdefault(start.key, []).append(number)
            return
        own = [] if self._every is None else [number]
        numbers = (*self._killed.pop(start.key, ()), *own)
        for k in numbers if stored else ():
            remove(trial_folder(self._study, k))

    def notices(self) -> Iterable[str]:
        """What the user should know, once: a trial could not write its checkpoint."""
        if self._error is None or self._told:
            return []
        self._told = True
        return [f"a checkpoint cannot be written ({self._error}): training goes on without it"]


def remove_all(study: str) -> None:
    """Delete all checkpoints of a study."""
    for folder in study_folder(study).glob("*"):
        remove(folder)


def remove(folder: Path) -> None:
    """Delete the checkpoints in a folder, and what a dying process left of one."""
    for file in folder.glob("checkpoint*.pt*"):
        with suppress(OSError):
            file.unlink()
