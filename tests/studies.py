"""Studies in a real storage whose trials are told, not trained: for verbs that read."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from cnnsearch import ending
from cnnsearch.records import Diagnosis, EpochResult, Outcome, Params, Prepared, Start, State
from cnnsearch.space import Choice, Range, Space
from cnnsearch.study.store import Study
from tests.builders import digits_config

SPACE: Space = {
    "lr": Range(1e-5, 10.0, log=True),
    "init": Choice(("he", "normal:0.01")),
    "batchnorm": Choice((True, False)),
    "dropout": Choice((0.0,)),
}
EVIL = "shape \x1b]52;c;ZXZpbA==\x07\x1b[31m[/red]\u202eabc"


@dataclass(frozen=True)
class Told:
    """What a trial of `write_study` is to be; a diagnosis that is told is not made of the rest."""

    params: Params
    outcome: Outcome
    curve: tuple[EpochResult, ...] = ()
    point: int | None = None
    attempt: int = 1
    prepared: Prepared | None = None
    diagnosis: Diagnosis | None = None


def curve(best: float, epochs: int = 3, lr: float = 0.1) -> tuple[EpochResult, ...]:
    """Epochs whose accuracy climbs to `best`."""
    return tuple(
        EpochResult(e, lr, 2.0 / e, best * (e / epochs), 2.5 / e, best * (e / epochs), 0.5)
        for e in range(1, epochs + 1)
    )


def complete(value: float, params: Params, epochs: int = 3) -> Told:
    """A complete trial."""
    facts = {"first_loss": 2.31, "parameters": 12345}
    return Told(params, Outcome(State.COMPLETE, None, facts), curve(value, epochs))


def ended(state: State, reason: str, params: Params, **facts: object) -> Told:
    """A trial without an epoch."""
    return Told(params, Outcome(state, reason, facts))


def point(lr: float, init: str = "he", batchnorm: bool = True) -> Params:
    """A point of `SPACE`."""
    return {"lr": lr, "init": init, "batchnorm": batchnorm, "dropout": 0.0}


SEVEN = (
    complete(0.90, point(0.01)),
    complete(0.95, point(0.1, "normal:0.01", False)),
    ended(
        State.DIVERGED, "loss 21.34 above 6.908 at step 40", point(8.5),
        first_loss=2.31, step=40, loss=21.34, limit=6.908,
    ),
    ended(
        State.FAILED, f"RuntimeError: {EVIL}", point(0.3, "normal:0.01"),
        traceback=f"Traceback\n  File x\n{EVIL}", where="network.py:7",
    ),
    complete(0.85, point(0.0004)),
    Told(point(0.02), Outcome(State.KILLED, "its worker died"), point=5),
    Told(point(0.02), Outcome(State.COMPLETE), curve(0.93), point=5, attempt=2),
)  # fmt: skip


def write_study(
    storage: Path, name: str = "digits", told: tuple[Told, ...] = SEVEN, space: Space = SPACE
) -> None:
    """A study of 8 planned points with the trials told, in their order."""
    study = Study.claim(str(storage), digits_config(name, space, 3), "images", 8)
    try:
        for number, one in enumerate(told):
            place = number if one.point is None else one.point
            trial = study.begin(Start(place, str(place), one.attempt, 1000 + place, one.params))
            curves = [one.curve]
            done = ending.ended(trial, one.outcome, one.prepared, curves, "val_accuracy", "best")
            study.finish(replace(done, diagnosis=one.diagnosis or done.diagnosis))
    finally:
        study.release()


def multiply(storage: Path, wanted: int) -> None:
    """Repeat the trials of the only study until there are `wanted`, each as a point of its own.

    With SQL, because 1,000 trials through the store take 20 to 70 s.
    """
    with closing(sqlite3.connect(storage)) as connection, connection:
        ids = [row[0] for row in connection.execute("SELECT trial_id FROM trials ORDER BY number")]
        for number in range(len(ids), wanted):
            source = ids[number % len(ids)]
            copy = connection.execute(
                "INSERT INTO trials (number, study_id, state, datetime_start, datetime_complete)"
                " SELECT ?, study_id, state, datetime_start, datetime_complete"
                " FROM trials WHERE trial_id = ?",
                (number, source),
            ).lastrowid
            connection.execute(
                "INSERT INTO trial_values (trial_id, objective, value, value_type)"
                " SELECT ?, objective, value, value_type FROM trial_values WHERE trial_id = ?",
                (copy, source),
            )
            connection.execute(
                "INSERT INTO trial_user_attributes (trial_id, key, value_json)"
                " SELECT ?, key, CASE key WHEN 'begun'"
                " THEN json_set(value_json, '$.key', ?, '$.point', ?) ELSE value_json END"
                " FROM trial_user_attributes WHERE trial_id = ?",
                (copy, str(number), number, source),
            )
