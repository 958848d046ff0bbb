"""How far a search is: read off its events, shown by `cnnsearch.render.display`."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from cnnsearch import ranking
from cnnsearch.records import Began, Ended, Epoch, EpochResult, Event, State, Trial
from cnnsearch.review.time_left import Pace, seconds_left


@dataclass(slots=True)
class Running:
    """A running trial and its last epoch."""

    trial: Trial
    since: float
    result: EpochResult | None = None


class SearchProgress:
    """Counts, the best trial, the running trials and the time left.

    Kept from event to event: counted anew for each drawing, 10,000 trials took 12 ms.
    """

    def __init__(
        self,
        before: Sequence[Trial],
        total: int,
        direction: str,
        slots: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start from what earlier runs left.

        Args:
            before: all attempts so far.
            total: number of points of the study.
            direction: "maximize" or "minimize".
            slots: trials that run at a time.
        """
        self.total = total
        self.running: dict[int, Running] = {}
        self._direction = direction
        self._slots = slots
        self._clock = clock
        self._ended: dict[str, Trial] = {}
        self._states: Counter[State] = Counter()
        self._verdicts: Counter[str] = Counter()
        self._best: Trial | None = None
        for trial in ranking.last_attempts(before):
            if trial.state is not State.KILLED:
                self._add(trial)
        self._seconds: list[float] = []
        self._at_once = 1

    def take(self, event: Event) -> None:
        """Follow an event."""
        if isinstance(event, Began):
            self._remove(event.trial.key)
            self.running[event.trial.number] = Running(event.trial, self._clock())
            self._at_once = max(self._at_once, len(self.running))
        elif isinstance(event, Epoch):
            self.running[event.trial.number].result = event.result
        elif isinstance(event, Ended):
            running = self.running.pop(event.trial.number)
            if event.trial.state is not State.KILLED:
                self._add(event.trial)
                self._seconds.append(self._clock() - running.since)

    def _add(self, trial: Trial) -> None:
        self._remove(trial.key)
        trial = _listed(trial)
        self._ended[trial.key] = trial
        self._states[trial.state] += 1
        if trial.diagnosis is not None:
            self._verdicts[trial.diagnosis.verdict] += 1
        known = () if self._best is None else (self._best,)
        self._best = ranking.best((*known, trial), self._direction)

    def _remove(self, key: str) -> None:
        """Forget how a point ended that is run again."""
        trial = self._ended.pop(key, None)
        if trial is None:
            return
        self._states[trial.state] -= 1
        if trial.diagnosis is not None:
            self._verdicts[trial.diagnosis.verdict] -= 1
        if trial is self._best:
            self._best = ranking.best(self._ended.values(), self._direction)

    @property
    def done(self) -> int:
        """Points that have ended."""
        return len(self._ended)

    @property
    def best(self) -> Trial | None:
        """The best complete trial."""
        return self._best

    @property
    def counts(self) -> Mapping[State, int]:
        """Ended points by state, in the order of ranking."""
        return {state: self._states[state] for state in State if self._states[state]}

    @property
    def verdicts(self) -> Mapping[str, int]:
        """Ended points by verdict, the most frequent first."""
        found = self._verdicts.most_common()
        return {verdict: count for verdict, count in found if count}

    def seconds_left(self, epochs: int | None = None) -> float | None:
        """Expected time to the end, or None before there is anything to judge by.

        From the trials that ended in this run, those stopped early included, and from those that
        run.

        Args:
            epochs: of every trial, where they do not differ.
        """
        now = self._clock()
        paces = [
            Pace(
                now - running.since,
                running.result.epoch if running.result else 0,
                self.epochs_of(running.trial, epochs),
            )
            for running in self.running.values()
        ]
        waiting = max(0, self.total - self.done - len(self.running))
        # Fewer than there are workers, where one trial keeps several busy with its folds.
        return seconds_left(self._seconds, paces, waiting, min(self._slots, self._at_once))

    @staticmethod
    def epochs_of(trial: Trial, epochs: int | None) -> int:
        """Epochs that a trial has in all; 0 where that is not known."""
        own = trial.params.get("epochs")
        return epochs or (own if isinstance(own, int) else 0)


def _listed(trial: Trial) -> Trial:
    """Without what a long search has no room for: 10,000 curves with their probes are 2 GB."""
    return replace(trial, curve=(), folds=(), probe=None)
