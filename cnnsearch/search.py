"""The coordinator: next point -> executor -> outcome -> study.

A generator of events: whoever consumes them draws the display; closing it ends the search. The
executor is closed by whoever made it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cnnsearch import catalog
from cnnsearch.attempts import Attempts
from cnnsearch.config import Config, to_yaml
from cnnsearch.ending import ended, of_folds
from cnnsearch.environment import commit, with_commit
from cnnsearch.errors import CnnsearchError, StorageGoneError
from cnnsearch.executors import Executor, Lost, Message
from cnnsearch.folders import KeptCheckpoints, partial, settle, settle_all
from cnnsearch.fusion import take_group
from cnnsearch.objective import mean_curve, measured, value
from cnnsearch.ongoing import Running
from cnnsearch.own import digests
from cnnsearch.records import (
    Began,
    Ended,
    Epoch,
    EpochResult,
    Event,
    Notice,
    Outcome,
    Prepared,
    Start,
    State,
    Task,
    Tick,
)
from cnnsearch.study.store import Study

_LOOK_S = 0.25
_INTERRUPTED = "interrupted"
_STOPPED = "stopped by the user"


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a search does at a time, and when it stops by itself or is stopped.

    Args:
        timeout_s: no trial begins after so many seconds.
        trial_timeout_s: a trial that tells nothing for so long has failed.
        patience_s: so long a storage that is gone is waited for.
        fused: at most so many trials are trained together as one batched network.
        interrupted: asked often; True ends the running trials as killed, at once.
    """

    timeout_s: float | None = None
    trial_timeout_s: float | None = None
    patience_s: float = 600.0
    fused: int = 1
    interrupted: Callable[[], bool] = lambda: False


