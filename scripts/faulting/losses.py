"""Losses that are not finite, huge or constant, at chosen steps of the trial that would be best."""

from __future__ import annotations

import math
from collections import deque
from contextlib import chdir
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from optuna.trial import TrialState
from torch import Tensor

from cnnsearch import ranking
from cnnsearch.config import Config, from_plain
from cnnsearch.config.sections import Data
from cnnsearch.data import load
from cnnsearch.executors.inline import InlineExecutor
from cnnsearch.objective import DIRECTIONS
from cnnsearch.plan import remaining
from cnnsearch.records import Began, State, Trial
from cnnsearch.search import Coordinator, Limits
from cnnsearch.study import read
from cnnsearch.study.database import opened
from cnnsearch.study.store import Study
from faulting.invariants import Found
from faulting.setting import Setting

VALUES = (math.nan, math.inf, -math.inf, 1e30, math.log(10))
_HUGE, CONSTANT = VALUES[3], VALUES[4]
STEPS = ("first", "middle", "last")
PLACES = ("training", "validation", "one fold")
_STORAGE = "cnnsearch.db"
_FOLDS, _SPOILT_FOLD = 3, 1


@dataclass(frozen=True)
class Spoiling:
    """What is done to the losses of one trial.

    Args:
        value: taken by the loss at a step; the constant by all that follow, too.
        step: which one, of `place`.
    """

    value: float
    step: str
    place: str
    objective: str

    @property
    def state(self) -> State:
        """What has to become of the trial, see `cnnsearch.guard.DivergenceGuard`.

        A huge loss before any update is a loud init, and that of the very last step is in no window
        of the guard's that was full.
        """
        huge_inside = self.value == _HUGE and self.step == "middle" and self.place != "validation"
        lost = huge_inside or not math.isfinite(self.value)
        return State.DIVERGED if lost else State.COMPLETE

    def config(self) -> Config:
        """Of a search of three trials."""
        folds = {"validation": {"folds": _FOLDS}} if self.place == "one fold" else {}
        return from_plain(
            {
                "study": "losses",
                "device": "cpu",
                "data": {"name": "digits", "limit": 200, **folds},
                "model": {"conv": [8], "hidden": [16]},
                # 7 steps an epoch: the last is in no full window.
                "train": {"epochs": 3, "batch_size": 32},
                "abort": {"check_every": 5},
                "search": {"sampler": "random", "trials": 3, "objective": self.objective},
                "space": {"lr": {"low": 0.01, "high": 0.1, "log": True}},
            }
        )


class Losses:
    """Stands before torch's loss, counts, and spoils those of one trial."""

    def __init__(self, spoiling: Spoiling, victim: int | None = None, calls: int = 0) -> None:
        """Spoil nothing where there is no victim.

        Args:
            victim: the trial's number; `calls`: how many losses of the place it has.
        """
        self._spoiling = spoiling
        self._victim = victim
        self._at = _at(spoiling, calls)
        self._trial = -1
        self._real = F.cross_entropy
        self.calls: dict[int, int] = {}

    def begin(self, number: int) -> None:
        """The losses that follow are of this trial."""
        self._trial = number
        self.calls[number] = 0

    def __call__(self, scores: Tensor, labels: Tensor, **options: Any) -> Tensor:
        """See `torch.nn.functional.cross_entropy`."""
        loss: Tensor = self._real(scores, labels, **options)
        evaluated = options.get("reduction") == "sum"
        if not evaluated and not torch.is_grad_enabled():
            return loss  # a probe's
        if evaluated is not (self._spoiling.place == "validation"):
            return loss
        self.calls[self._trial] += 1
        call, value = self.calls[self._trial], self._spoiling.value
        here = call >= self._at if value == CONSTANT else call == self._at
        return loss * 0 + value if here and self._trial == self._victim else loss


def _at(spoiling: Spoiling, calls: int) -> int:
    """Which call is spoilt, counted from 1."""
    before = 0
    if spoiling.place == "one fold":
        calls //= _FOLDS
        before = _SPOILT_FOLD * calls
    return before + {"first": 1, "middle": (calls + 1) // 2, "last": calls}[spoiling.step]


def losses(setting: Setting, times: int) -> Found:
    """Each value at each step in each place; fewer, evenly chosen, where fewer are asked for."""
    found = Found()
    every = [Spoiling(*row) for row in product(VALUES, STEPS, PLACES, DIRECTIONS)]
    whole: dict[tuple[str, str], tuple[list[Trial], Losses]] = {}
    count = min(times, len(every))
    for spoiling in [every[place * len(every) // count] for place in range(count)]:
        kind = (spoiling.place, spoiling.objective)
        if kind not in whole:
            counting = Losses(spoiling)
            whole[kind] = searched(setting.folder("losses"), spoiling, counting), counting
        trials, counted = whole[kind]
        best = ranking.best(trials, DIRECTIONS[spoiling.objective])
        assert best is not None
        spoilt = Losses(spoiling, best.number, counted.calls[best.number])
        folder = setting.folder("losses")
        _look(found, spoiling, trials, searched(folder, spoiling, spoilt), best.number)
        stored = optuna_states(folder)
        right = (stored[best.number] is TrialState.COMPLETE) == (spoiling.state is State.COMPLETE)
        found.expect(right, f"{spoiling}: {stored[best.number].name} in Optuna's storage")
        found.tried += 1
    return found


def _look(
    found: Found, spoiling: Spoiling, whole: list[Trial], trials: list[Trial], victim: int
) -> None:
    """Hold a spoilt search against the same one unspoilt."""
    direction = DIRECTIONS[spoiling.objective]
    told = f"{spoiling.value} at the {spoiling.step} step ({spoiling.place}, {spoiling.objective})"
    hit, best = trials[victim], ranking.best(trials, direction)
    found.expect(hit.state is spoiling.state, f"{told}: {hit.state}: {hit.reason}")
    others = [trial for trial in whole if trial.number != victim]
    same = all(trials[one.number].value == one.value for one in others)
    found.changed += not same
    found.expect(same, f"{told}: other trials have changed")
    if spoiling.state is State.DIVERGED:
        second = ranking.best(others, direction)
        right = best is not None and second is not None and best.number == second.number
        found.expect(right and hit.value is None, f"{told}: it counts as best")
    else:
        finite = hit.value is not None and math.isfinite(hit.value)
        found.expect(finite, f"{told}: value {hit.value}")


def searched(folder: Path, spoiling: Spoiling, loss: Losses) -> list[Trial]:
    """Run a search in this process with its losses spoilt; its trials."""
    folder.mkdir()
    config = spoiling.config()
    with chdir(folder), mock.patch.object(F, "cross_entropy", loss):
        study = Study.claim(_STORAGE, config, load(Data(name="digits")).fingerprint, 3)
        try:
            executor = InlineExecutor()
            starts = deque(remaining(config, [], 3))
            for event in Coordinator(study, config, executor, Limits()).run(starts):
                if isinstance(event, Began):
                    loss.begin(event.trial.number)
        finally:
            study.release()
        return read.trials(_STORAGE, config.study)


def optuna_states(folder: Path) -> list[TrialState]:
    """As any Optuna program sees the trials."""
    with opened(str(folder / _STORAGE)) as database:
        study_id = database.get_study_id_from_name("losses")
        return [trial.state for trial in database.get_all_trials(study_id)]
