"""The coordinator: next point -> executor -> outcome -> study.

A generator of events: whoever consumes them draws the display; closing it ends the search. The
executor is closed by whoever made it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from cnnsearch import catalog
from cnnsearch.config import Config, to_yaml
from cnnsearch.ending import ended
from cnnsearch.errors import CnnsearchError
from cnnsearch.executors import Executor, Lost, Message
from cnnsearch.objective import measured
from cnnsearch.records import (
    Began,
    Ended,
    Epoch,
    EpochResult,
    Event,
    Outcome,
    Prepared,
    Start,
    State,
    Task,
    Tick,
    Trial,
)
from cnnsearch.study.location import study_folder, trial_folder
from cnnsearch.study.store import Study

# So many failures in a row, with one exception at one line, are a defect of the set-up.
FAILURES_IN_A_ROW = 5
_LOOK_S = 0.25
_INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class Limits:
    """When a search stops by itself or is stopped.

    Args:
        timeout_s: no trial begins after so many seconds.
        interrupted: asked often; True ends the running trials as killed, at once.
    """

    timeout_s: float | None = None
    interrupted: Callable[[], bool] = lambda: False


@dataclass(slots=True)
class _Running:
    """A trial in an executor's hands."""

    start: Start
    trial: Trial
    prepared: Prepared | None = None
    curve: list[EpochResult] = field(default_factory=list)


class Coordinator:
    """Runs what remains of a study on an executor."""

    def __init__(self, study: Study, config: Config, executor: Executor, limits: Limits) -> None:
        assert config.search is not None
        self._prunes = catalog.PRUNERS[config.search.pruner].target is not None
        self._study = study
        self._config = config
        self._executor = executor
        self._limits = limits
        self._running: dict[int, _Running] = {}
        self._losses: dict[str, int] = {}
        self._failures: deque[tuple[str | None, str | None]] = deque(maxlen=FAILURES_IN_A_ROW)
        self._defect: Outcome | None = None

    def run(self, waiting: deque[Start]) -> Iterator[Event]:
        """Run all that waits, telling what happens.

        Raises:
            CnnsearchError: workers cannot start, or one failure came five times in a row.
        """
        deadline = (
            None if self._limits.timeout_s is None else (time.monotonic() + self._limits.timeout_s)
        )
        settle_all(self._study.name)
        try:
            while True:
                if self._limits.interrupted():
                    return
                in_time = deadline is None or time.monotonic() < deadline
                while waiting and in_time and len(self._running) < self._executor.slots:
                    yield Began(self._begin(waiting.popleft()))
                if not self._running:
                    return
                messages = self._executor.wait(_LOOK_S)
                for message in messages:
                    yield from self._take(message, waiting)
                self._stop_on_failures()
                yield Tick()
        finally:
            self._kill_all()

    def _begin(self, start: Start) -> Trial:
        search = self._config.search
        assert search is not None
        if catalog.SAMPLERS[search.sampler].sequential and not start.params:
            start = replace(start, params=self._study.draw(start.point))
        trial = self._study.begin(start)
        folder = _partial(trial_folder(self._study.name, trial.number))
        folder.mkdir(parents=True, exist_ok=True)
        config = self._config.at(trial.params, trial.seed)
        (folder / "config.yaml").write_text(to_yaml(config), encoding="utf-8")
        self._running[trial.number] = _Running(start, trial)
        self._executor.submit(
            Task(trial.number, config.plain(), str(folder), self._prunes, self._study.fingerprint)
        )
        return trial

    def _take(self, message: Message, waiting: deque[Start]) -> Iterator[Event]:
        running = self._running.get(message.number)
        if running is None:
            return  # the late result of an attempt that was given up
        content = message.content
        if isinstance(content, Prepared):
            running.prepared = content
        elif isinstance(content, EpochResult):
            running.curve.append(content)
            self._study.report(message.number, content)
            yield Epoch(running.trial, content)
            yield from self._judge(running, content)
        elif isinstance(content, Lost):
            yield self._end(running, self._after_loss(running.start, content, waiting))
        else:
            yield self._end(running, content)

    def _judge(self, running: _Running, result: EpochResult) -> Iterator[Event]:
        """Let a trial go on after an epoch, or prune it."""
        search = self._config.search
        assert search is not None
        if not self._prunes:
            return
        number = running.trial.number
        last = result.epoch >= self._config.at(running.trial.params, 0).train.epochs
        prune = not last and self._study.should_prune(number)
        self._executor.answer(number, not prune)
        if prune:
            objective = measured(result, search.objective)
            reason = f"{search.objective} {objective:.4g} after epoch {result.epoch}: not promising"
            yield self._end(running, Outcome(State.PRUNED, reason))

    def _after_loss(self, start: Start, lost: Lost, waiting: deque[Start]) -> Outcome:
        """Killed and to be tried again, or failed where the retries are used up."""
        search = self._config.search
        assert search is not None
        if self._limits.interrupted():
            return Outcome(State.KILLED, _INTERRUPTED)
        self._losses[start.key] = self._losses.get(start.key, 0) + 1
        losses = self._losses[start.key]
        if losses > search.retries:
            times = "once" if losses == 1 else f"{losses} times"
            return Outcome(State.FAILED, f"lost its worker {times}; {lost.reason}")
        waiting.appendleft(replace(start, attempt=start.attempt + 1))
        return Outcome(State.KILLED, lost.reason)

    def _end(self, running: _Running, outcome: Outcome) -> Ended:
        if outcome.state is not State.KILLED:
            self._count_failure(outcome)
        del self._running[running.trial.number]
        _settle(trial_folder(self._study.name, running.trial.number))
        search = self._config.search
        assert search is not None
        trial = ended(
            running.trial, outcome, running.prepared, running.curve, search.objective, search.at
        )
        self._study.finish(trial)
        return Ended(trial)

    def _count_failure(self, outcome: Outcome) -> None:
        kind = (outcome.facts.get("type"), outcome.facts.get("where"))
        if outcome.state is not State.FAILED:
            self._failures.clear()
        else:
            self._failures.append(kind)
        if self._failures.count(kind) == FAILURES_IN_A_ROW:
            self._defect = outcome

    def _stop_on_failures(self) -> None:
        """End the search where one failure came five times in a row.

        Raises:
            CnnsearchError: it did.
        """
        if self._defect is not None:
            raise CnnsearchError(
                f"{FAILURES_IN_A_ROW} trials in a row failed in the same way, the search stops: "
                f"{self._defect.reason} ({self._defect.facts.get('where', 'worker')})\n"
                "Once mended: cnnsearch run FILE --retry failed"
            )

    def _kill_all(self) -> None:
        """Mark what still runs as killed; its workers end when the executor is closed."""
        reason = _INTERRUPTED if self._limits.interrupted() else "the search stopped"
        for running in list(self._running.values()):
            self._end(running, Outcome(State.KILLED, reason))


def _partial(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.partial")


def _settle(folder: Path) -> None:
    """Give a trial's folder its name; one of an earlier study is kept beside it."""
    partial = _partial(folder)
    if not partial.exists():
        return
    older = 0
    while folder.exists():
        older += 1
        kept = folder.with_name(f"{folder.name}.old{older}")
        if not kept.exists():
            folder.rename(kept)
    partial.rename(folder)


def settle_all(study: str) -> None:
    """Give the folders that a dead coordinator left unfinished their names."""
    for partial in study_folder(study).glob(".*.partial"):
        _settle(partial.with_name(partial.name.removeprefix(".").removesuffix(".partial")))