class Coordinator:
    """Runs what remains of a study on an executor."""

    def __init__(self, study: Study, config: Config, executor: Executor, limits: Limits) -> None:
        assert config.search is not None
        self._search = config.search
        self._prunes = catalog.PRUNERS[config.search.pruner].target is not None
        self._sequential = catalog.SAMPLERS[config.search.sampler].sequential
        self._study = study
        self._config = config
        self._executor = executor
        self._limits = limits
        self._running: dict[int, Running] = {}
        self._of_task: dict[int, Running] = {}
        # By task the first task of its submission: a group keeps one worker busy.
        self._submission: dict[int, int] = {}
        self._commit = commit(Path.cwd())
        self._kept = KeptCheckpoints(study.name, config.checkpoint, config.search.objective)
        self._attempts = Attempts(deque(), 0)  # until `run`
        self._own_files = digests(config.own_names())
        self._stopped = self._stopped_now = False
        single = config.data.folds > 1 or config.checkpoint.keeps or self._sequential
        self._fused = 1 if single else limits.fused

    def run(self, waiting: deque[Start]) -> Iterator[Event]:
        """Run all that waits, telling what happens.

        Raises:
            CnnsearchError: workers cannot start, or one failure came five times in a row.
        """
        deadline = (
            None if self._limits.timeout_s is None else (time.monotonic() + self._limits.timeout_s)
        )
        settle_all(self._study.name)
        if self._config.checkpoint.every is not None or any(s.attempt > 1 for s in waiting):
            self._kept.find(self._study.trials())
        self._attempts = Attempts(waiting, self._search.retries)
        try:
            while True:
                if self._limits.interrupted() or self._stopped_now:
                    return
                in_time = deadline is None or time.monotonic() < deadline
                in_time = in_time and not self._stopped
                if self._study.gone is None:
                    yield from self._fill(waiting, in_time)
                    left = in_time and (waiting or self._attempts.alone)
                    if not self._running and not left and self._study.gone is None:
                        return
                # Whatever was told before this moment is taken before anyone is called stuck.
                asked = time.monotonic()
                for message in self._executor.wait(_LOOK_S):
                    yield from self._take(message)
                yield from self._end_stuck(asked)
                yield from map(Notice, [*self._executor.notices(), *self._kept.notices()])
                self._attempts.stop_on_failures()
                self._study.apply_requests()
                yield from self._stop(self._study.stops())
                yield self._waited()
        except CnnsearchError:
            yield from map(Notice, self._executor.notices())  # what led to it
            raise
        finally:
            self._kill_all()

    @property
    def stopped(self) -> bool:
        """Whether `stop` asked for its end."""
        return self._stopped

    def _waited(self) -> Tick:
        """A moment has passed.

        Raises:
            StorageGoneError: the storage is gone for too long.
        """
        gone = self._study.gone
        if gone is None:
            return Tick()
        if gone.seconds > self._limits.patience_s:
            raise StorageGoneError(
                f"{gone.message}\nIt is gone for {gone.seconds:.0f} s, the search stops. "
                "Results that wait are kept; the next run takes them in."
            )
        return Tick(gone.message)

    def _fill(self, waiting: deque[Start], in_time: bool) -> Iterator[Event]:
        """Give free workers something to do."""
        while len(set(self._submission.values())) < self._executor.slots:
            running = self._next(bool(waiting) and in_time)
            if running is not None:
                self._submit([running])
            elif not in_time or self._study.gone is not None:
                return
            elif waiting:
                yield from self._begin_next(waiting, self._fused)
            elif self._attempts.alone and not self._running:
                yield from self._begin_next(self._attempts.alone, 1)
            else:
                return

    def _next(self, others: bool) -> Running | None:
        """The trial whose next fold is to be run, if not a new trial.

        Where a pruner decides after each fold, folds are run ahead of its word only by workers that
        would have nothing else to do; those of a trial that is tried alone are run one by one.
        """
        for one in self._running.values():
            by_one = (self._prunes and others) or self._attempts.is_alone(one.start)
            if one.next_fold is not None and not (by_one and one.tasks):
                return one
        return None

    def _begin_next(self, waiting: deque[Start], most: int) -> Iterator[Event]:
        """Begin the next trial, with others of its structure, so many in all."""
        starts = take_group(waiting, most, self._config.model.dropout)
        group: list[Running] = []
        try:
            for start in starts:
                group += [self._begin(start)]
        except StorageGoneError as error:
            self._study.is_gone(error)
            waiting.extendleft(reversed(starts[len(group) :]))
        if group:
            self._submit(group)
        yield from (Began(running.trial) for running in group)

    def _begin(self, start: Start) -> Running:
        if self._sequential and not start.params:
            start = replace(start, params=self._study.draw(start.point))
        trial = self._study.begin(start)
        config = self._config.at(trial.params, trial.seed)
        self._running[trial.number] = Running(start, trial, config)
        file = partial(self._study.name, trial.number) / "config.yaml"
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(to_yaml(config), encoding="utf-8")
        except OSError as error:
            raise CnnsearchError(
                f"cannot write {file}: {error.strerror}. The search stops; mend it, run again."
            ) from error
        return self._running[trial.number]

    def _submit(self, group: Sequence[Running]) -> None:
        """Give a trial, or its next fold, or trials to be fused, to a free worker."""
        tasks = [self._task(running) for running in group]
        for task in tasks:
            self._submission[task.number] = tasks[0].number
        self._executor.submit(tasks)

    def _task(self, running: Running) -> Task:
        fold, trial = running.next_fold, running.trial
        assert fold is not None
        # Numbers of trials count up; what is below them is free for further folds.
        number = trial.number if fold == 0 else min(self._of_task, default=0) - 1
        number = min(number, -1) if fold else number
        running.tasks[number], running.curves[fold] = fold, []
        running.heard = time.monotonic()
        self._of_task[number] = running
        folder = str(partial(self._study.name, trial.number))
        waits = self._prunes and running.config.data.folds == 1
        plain, fingerprint = running.config.plain(), self._study.fingerprint
        kept = self._kept.plan(running.start, trial.number, fold, running.config.data.folds)
        files = self._own_files
        return Task(number, plain, folder, waits, fingerprint, fold, kept, files)

    def _take(self, message: Message) -> Iterator[Event]:
        running = self._of_task.get(message.number)
        if running is None:
            return  # the late result of an attempt that was given up
        running.heard = time.monotonic()
        content, fold = message.content, running.tasks[message.number]
        if isinstance(content, Prepared):
            if fold == 0:
                running.prepared = with_commit(content, self._commit)
        elif isinstance(content, EpochResult):
            running.curves[fold].append(content)
            yield Epoch(running.trial, replace(content, epoch=running.epochs))
            if running.config.data.folds == 1:
                yield from self._judge_epoch(running, content)
            elif running.stops and not running.is_over:
                yield from self._stop_trial(running)
        elif isinstance(content, Lost):
            if self._limits.interrupted():  # it died of that, which costs no attempt
                yield self._end(running, Outcome(State.KILLED, _INTERRUPTED))
            else:
                yield self._end(running, self._attempts.after_loss(running.start, content))
        elif running.config.data.folds == 1:
            yield self._end(running, content)
        else:
            self._end_task(running, message.number)
            yield from self._fold_ended(running, fold, content)

    def _judge_epoch(self, running: Running, result: EpochResult) -> Iterator[Event]:
        """Report an epoch; let the trial go on, or prune it."""
        number, objective = running.trial.number, self._search.objective
        self._study.report(number, result.epoch, measured(result, objective))
        last = result.epoch >= running.config.train.epochs
        if running.stops and not last:
            yield from self._stop_trial(running)
            return
        if not self._prunes:
            return
        prune = not last and self._study.should_prune(number)
        self._executor.answer(number, not prune)
        running.heard = time.monotonic()  # it waited for us, maybe long
        if prune:
            where = f"after epoch {result.epoch}"
            yield self._end(running, self._pruned(measured(result, objective), where))

    def _pruned(self, value: float, where: str) -> Outcome:
        return Outcome(State.PRUNED, f"{self._search.objective} {value:.4g} {where}: not promising")

    def _fold_ended(self, running: Running, fold: int, outcome: Outcome) -> Iterator[Event]:
        """Go on with the other folds, or end the trial: by its first fold that is lost, by the
        pruner after any, or when the last is complete. In the folds' order, whatever the workers'.
        """
        running.outcomes[fold] = outcome
        if outcome.state is not State.COMPLETE:
            self._drop(running, after=fold)
        folds, search = running.config.data.folds, self._search
        while (one := running.outcomes.get(running.judged)) is not None:
            running.judged += 1
            whole = of_folds([running.outcomes[i] for i in range(running.judged)], folds)
            if one.state is not State.COMPLETE:
                yield self._end(running, whole)
                return
            curve = mean_curve(running.first(running.judged))
            mean = value(curve, search.objective, search.at)
            assert mean is not None
            self._study.report(running.trial.number, running.judged, mean)
            if running.judged == folds:
                yield self._end(running, whole)
                return
            if self._prunes and self._study.should_prune(running.trial.number):
                yield self._end(running, self._pruned(mean, f"after {running.judged} folds"))
                return

    def _stop(self, requests: Sequence[Mapping[str, Any]]) -> Iterator[Event]:
        """Do what `stop` asks for: end the search, or some of the running trials."""
        for request in requests:
            now = request.get("now", False)
            if not request["trials"] and (not self._stopped or now > self._stopped_now):
                self._stopped, self._stopped_now = True, self._stopped_now or now
                what = "is ended" if now else "goes on to its end"
                yield Notice(f"stop was asked for: no trial begins any more, what runs {what}")
            for number in request["trials"]:
                if number in self._running:
                    self._running[number].stops = True
            for number in request["trials"] if now else ():
                if number in self._running:  # not ended with one that it was fused with
                    yield from self._stop_trial(self._running[number])

    def _stop_trial(self, running: Running) -> Iterator[Event]:
        """End a trial for good; those fused with it run again, which costs them no retry."""
        groups = {self._submission[number] for number in running.tasks}
        for number in list(running.tasks):
            self._executor.kill(number)
        together = [
            other
            for other in self._running.values()
            if other is running or groups & {self._submission[k] for k in other.tasks}
        ]
        for one in together:
            if one.stops:
                after = f" after epoch {one.epochs}" if one.epochs else " in its first epoch"
                yield self._end(one, Outcome(State.PRUNED, f"{_STOPPED}{after}"))
            else:
                why = f"was trained together with trial {running.trial.number}, which was stopped"
                yield self._end(one, self._attempts.again(one.start, why))

    def _end_stuck(self, now: float) -> Iterator[Event]:
        """End trials of which nothing was heard for too long; those fused with them run again."""
        limit = self._limits.trial_timeout_s
        if limit is None:
            return
        stuck = [r for r in self._running.values() if r.tasks and now - r.heard > limit]
        groups = {self._submission[number] for one in stuck for number in one.tasks}
        for running in list(self._running.values()):
            if not groups & {self._submission[number] for number in running.tasks}:
                continue
            for number in running.tasks:
                self._executor.kill(number)
            if running in stuck:
                reason = f"told nothing for {limit:.0f} s, which --trial-timeout allows"
                facts = {"type": "timeout", "where": "worker"}
                yield self._end(running, Outcome(State.FAILED, reason, facts))
            else:
                lost = Lost("was trained together with a trial that got stuck")
                yield self._end(running, self._attempts.after_loss(running.start, lost))

    def _forget(self, running: Running) -> None:
        """Take no more messages of a trial."""
        for number in list(running.tasks):
            self._end_task(running, number)

    def _end_task(self, running: Running, number: int) -> None:
        del running.tasks[number], self._of_task[number], self._submission[number]

    def _drop(self, running: Running, after: int = -1) -> None:
        """End what runs of a trial's later folds."""
        for number, fold in list(running.tasks.items()):
            if fold > after:
                self._executor.kill(number)
                self._end_task(running, number)

    def _end(self, running: Running, outcome: Outcome) -> Ended:
        outcome = self._attempts.after_failure(running.start, outcome)
        if outcome.state is not State.KILLED:
            self._attempts.count(outcome)
        if running.config.data.folds > 1:
            self._drop(running)
        self._forget(running)
        del self._running[running.trial.number]
        settle(self._study.name, running.trial.number)
        search = self._search
        curves = running.first(running.judged or 1)
        trial = ended(running.trial, outcome, running.prepared, curves, search.objective, search.at)
        self._study.finish(trial)
        stored = self._study.gone is None
        self._kept.ended(running.start, running.trial.number, outcome, stored)
        return Ended(trial)

    def _kill_all(self) -> None:
        """Mark what still runs as killed; its workers end when the executor is closed."""
        stopped = _STOPPED if self._stopped_now else "the search stopped"
        reason = _INTERRUPTED if self._limits.interrupted() else stopped
        for running in list(self._running.values()):
            self._forget(running)
            self._end(running, Outcome(State.KILLED, reason))
