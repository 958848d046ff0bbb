"""The frozen types that flow between the parts of the program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

# A hyperparameter's value: what YAML and JSON can hold. Lists are for `conv` and `hidden`.
Value = bool | int | float | str | list[int] | None
Params = Mapping[str, Value]


class State(StrEnum):
    """How a trial stands, in the order of ranking. The README's table says what each means."""

    COMPLETE = "complete"
    PRUNED = "pruned"
    DIVERGED = "diverged"
    FAILED = "failed"
    KILLED = "killed"
    RUNNING = "running"


@dataclass(frozen=True, slots=True)
class EpochResult:
    """What one epoch measured.

    Args:
        epoch: counted from 1.
        lr: learning rate of the epoch's last step.
        train_loss: mean cross-entropy over the epoch's images, as they were trained on.
        train_accuracy: 0..1, likewise.
        val_loss: mean cross-entropy over the validation split, after the epoch.
        val_accuracy: 0..1, likewise.
        seconds: wall time of the epoch, evaluation included.
    """

    epoch: int
    lr: float
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one attempt ended.

    Args:
        state: never RUNNING.
        reason: one sentence for the user; None for a complete trial.
        facts: plain values that explain it, by name: `first_loss`, `parameters`, `step`, `loss`,
            `limit`, and for a failed trial `error`, `where` (file:line) and `traceback`.
        seconds: wall time of the attempt, without the start of its worker; None where the attempt
            was ended from outside.
    """

    state: State
    reason: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Start:
    """What an attempt at a point begins with.

    Args:
        params: empty where they depend on the trials before it (tpe).
    """

    point: int
    key: str
    attempt: int
    seed: int
    params: Params


@dataclass(frozen=True, slots=True)
class Task:
    """One trial as a worker gets it: plain values only.

    Args:
        number: the trial's number in Optuna's storage.
        config: the resolved config of a single run, as plain data.
        folder: where the worker writes its log.
        waits: pause after each epoch until the coordinator says whether to go on (pruners).
        fingerprint: of the images that the study was started with; None takes what is there.
    """

    number: int
    config: Mapping[str, Any]
    folder: str
    waits: bool = False
    fingerprint: str | None = None


@dataclass(frozen=True, slots=True)
class Trial:
    """One trial as the storage tells it: a point's attempt, its state and its numbers.

    Args:
        number: Optuna's number, unique in the study.
        point: index of the point in the space; equal for all attempts of a point.
        key: identity of the point: its index (random, tpe) or its parameters (grid).
        attempt: counted from 1.
        value: the objective; finite and present only when complete.
        params: searched hyperparameters that are active in this trial.
        epochs: epochs finished.
        best_epoch: the epoch whose objective was best, counted from 1.
        seconds: wall time of the attempt.
        seed: seed of weights, data order and augmentation.
        started: seconds since 1970, UTC.
        facts: see `Outcome`.
        curve: empty in listings; see `cnnsearch.study.read`.
    """

    number: int
    point: int
    key: str
    attempt: int
    state: State
    value: float | None
    params: Params
    epochs: int
    best_epoch: int | None
    seconds: float | None
    reason: str | None
    seed: int
    started: float | None
    facts: Mapping[str, Any] = field(default_factory=dict)
    curve: tuple[EpochResult, ...] = ()


@dataclass(frozen=True, slots=True)
class StudySummary:
    """One row of `cnnsearch list`.

    Args:
        counts: number of points by state.
        best: value of the best complete trial.
        direction: "maximize" or "minimize".
        started: of the first trial, seconds since 1970, UTC.
        updated: end of the latest trial, likewise.
        planned: number of points the study is to run, if known.
        config: the resolved config, as plain data.
    """

    name: str
    counts: Mapping[State, int]
    best: float | None
    direction: str
    started: float | None
    updated: float | None
    planned: int | None
    config: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Began:
    """A trial was given to a worker."""

    trial: Trial


@dataclass(frozen=True, slots=True)
class Epoch:
    """A running trial finished an epoch."""

    trial: Trial
    result: EpochResult


@dataclass(frozen=True, slots=True)
class Ended:
    """A trial ended, for good or (killed) to be run again."""

    trial: Trial


@dataclass(frozen=True, slots=True)
class Tick:
    """Nothing happened for a moment: time to look at the clock."""


Event = Began | Epoch | Ended | Tick
