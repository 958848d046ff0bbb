"""A study that is read again and again while it runs: what has ended is read once."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy

from cnnsearch.errors import InputError
from cnnsearch.objective import DIRECTIONS, measured
from cnnsearch.records import State, Trial
from cnnsearch.study import attributes, read
from cnnsearch.study.backends import backend, without_studies
from cnnsearch.study.lock import is_held

Points = tuple[tuple[int, float], ...]
"""A curve of the objective: (epoch, value)."""
# More trials than so many are read with the whole study.
_MANY = 500


@dataclass(frozen=True, slots=True)
class Coordinator:
    """The process that runs a study, or ran it last.

    Args:
        started: seconds since 1970, UTC, by its machine's clock.
    """

    host: str
    pid: int
    started: float | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A study at one moment.

    Args:
        config: resolved, as plain data.
        planned: number of points it is to have, if known.
        held: whether the coordinator lives.
        family: of a stage, the name of its chain; `stage`: its number, and how many there are.
        command: what goes on with it, see `cnnsearch.study.attributes.continuing`.
        trials: all attempts by number, without curves; the same object as before where nothing has
            changed.
        reports: of the trials that run, (step, objective) in the order of steps: steps are epochs,
            or, with several folds, folds.
    """

    study: str
    config: Mapping[str, Any]
    direction: str
    planned: int | None
    coordinator: Coordinator | None
    held: bool
    family: str | None
    stage: tuple[int, int] | None
    command: str
    trials: Sequence[Trial]
    reports: Mapping[int, Points]

    @property
    def objective(self) -> str:
        """What is compared."""
        return str(self.config["search"]["objective"])


