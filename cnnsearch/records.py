"""The frozen types that flow between the parts of the program."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

# A hyperparameter's value: what YAML and JSON can hold. Lists are for `conv` and `hidden`.
Value = bool | int | float | str | list[int] | None
Params = Mapping[str, Value]

STUDY_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"


def is_study_name(text: str) -> bool:
    """Whether a study can have this name: it becomes the name of files and folders."""
    return re.fullmatch(STUDY_NAME, text) is not None


class State(StrEnum):
    """How a trial stands, in the order of ranking. The README's table says what each means."""

    COMPLETE = "complete"
    PRUNED = "pruned"
    DIVERGED = "diverged"
    FAILED = "failed"
    KILLED = "killed"
    RUNNING = "running"


@dataclass(frozen=True, slots=True)
class LayerProbe:
    """What a few training images show of one layer with weights.

    Args:
        name: "conv1", "hidden2", "classifier".
        units: channels of a conv layer, units of a fully connected one; of the classifier, classes.
        mean: of its activations, over images, units and positions; of the classifier, its scores.
        std: standard deviation of the same.
        dead: share of its units whose activation is 0 on every image and at every position, 0..1;
            None where the activation function cannot die.
        saturated: share of its activations within 3 % of the function's limits, 0..1; None where it
            has none.
        similarity: of the weights of its units: 1 where all units have the same, 0..1.
        gradient_norm: of its weights at the last step; None before the first.
        update_ratio: norm of the last step's change of its weights over the norm of the weights;
            None before the first step, and where all weights were 0.
    """

    name: str
    units: int
    mean: float
    std: float
    dead: float | None
    saturated: float | None
    similarity: float
    gradient_norm: float | None = None
    update_ratio: float | None = None


@dataclass(frozen=True, slots=True)
class Probe:
    """The state of a network between epochs, as a few training images show it.

    Args:
        loss: mean cross-entropy over them, with batch statistics and without dropout.
        layers: those with weights, in the order of computation.
        highest_loss: of the epoch, among means over stretches of at least 100 images; None before
            the first epoch.
        loss_deviation: standard deviation of the same means; likewise.
    """

    loss: float
    layers: tuple[LayerProbe, ...]
    highest_loss: float | None = None
    loss_deviation: float | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is known of a trial before its first step.

    Args:
        device: such as "cpu" or "cuda:1".
        classes: their number.
        parameters: trained values of the network.
        training_images: their number; likewise `validation_images`.
        chance: accuracy of always guessing the validation split's most frequent class, 0..1.
        probe: of the network as it was initialised; None with `diagnose: false`.
        environment: what beside the config decides the numbers, by name; see
            `cnnsearch.environment`.
    """

    device: str
    classes: int
    parameters: int
    training_images: int
    validation_images: int
    chance: float
    probe: Probe | None = None
    environment: Mapping[str, Any] = field(default_factory=dict)


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
        probe: after the epoch; None with `diagnose: false`.
    """

    epoch: int
    lr: float
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    seconds: float
    probe: Probe | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with a trial: a rule of `cnnsearch.diagnose` that applies.

    Args:
        rule: its name, such as "lr-too-high".
        measured: the number that triggered it; None where it was not finite.
        limit: what the number was held against; None where anything finite would have done.
        message: what was seen, with the numbers, in one sentence.
    """

    rule: str
    measured: float | None
    limit: float | None
    message: str


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What went wrong in a trial, if anything did.

    Args:
        verdict: the rule of the most severe finding, or "ok".
        findings: all rules that apply, most severe first.
    """

    verdict: str
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one attempt ended.

    Args:
        state: never RUNNING.
        reason: one sentence for the user; None for a complete trial.
        facts: plain values that explain it, by name: `first_loss`, `step`, `epoch`, `loss`,
            `limit`; a trial's are these and those of `Prepared`. With several folds `fold_values`,
            `fold_deviation`, and `fold` (from 1) where one of them ended the trial; for a failed
            trial `error`, `where` (file:line) and `traceback`. Of an attempt that went on from a
            checkpoint `continued_after`, its epoch, and `earlier_seconds`, the time of the epochs
            up to it; `checkpoint_error` where one could not be written,
            `weights_epoch` where its weights are kept, and `weights_error` where they cannot be.
        seconds: wall time of the attempt, without the start of its worker, and that of the epochs
            which it took over from an earlier one; None where the attempt was ended from outside.
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


