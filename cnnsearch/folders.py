"""The folders of a search's attempts: their names while they run and after, and the checkpoints.

An attempt writes to a folder of its own, under a temporary name; it gets its name when the attempt
has ended, and from then on nothing is written there: a process that was given up finds no folder.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from cnnsearch import ranking
from cnnsearch.config.sections import Checkpoint
from cnnsearch.records import (
    CHECKPOINT,
    WEIGHTS,
    Checkpointing,
    KeptWeights,
    Outcome,
    Start,
    State,
    Trial,
)
from cnnsearch.study.location import study_folder, trial_folder

_ERRORS = {
    "checkpoint_error": "a checkpoint cannot be written ({}): training goes on without it",
    "weights_error": "the weights of a trial cannot be kept ({}): the search goes on without them",
}


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

    And which weights, which stay.

    Args:
        study: its name.
        section: of its config.
        objective: what it compares.
    """

    def __init__(self, study: str, section: Checkpoint, objective: str) -> None:
        self._study = study
        self._every = section.every
        self._keep = section.keep
        self._objective = objective
        self._killed: dict[str, list[int]] = {}
        self._errors: dict[str, str] = {}
        self._told: set[str] = set()

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
        weights = self._weights(number) if folds == 1 else None
        if self._every is None and weights is None:
            return None
        name = CHECKPOINT if folds == 1 else f"checkpoint-fold{fold + 1}.pt"
        before = self._killed.get(start.key, ()) if self._every is not None else ()
        earlier = [trial_folder(self._study, k) / name for k in before]
        return Checkpointing(
            self._every,
            str(partial(self._study, number) / name),
            tuple(map(str, reversed(earlier))),
            after_last=folds > 1,
            weights=weights,
        )

    def _weights(self, number: int) -> KeptWeights | None:
        if self._keep == "none":
            return None
        file = partial(self._study, number) / WEIGHTS
        return KeptWeights(str(file), self._objective if self._keep == "best" else None)

    def ended(self, start: Start, number: int, outcome: Outcome, stored: bool) -> None:
        """Take note of how an attempt ended, whose folder has its name by now.

        Where its point has a result, its checkpoints and those of its earlier attempts go; where
        the result waits to be stored, the next run deletes them.
        """
        for name in _ERRORS:
            if name in outcome.facts:
                self._errors.setdefault(name, outcome.facts[name])
        if outcome.state is State.KILLED:
            self._killed.setdefault(start.key, []).append(number)
            return
        own = [] if self._every is None else [number]
        numbers = (*self._killed.pop(start.key, ()), *own)
        for k in numbers if stored else ():
            remove(trial_folder(self._study, k))

    def notices(self) -> Iterable[str]:
        """What the user should know, once: a checkpoint, or weights, could not be written."""
        new = [name for name in self._errors if name not in self._told]
        self._told.update(new)
        return [_ERRORS[name].format(self._errors[name]) for name in new]


def remove_all(study: str) -> None:
    """Delete all checkpoints of a study."""
    for folder in study_folder(study).glob("*"):
        remove(folder)


def remove(folder: Path) -> None:
    """Delete the checkpoints in a folder, and what a dying process left of one, or of weights."""
    for pattern in ("checkpoint*.pt*", f"{WEIGHTS}.*.partial"):
        for file in folder.glob(pattern):
            with suppress(OSError):
                file.unlink()
