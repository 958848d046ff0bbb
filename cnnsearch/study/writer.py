"""Storing what becomes of running trials: at once, or as soon as the storage is back."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from cnnsearch.errors import InputError, StorageGoneError
from cnnsearch.records import State, Trial
from cnnsearch.render.text import counted
from cnnsearch.study import attributes
from cnnsearch.study.backends import backend
from cnnsearch.study.database import one_transaction, told
from cnnsearch.study.states import OPTUNA_STATES
from cnnsearch.study.waiting import Unstored, Waiting, waiting_file, waiting_files

# A storage that is gone is tried again after so many seconds, then after twice as many each time.
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 30.0
# So long reports wait for others, and best for their trial's end, where no pruner asks for them.
# Five in one transaction: 6.3 -> 3.7 ms of CPU, and one wait for the disk. Readers wait no longer.
_HELD_S = 0.5
_CUT_SHORT = "the storage was gone when it began"


@dataclass(frozen=True, slots=True)
class Gone:
    """A storage that cannot be reached or written.

    Args:
        message: what it said last.
        since: on the monotonic clock; `again`: when it is tried next.
        pause_s: between the last try and the next.
    """

    message: str
    since: float
    pause_s: float
    again: float

    @property
    def seconds(self) -> float:
        """So long by now."""
        return time.monotonic() - self.since


class Writer:
    """Of the running trials of one study.

    Args:
        study: its name; `study_id`: Optuna's number of it.
        run: of the coordinator.
    """

    def __init__(
        self, storage: str, study: str, study_id: int, run: str, database: RDBStorage
    ) -> None:
        self._storage = storage
        self._study = study
        self._study_id = study_id
        self._run = run
        self._database = database
        self._file = waiting_file(study, run)
        self._waiting = Waiting()
        self._held_since = math.inf
        self.ids: dict[int, int] = {}
        """Optuna's numbers of the running trials, by ours."""
        self.gone: Gone | None = None

    def report(self, number: int, step: int, value: float, at_once: bool) -> None:
        """Store a report, unless there is time until `write_held`."""
        if not self._waiting:
            self._held_since = time.monotonic()
        self._waiting.report(number, step, value)
        if at_once or time.monotonic() - self._held_since >= _HELD_S:
            self.write()

    def end(self, trial: Trial) -> None:
        """Store how a trial ended; in a file too where it has to wait, for we may be killed."""
        state, attrs = OPTUNA_STATES[trial.state], attributes.of_end(trial)
        self._waiting.end(trial.number, attrs, state, trial.value)
        self.write(trial.number)
        if self.gone is not None:
            with suppress(OSError):  # `close` tells of it
                self._save()

    def write_held(self) -> None:
        """Store the reports that have waited long enough."""
        if time.monotonic() - self._held_since >= _HELD_S:
            self.write()

    def write(self, number: int | None = None) -> None:
        """Store what waits, of one trial or of all, in one transaction, unless the storage is gone.

        What cannot be stored now waits on.
        """
        if self.gone is None and self._waiting:
            try:
                self._write(number)
            except StorageGoneError as error:
                self.is_gone(error)

    def is_gone(self, error: StorageGoneError) -> None:
        """The storage said so: it is tried again after a pause, and results wait meanwhile."""
        now = time.monotonic()
        since = self.gone.since if self.gone else now
        pause = min(_LONGEST_PAUSE_S, 2 * self.gone.pause_s) if self.gone else _FIRST_PAUSE_S
        self.gone = Gone(str(error), since, pause, now + pause)

    def try_again(self) -> None:
        """Store what waits now that the storage may be back.

        Raises:
            StorageGoneError: it is not.
        """
        with told(self._storage):
            bury(self._database, self._strays(), _CUT_SHORT)
        self._write()
        self.gone = None
        with suppress(OSError):  # a file of what is stored is taken in without harm
            self._file.unlink(missing_ok=True)

    def take_in(self) -> None:
        """Store what earlier commands could not, of trials that nobody has ended since.

        Raises:
            InputError: a file of theirs cannot be read.
        """
        for path in waiting_files(self._study):
            self._take_in(path)

    def _take_in(self, path: Path) -> None:
        try:
            waiting, run = Waiting.load(path)
        except (OSError, ValueError) as error:
            raise InputError(
                f"{path}: results that could not be stored, and cannot be read: {error}. "
                "Move it away; its trials run again."
            ) from error
        own = [
            found
            for found in self._database.get_all_trials(self._study_id, deepcopy=False)
            if attributes.unfolded(found.user_attrs).get(attributes.RUN) == run
        ]
        # Another storage's trials: the file is for a command that runs with that one.
        if not own:
            return
        self.ids = {one.number: one._trial_id for one in own if one.state is TrialState.RUNNING}
        waiting.forget([item for item in waiting.items() if item.number not in self.ids])
        self._waiting = waiting
        self._write()
        self.ids.clear()
        path.unlink()

    def close(self) -> None:
        """Keep in a file what could not be stored.

        Raises:
            StorageGoneError: nor can that file be written.
        """
        if not self._waiting:
            return
        try:
            self._save()
        except OSError as error:
            gone = f"{self.gone.message}\n" if self.gone else ""
            lost = counted(self._waiting.ended, "result")
            raise StorageGoneError(
                f"{gone}cannot write {self._file}: {error.strerror}. {lost} could neither be "
                "stored nor kept there; the next run repeats what it does not find."
            ) from error

    def _save(self) -> None:
        self._waiting.save(self._file, self._run, backend(self._storage).shown)

    def _write(self, number: int | None = None) -> None:
        items = self._waiting.items(number)
        with told(self._storage), one_transaction(self._database):
            for item in items:
                # Where the storage went in the moment it was told to keep it, it may have.
                with suppress(UpdateFinishedTrialError):
                    self._store(self.ids[item.number], item)
        self._waiting.forget(items)
        for item in items:
            if item.state is not None:
                del self.ids[item.number]

    def _store(self, trial_id: int, item: Unstored) -> None:
        for step, value in item.reports.items():
            self._database.set_trial_intermediate_value(trial_id, step, value)
        if item.attrs is None or item.state is None:
            return
        for key, content in item.attrs.items():
            self._database.set_trial_user_attr(trial_id, key, content)
        values = None if item.value is None else [item.value]
        self._database.set_trial_state_values(trial_id, TrialState[item.state], values)

    def _strays(self) -> list[FrozenTrial]:
        """Trials whose beginning was stored though the storage was gone before it said so."""
        known = set(self.ids.values())
        return [one for one in self._running() if one._trial_id not in known]

    def _running(self) -> list[FrozenTrial]:
        return self._database.get_all_trials(self._study_id, states=(TrialState.RUNNING,))


def bury(database: RDBStorage, trials: Sequence[FrozenTrial], reason: str) -> None:
    """Mark running trials as killed."""
    for found in trials:
        result = {
            "state": str(State.KILLED),
            "reason": reason,
            "epochs": len(found.intermediate_values),
            "best_epoch": None,
            "facts": {},
        }
        database.set_trial_user_attr(found._trial_id, attributes.RESULT, result)
        database.set_trial_state_values(found._trial_id, TrialState.FAIL)
