"""The coordinator: next point -> executor -> outcome -> study.

A generator of events: whoever consumes them draws the display; closing it ends the search.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from cnnsearch import catalog
from cnnsearch.config import Config, to_yaml
from cnnsearch.errors import CnnsearchError
from cnnsearch.executors import Executor, Lost, Message
from cnnsearch.objective import measured
from cnnsearch.ranking import last_attempts
from cnnsearch.records import (
    Began,
    Ended,
    Epoch,
    EpochResult,
    Event,
    Outcome,
    State,
    Task,
    Tick,
    Trial,
)
from cnnsearch.space import Grid, point_key, random_point, trial_seed
from cnnsearch.study.samplers import draw, make_sampler
from cnnsearch.study.store import Start, Study, trial_folder

# So many failures in a row, with one exception at one line, are a defect of the set-up.
FAILURES_IN_A_ROW = 5
_LOOK_S = 0.25


@dataclass(frozen=True, slots=True)
class Limits:
    """When a search stops by itself or is stopped.

    Args:
        timeout_s: no trial begins after so many seconds.
        interrupted: asked often; True ends the running trials as killed, at once.
    """

    timeout_s: float | None = None
    interrupted: Callable[[], bool] = lambda: False


def planned(config: Config, trials: int | None = None) -> int:
    """How many points a search has.

    Args:
        trials: the total asked for with `-n`; a grid without it is run whole.
    """
    assert config.search is not None
    assert config.space is not None
    if not catalog.SAMPLERS[config.search.sampler].finite:
        assert config.search.trials is not None, "config checks this"
        return config.search.trials
    size = len(Grid(config.space))
    wanted = trials or config.search.trials
    return size if wanted is None else min(wanted, size)


def places(config: Config, count: int) -> Iterable[int]:
    """The points of a search in the order they are run.

    A part of a grid is taken in an order shuffled by the seed.
    """
    assert config.search is not None
    assert config.space is not None
    if catalog.SAMPLERS[config.search.sampler].finite:
        grid = Grid(config.space)
        if count < len(grid):
            shuffled = grid.shuffled(config.seed)
            return (place for place, _ in zip(shuffled, range(count), strict=False))
    return range(count)


def remaining(
    config: Config, trials: Iterable[Trial], count: int, retry_failed: bool = False
) -> deque[Start]:
    """What has to run: each point that has not ended, with its next attempt.

    Points of tpe have no parameters yet: they depend on the trials before them.

    Args:
        trials: all attempts so far.
        count: see `planned`.
    """
    attempts = {trial.key: trial for trial in last_attempts(trials)}
    again = {State.KILLED, State.RUNNING} | ({State.FAILED} if retry_failed else set())
    found: deque[Start] = deque()
    for start in _starts(config, count):
        last = attempts.get(start.key)
        if last is None:
            found.append(start)
        elif last.state in again:
            found.append(replace(start, attempt=last.attempt + 1, params=last.params))
    return found


def _starts(config: Config, count: int) -> Iterator[Start]:
    """The first attempt of each point, in order."""
    assert config.search is not None
    assert config.space is not None
    row = catalog.SAMPLERS[config.search.sampler]
    sampler = make_sampler(row.name, config.space, config.seed)
    for k in places(config, count):
        params = {} if row.sequential else draw(sampler, None, config.space, k)
        key = point_key(params) if row.finite else str(k)
        yield Start(k, key, 1, trial_seed(config.seed, key if row.finite else k), params)


def samples(config: Config, count: int, most: int = 3) -> list[Config]:
    """Single runs from all over a search, to measure what a trial costs."""
    assert config.search is not None
    assert config.space is not None
    chosen = list(places(config, count))
    some = sorted({chosen[i * (len(chosen) - 1) // max(1, most - 1)] for i in range(most)})
    if catalog.SAMPLERS[config.search.sampler].finite:
        grid = Grid(config.space)
        return [config.at(grid[place], config.seed) for place in some]
    return [config.at(random_point(config.space, config.seed, k), config.seed) for k in some]


@dataclass(slots=True)
class _Running:
    """A trial in an executor's hands."""

    start: Start
    trial: Trial
    curve: list[EpochResult] = field(default_factory=list)


class Coordinator:
    """Runs what remains of a study on an executor."""

    def __init__(self, study: Study, config: Config, executor: Executor, limits: Limits) -> None:
        self._study = study
        self._config = config
        self._executor = executor
        self._limits = limits
        self._running: dict[int, _Running] = {}
        self._losses: dict[str, int] = {}
        self._failures: deque[tuple[str, str]] = deque(maxlen=FAILURES_IN_A_ROW)

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
                if not messages:
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
            Task(trial.number, config.plain(), str(folder), waits=search.pruner != "none")
        )
        return trial

    def _take(self, message: Message, waiting: deque[Start]) -> Iterator[Event]:
        running = self._running.get(message.number)
        if running is None:
            return  # the late result of an attempt that was given up
        content = message.content
        if isinstance(content, EpochResult):
            running.curve.append(content)
            self._study.report(message.number, content)
            yield Epoch(running.trial, content)
            yield from self._judge(running, content)
        elif isinstance(content, Lost):
            yield self._end(running, self._after_loss(running.start, content, waiting))
        else:
            yield self._end(running, content)
            self._count_failure(content)

    def _judge(self, running: _Running, result: EpochResult) -> Iterator[Event]:
        """Let a trial go on after an epoch, or prune it."""
        search = self._config.search
        assert search is not None
        if search.pruner == "none":
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
        self._losses[start.key] = self._losses.get(start.key, 0) + 1
        losses = self._losses[start.key]
        if losses > search.retries:
            times = "once" if losses == 1 else f"{losses} times"
            return Outcome(State.FAILED, f"lost its worker {times}; {lost.reason}")
        waiting.appendleft(replace(start, attempt=start.attempt + 1))
        return Outcome(State.KILLED, lost.reason)

    def _count_failure(self, outcome: Outcome) -> None:
        if outcome.state is not State.FAILED:
            self._failures.clear()
            return
        self._failures.append((outcome.facts.get("error", ""), outcome.facts.get("where", "")))
        if len(self._failures) == FAILURES_IN_A_ROW and len(set(self._failures)) == 1:
            raise CnnsearchError(
                f"{FAILURES_IN_A_ROW} trials in a row failed in the same way, the search stops: "
                f"{outcome.reason} ({outcome.facts.get('where', '')})\n"
                f"Once mended: cnnsearch run FILE --retry failed"
            )

    def _end(self, running: _Running, outcome: Outcome) -> Ended:
        del self._running[running.trial.number]
        _settle(trial_folder(self._study.name, running.trial.number))
        return Ended(self._study.finish(running.trial, outcome, running.curve))

    def _kill_all(self) -> None:
        for number in list(self._running):
            self._executor.kill(number)
        for running in list(self._running.values()):
            self._end(running, Outcome(State.KILLED, "interrupted"))


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
    for partial in trial_folder(study, 0).parent.glob(".*.partial"):
        _settle(partial.with_name(partial.name.removeprefix(".").removesuffix(".partial")))