CHECKPOINT_LINE = "checkpoint: "
"""Begins each line about checkpoints in a trial's log; none of them tells why a trial ended."""


CHECKPOINT, WEIGHTS = "checkpoint.pt", "weights.pt"
"""Of a trial, in its folder; a checkpoint of a fold is `checkpoint-fold1.pt`."""


@dataclass(frozen=True, slots=True)
class KeptWeights:
    """The weights that a task leaves where it trains to its last epoch.

    Args:
        file: where.
        objective: of the epoch where this is best; None: of the last epoch.
    """

    file: str
    objective: str | None


@dataclass(frozen=True, slots=True)
class Checkpointing:
    """How a task keeps what a later attempt can go on from, and its weights.

    Args:
        every: epochs between checkpoints; None: none are kept.
        file: where it keeps its own; there is one at a time.
        earlier: where earlier attempts of its point kept theirs, if they came so far; the latest
            attempt first. They are read only.
        after_last: keep one after the last epoch too: of a fold, as the trial goes on after it.
        weights: None: none are left.
    """

    every: int | None
    file: str
    earlier: tuple[str, ...] = ()
    after_last: bool = False
    weights: KeptWeights | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """One trial, or a fold of it, as a worker gets it: plain values only.

    Args:
        number: tells its messages from those of other tasks: the trial's number in Optuna's
            storage, or where a trial has several folds, any that is free.
        config: the resolved config of a single run, as plain data.
        folder: where the worker writes its log.
        waits: pause after each epoch until the coordinator says whether to go on (pruners).
        fingerprint: of the images that the study was started with; None takes what is there.
        fold: of several folds that which is validated on, from 0.
        checkpoints: None: nothing is kept, and nothing read.
        own_files: digests of the user's own files that the study was started with, by file.
    """

    number: int
    config: Mapping[str, Any]
    folder: str
    waits: bool = False
    fingerprint: str | None = None
    fold: int = 0
    checkpoints: Checkpointing | None = None
    own_files: Mapping[str, str] = field(default_factory=dict)


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
        curve: empty in listings; see `cnnsearch.study.read`. With its probes. Of several folds the
            mean, with the probes of the first; where one of them ended the trial, that one's.
        folds: the curves of several folds; likewise.
        diagnosis: None for a trial that has none: running, failed or killed, or it was told not to
            be measured (`diagnose: false`).
        probe: of the network as it was initialised; None in listings.
        config: of its single run, as plain data; None in listings, and of cnnsearch 0.1.
        tags: what a user calls it, in alphabetical order.
        note: what a user wrote about it, one line.
        hidden: left out of lists, rankings and groups; counted and kept all the same.
        tests: what `cnnsearch test` measured with its config, by name, the first time first.
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
    folds: tuple[tuple[EpochResult, ...], ...] = ()
    diagnosis: Diagnosis | None = None
    probe: Probe | None = None
    config: Mapping[str, Any] | None = None
    tags: tuple[str, ...] = ()
    note: str | None = None
    hidden: bool = False
    tests: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class StudySummary:
    """One row of `cnnsearch list`.

    Args:
        counts: number of points by state.
        best: value of the best complete trial that is not hidden.
        direction: "maximize" or "minimize".
        started: of the first trial, seconds since 1970, UTC.
        updated: end of the latest trial, likewise.
        planned: number of points the study is to run, if known.
        config: the resolved config, as plain data.
        command: what goes on with it, see `cnnsearch.study.attributes.continuing`.
        repeats: of a study of repeats, the name of the study whose trials they are.
        stage: of a chain of searches, which narrow by themselves.
    """

    name: str
    counts: Mapping[State, int]
    best: float | None
    direction: str
    started: float | None
    updated: float | None
    planned: int | None
    config: Mapping[str, Any]
    command: str
    repeats: str | None = None
    stage: bool = False


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
    """Nothing happened for a moment: time to look at the clock.

    Args:
        gone: why the storage cannot be written now, where it cannot.
    """

    gone: str | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that the user should know of the search, told once."""

    text: str


Event = Began | Epoch | Ended | Notice | Tick
