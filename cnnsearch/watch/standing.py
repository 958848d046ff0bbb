"""How a search stands, from what its storage tells: counts, rates, time left, what runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cnnsearch import ranking
from cnnsearch.records import State, Trial
from cnnsearch.review.time_left import Pace, seconds_left
from cnnsearch.study.following import Coordinator, Points, Snapshot

_OPEN = (State.RUNNING, State.KILLED)


@dataclass(frozen=True, slots=True)
class Running:
    """A trial that runs.

    Args:
        done: steps it has reported; `of`: steps it has in all.
        points: the objective by step.
        seconds: since it began.
    """

    trial: Trial
    done: int
    of: int
    points: Points
    seconds: float

    @property
    def value(self) -> float | None:
        """What it reported last."""
        return self.points[-1][1] if self.points else None


@dataclass(frozen=True, slots=True)
class Rates:
    """How fast the search that runs, or ran last, is: means since it was started.

    Args:
        left_s: expected time to its end; None where it does not run, or has trained no epoch yet.
    """

    trials_per_minute: float | None = None
    epochs_per_second: float | None = None
    left_s: float | None = None


@dataclass(frozen=True, slots=True)
class Tally:
    """What follows from the trials alone; counted anew when one of them has changed.

    Args:
        points: each point's last attempt, without those hidden.
        done: points that have ended.
    """

    attempts: Sequence[Trial]
    points: Sequence[Trial]
    counts: Mapping[State, int]
    verdicts: Mapping[str, int]
    best: Trial | None
    done: int


@dataclass(frozen=True, slots=True)
class Standing:
    """A study at one moment, as it is shown.

    Args:
        steps: what running trials report after: "epoch", or "fold".
        stage: of a chain's study, its number, and how many there are.
        command: what goes on with it.
        next_expected: it is a stage that is done, and the next one is being made.
    """

    study: str
    objective: str
    direction: str
    total: int
    tally: Tally
    running: Sequence[Running]
    rates: Rates
    held: bool
    coordinator: Coordinator | None
    parameters: Sequence[str]
    steps: str
    stage: tuple[int, int] | None
    command: str
    next_expected: bool = False

    @property
    def ended(self) -> bool:
        """Whether nothing is left to run."""
        return self.tally.done >= self.total and not self.running

    @property
    def goes_on(self) -> bool:
        """Whether it has ended, and is a stage after which another is to come."""
        return self.ended and self.stage is not None and self.stage[0] < self.stage[1]


def tally(trials: Sequence[Trial], direction: str) -> Tally:
    """Count the trials of a study; all attempts."""
    last = ranking.last_attempts(trials)
    counts = Counter(trial.state for trial in last)
    verdicts = Counter(trial.diagnosis.verdict for trial in last if trial.diagnosis is not None)
    return Tally(
        attempts=trials,
        points=[trial for trial in last if not trial.hidden],
        counts={state: counts[state] for state in State if counts[state]},
        verdicts=dict(verdicts.most_common()),
        best=ranking.best(last, direction),
        done=sum(trial.state not in _OPEN for trial in last),
    )


def standing(snapshot: Snapshot, now: float, known: Tally | None = None) -> Standing:
    """How a study stands.

    Args:
        now: seconds since 1970, UTC.
        known: what was counted before, used where no trial has changed since.
    """
    trials = snapshot.trials
    counted = known if known is not None and known.attempts is trials else None
    counted = counted or tally(trials, snapshot.direction)
    # The clock of the machine that runs the search may be ahead of this one's.
    now = max([now, *(trial.started for trial in trials[-1:] if trial.started is not None)])
    epochs, folds = _epochs(snapshot.config), _folds(snapshot.config)
    running = [
        _running(trial, snapshot.reports.get(trial.number, ()), epochs, folds, now)
        for trial in trials
        if trial.state is State.RUNNING
    ]
    total = max(snapshot.planned or 0, len({trial.key for trial in trials}))
    return Standing(
        study=snapshot.study,
        objective=snapshot.objective,
        direction=snapshot.direction,
        total=total,
        tally=counted,
        running=running,
        rates=_rates(snapshot, running, total - counted.done - len(running), now),
        held=snapshot.held,
        coordinator=snapshot.coordinator,
        parameters=list(snapshot.config.get("space") or ()),
        steps="fold" if folds > 1 else "epoch",
        stage=snapshot.stage,
        command=snapshot.command,
    )


def _running(trial: Trial, points: Points, epochs: int, folds: int, now: float) -> Running:
    told = trial.params.get("epochs", epochs)
    of = folds if folds > 1 else told if isinstance(told, int) else epochs
    seconds = max(0.0, now - trial.started) if trial.started is not None else 0.0
    return Running(trial, points[-1][0] if points else 0, of, points, seconds)


def _rates(snapshot: Snapshot, running: Sequence[Running], waiting: int, now: float) -> Rates:
    """From the trials since the search was started last, early ends included."""
    begun = snapshot.coordinator.started if snapshot.coordinator else None
    if begun is None:
        return Rates()
    ended = [
        (trial, trial.started + trial.seconds)
        for trial in snapshot.trials
        if trial.started is not None
        and trial.started >= begun
        and trial.seconds is not None
        and trial.state not in _OPEN
    ]
    over = now if snapshot.held else max((end for _, end in ended), default=begun)
    elapsed = over - begun
    if elapsed <= 0:
        return Rates()
    each = epochs_of_report(snapshot.config)
    epochs = sum(trial.facts.get("fold_epochs", trial.epochs) for trial, _ in ended)
    epochs += each * sum(one.done for one in running)
    took = [trial.seconds or 0.0 for trial, _ in ended]
    paces = [Pace(one.seconds, one.done, one.of) for one in running]
    # How many ran at a time, on average, the time that passes between trials included.
    at_once = (sum(took) + sum(pace.seconds for pace in paces)) / elapsed
    left = seconds_left(took, paces, waiting, at_once)
    return Rates(
        60 * len(ended) / elapsed if ended else None,
        epochs / elapsed if epochs else None,
        left if snapshot.held else None,
    )


def epochs_of_report(config: Mapping[str, object]) -> int:
    """Epochs that a running trial has trained when it reports once."""
    return _epochs(config) if _folds(config) > 1 else 1


def _epochs(config: Mapping[str, object]) -> int:
    train = config.get("train")
    epochs = train.get("epochs") if isinstance(train, Mapping) else None
    return epochs if isinstance(epochs, int) else 0


def _folds(config: Mapping[str, object]) -> int:
    data = config.get("data")
    validation = data.get("validation") if isinstance(data, Mapping) else None
    folds = validation.get("folds") if isinstance(validation, Mapping) else None
    return folds if isinstance(folds, int) else 1