class Follower:
    """Reads one study; each time only what may have changed since.

    It never writes, and holds no lock of the database longer than a question takes.
    """

    def __init__(self, storage: str, study: str) -> None:
        self.study = study
        self._storage = storage
        self._id: int | None = None
        self._objective = "val_accuracy"
        self._forget()

    def _forget(self) -> None:
        self._trials: dict[int, Trial] = {}
        self._told: tuple[Trial, ...] = ()
        self._open: set[int] = set()
        self._marks: Mapping[str, Any] = {}

    def look(self) -> Snapshot:
        """The study as it stands now.

        Raises:
            InputError: it is gone.
            CnnsearchError: the storage cannot be read.
        """
        # Before the trials: what runs after nobody held the study has lost its coordinator.
        held = is_held(self._storage, self.study)
        with read._connection(self._storage) as connection:
            attrs = read._attributes(connection, self.study)
            assert connection is not None
            self._look_for_another(connection)
            if read._version(connection) == read.TABLES_VERSION:
                reports = self._take_changes(connection, held)
            else:
                found = read._trials(self._storage, self.study, connection)
                self._take({trial.number: trial for trial in found})
                reports = self._reports_through_optuna()
            self._take_marks(read._marks(connection, self.study))
        config = attrs[attributes.CONFIG]
        place = attrs.get(attributes.STAGE) or {}
        self._objective = config["search"]["objective"]
        return Snapshot(
            study=self.study,
            config=config,
            direction=DIRECTIONS[self._objective],
            planned=attrs.get(attributes.PLANNED),
            coordinator=_coordinator(attrs.get(attributes.COORDINATOR)),
            held=held,
            family=place.get("family"),
            stage=(place["stage"], place["of"]) if place else None,
            command=attributes.continuing(attrs),
            trials=self._told,
            reports=reports,
        )

    def curves(self, numbers: Iterable[int]) -> dict[int, Points]:
        """The objective by epoch of trials that have ended; with several folds its mean."""
        keys = (*attributes.LISTED, attributes.CURVE)
        with read._connection(self._storage) as connection:
            found = read._trials(self._storage, self.study, connection, keys, list(numbers))
        return {
            trial.number: tuple(
                (one.epoch, value)
                for one in trial.curve
                if math.isfinite(value := measured(one, self._objective))
            )
            for trial in found
        }

    def _look_for_another(self, connection: sqlalchemy.Connection) -> None:
        """Forget what was read where the study was removed and begun again under its name."""
        found = connection.execute(
            sqlalchemy.text("SELECT study_id FROM studies WHERE study_name = :name"),
            {"name": self.study},
        ).scalar()
        if found != self._id:
            self._id = found
            self._forget()

    def _take_changes(self, connection: sqlalchemy.Connection, held: bool) -> dict[int, Points]:
        """Read the trials that ran when they were read last, and those that are new."""
        rows = connection.execute(
            sqlalchemy.text(
                "SELECT number, state FROM trials WHERE study_id = :id"
                " AND (state IN ('RUNNING', 'WAITING') OR number >= :next)"
            ),
            {"id": self._id, "next": max(self._trials, default=-1) + 1},
        ).all()
        running = {number for number, state in rows if state == "RUNNING"}
        wanted = sorted(self._open | {number for number, _ in rows})
        numbers = None if len(wanted) > _MANY or not self._trials else wanted
        changed: dict[int, Trial] = {}
        if wanted:
            for trial in read._trials(
                self._storage, self.study, connection, attributes.LISTED, numbers
            ):
                lost = trial.state is State.KILLED and trial.number in running
                # It was given back between two questions, so its trials have ended by the next.
                still = replace(trial, state=State.RUNNING, reason=None)
                changed[trial.number] = still if lost and held else trial
        self._open = {number for number, state in rows if state in ("RUNNING", "WAITING")}
        self._take(changed)
        return self._reports(connection)

    def _take(self, changed: Mapping[int, Trial]) -> None:
        if any(self._trials.get(number) != trial for number, trial in changed.items()):
            self._trials.update(changed)
            self._told = tuple(self._trials[number] for number in sorted(self._trials))

    def _take_marks(self, marks: Mapping[str, Any]) -> None:
        """Follow `tag`, `note` and `hide`: they change trials that ended long ago."""
        numbers = {int(text) for text in {*self._marks, *marks} if text.isdecimal()}
        self._marks = marks
        changed = {}
        for number in numbers & self._trials.keys():
            bare = replace(self._trials[number], tags=(), note=None, hidden=False, tests=())
            changed[number] = attributes.with_marks(bare, marks.get(str(number)))
        self._take(changed)

    def _reports(self, connection: sqlalchemy.Connection) -> dict[int, Points]:
        rows = connection.execute(
            sqlalchemy.text(
                "SELECT t.number, v.step, v.intermediate_value FROM trials t"
                " JOIN trial_intermediate_values v ON v.trial_id = t.trial_id"
                " WHERE t.study_id = :id AND t.state = 'RUNNING' ORDER BY t.number, v.step"
            ),
            {"id": self._id},
        )
        found: dict[int, list[tuple[int, float]]] = {}
        for number, step, value in rows:
            if isinstance(step, int) and isinstance(value, int | float) and math.isfinite(value):
                found.setdefault(number, []).append((step, value))
        return {number: tuple(points) for number, points in found.items()}

    def _reports_through_optuna(self) -> dict[int, Points]:
        from cnnsearch.study.database import opened

        with opened(self._storage) as database:
            study_id = database.get_study_id_from_name(self.study)
            return {
                trial.number: tuple(
                    (step, value)
                    for step, value in sorted(trial.intermediate_values.items())
                    if math.isfinite(value)
                )
                for trial in database.get_all_trials(study_id, deepcopy=False)
                if trial.state.name == "RUNNING"
            }


def latest(storage: str) -> str:
    """The study whose trial began last; one that runs and has none yet comes first.

    Raises:
        InputError: there are no studies.
    """
    with read._connection(storage) as connection:
        names = read._names(connection) if connection else []
        if not names or connection is None:
            raise InputError(f"{without_studies(backend(storage))}.")
        rows = connection.execute(
            sqlalchemy.text(  # ids of trials grow over all studies, whatever the clocks say
                "SELECT s.study_name, s.study_id, MAX(t.trial_id) FROM studies s"
                " LEFT JOIN trials t ON t.study_id = s.study_id GROUP BY s.study_name, s.study_id"
            )
        ).all()
    last: dict[str, tuple[int | None, int]]
    last = {name: (trial, study) for name, study, trial in rows if name in set(names)}
    newest = max(last, key=lambda name: last[name][1])
    if last[newest][0] is None and is_held(storage, newest):
        return newest
    return max(last, key=lambda name: (last[name][0] or 0, last[name][1]))


def _coordinator(stored: Mapping[str, Any] | None) -> Coordinator | None:
    if stored is None:
        return None
    started = stored.get("started")
    known = float(started) if isinstance(started, int | float) else None
    return Coordinator(stored["host"], stored["pid"], known)
