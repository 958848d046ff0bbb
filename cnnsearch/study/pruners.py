"""The pruners, as Optuna's `BasePruner`s: any Optuna program can use them.

Steps are epochs, or the folds of a trial that has several, and count from 1. How many steps a trial
has stands in the config that is stored with it.
"""

from __future__ import annotations

import math
import pkgutil
from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Iterator
from itertools import islice

import optuna
from optuna.pruners import BasePruner, MedianPruner
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from cnnsearch import catalog
from cnnsearch.records import State
from cnnsearch.space import unit
from cnnsearch.study import attributes

# A rung of a bracket: the step at which the bracket's first rung stands, and its own.
Rung = tuple[int, int]


class SuccessiveHalvingPruner(BasePruner):
    """Asynchronous successive halving (Li et al. 2020), by stopping: nothing waits for a promotion.

    Rungs stand at 1, 3, 9, ... steps, where at least as many steps follow as lead there. A trial
    goes on from a rung when its value there, as in the paper that of this very step, is among the
    best third of all values that the rung has seen, its own included; with fewer than three values
    when it is the best. Of equals the earlier one is better, so that trials that only guess do not
    pull each other up.

    A trial that diverged was tried and lost, whatever it had reached before: it counts as the worst
    at the rungs where it was, and at the next one, on the way to which it was lost. Beyond that it
    counts no more than one pruned there. Failed and killed trials count for nothing, so that the
    next attempt at a point does not compete with the one before.

    Optuna's own pruner puts its rungs where the longest trial so far lets it, lets a trial that is
    equal to the last of the best go on, and knows no diverged trials.

    Args:
        steps: of a trial stored without a config; None where that is not known.
        factor: eta of the paper: one in so many goes on.
    """

    def __init__(self, steps: int | None = None, factor: int = 3) -> None:
        self._steps = steps
        self._factor = factor
        # Of trials that have ended, which are looked at once: the smaller, the better.
        self._values: defaultdict[Rung, list[float]] = defaultdict(list)
        self._known = 0
        self._open: set[int] = set()

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Whether the trial ends at the rung that it has just reached. For one study only."""
        step = trial.last_step
        sign = -1.0 if study.direction is StudyDirection.MAXIMIZE else 1.0
        reached = [
            (rung, value)
            for rung, at, value in self._reached(trial, sign)
            if at == step  # the others were judged before
        ]
        if not reached:
            return False
        running = self._look(study, sign)
        beside = [dict(self._counted(one, sign)) for one in running if one.number != trial.number]
        return any(
            not self._goes_on(rung, value, [one[rung] for one in beside if rung in one])
            for rung, value in reached
        )

    def _goes_on(self, rung: Rung, value: float, beside: list[float]) -> bool:
        """Whether a value is among the best of its rung.

        Args:
            beside: the values there of other trials that still run.
        """
        ended = self._values[rung]
        ahead = bisect_right(ended, value) + sum(other <= value for other in beside)
        count = len(ended) + len(beside) + 1
        return math.isfinite(value) and ahead < max(1, count // self._factor)

    def _look(self, study: optuna.Study, sign: float) -> list[FrozenTrial]:
        """Take in the trials that have ended since the last look; those that run."""
        trials = study.get_trials(deepcopy=False)  # by number, without a gap
        fresh = [trials[number] for number in (*self._open, *range(self._known, len(trials)))]
        self._known = len(trials)
        self._open = {trial.number for trial in fresh if not trial.state.is_finished()}
        for trial in fresh:
            if trial.state.is_finished():
                for rung, value in self._counted(trial, sign):
                    insort(self._values[rung], value)
        return [trials[number] for number in self._open]

    def _counted(self, trial: FrozenTrial, sign: float) -> Iterator[tuple[Rung, float]]:
        """Where a trial counts in the others' judgement, and with what."""
        if trial.state is TrialState.FAIL:
            return
        reached = list(self._reached(trial, sign))
        lost = trial.state is TrialState.PRUNED and (
            not reached or reached[-1][1] != trial.last_step or _has_diverged(trial)
        )
        for rung, _, value in reached:
            yield rung, math.inf if lost else value
        if lost:
            ahead = islice(self._rungs(trial), len(reached), len(reached) + 1)
            yield from ((rung, math.inf) for rung in ahead)

    def _reached(self, trial: FrozenTrial, sign: float) -> Iterator[tuple[Rung, int, float]]:
        """The rungs where a trial was: each with the step reported there, and its value.

        A program that reports every few steps is judged at its first report from a rung on.
        """
        values = trial.intermediate_values
        for rung in self._rungs(trial):
            at = min((step for step in values if step >= rung[1]), default=None)
            if at is None:
                return
            yield rung, at, math.inf if math.isnan(values[at]) else sign * values[at]

    def _rungs(self, trial: FrozenTrial) -> Iterator[Rung]:
        """The rungs of a trial, lowest first; without an end where its steps are not known."""
        steps = self._steps_of(trial)
        first = self._first(trial, steps)
        for rung in self._heights(first, steps):
            yield first, rung

    def _heights(self, first: int, steps: int | None) -> Iterator[int]:
        while steps is None or 2 * first <= steps:
            yield first
            first *= self._factor

    def _first(self, trial: FrozenTrial, steps: int | None) -> int:  # noqa: ARG002
        """Where the trial's first rung is to stand."""
        return 1

    def _steps_of(self, trial: FrozenTrial) -> int | None:
        config = trial.user_attrs.get(attributes.CONFIG)
        if config is None:
            return self._steps
        validation = config["data"]["validation"]
        steps = validation["folds"] if isinstance(validation, dict) else config["train"]["epochs"]
        return int(steps)


class HyperbandPruner(SuccessiveHalvingPruner):
    """Hyperband (Li et al. 2018): successive halving in brackets of other first rungs.

    A trial of 9 steps is judged from step 1 on, or from step 3 on, or never, 9 to 5 to 3 of 17 as
    in the paper, and competes within its bracket only: for trials that begin slowly. Its bracket
    follows from its seed, and so from its point (of another program's trials, from the number); in
    Optuna's it follows from the study's name and the number. Where the number of steps is not known
    there is one bracket.
    """

    def _first(self, trial: FrozenTrial, steps: int | None) -> int:
        if steps is None:
            return 1
        starts = [*self._heights(1, steps), steps]  # from the last on nothing is judged
        count = len(starts)
        shares = [
            math.ceil(count / (count - place) * self._factor ** (count - 1 - place))
            for place in range(count)
        ]
        left = unit("bracket", _identity(trial)) * sum(shares)
        for start, share in zip(starts, shares, strict=True):
            left -= share
            if left < 0:
                return start
        return starts[-1]


class PatientPruner(BasePruner):
    """A pruner that may end a trial only once it has not improved for some steps.

    Equal is not better: with Optuna's own patient pruner a trial that only guesses, whose accuracy
    stays the same, is never pruned.

    Args:
        patience: so many last steps must be no better than those before them.
        pruner: that then decides; Optuna's median pruner without it.
    """

    def __init__(self, patience: int, pruner: BasePruner | None = None) -> None:
        self._patience = patience
        self._pruner = pruner or MedianPruner()

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Whether the trial has stood still and the other pruner gives it up."""
        values = [value for _, value in sorted(trial.intermediate_values.items())]
        before, last = values[: -self._patience], values[-self._patience :]
        if not before:
            return False
        maximize = study.direction is StudyDirection.MAXIMIZE
        improved = max(last) > max(before) if maximize else min(last) < min(before)
        return not improved and self._pruner.prune(study, trial)


def make_pruner(name: str) -> BasePruner | None:
    """The pruner of a row of the catalog; None for `none`."""
    row = catalog.PRUNERS[name]
    if row.target is None:
        return None
    pruner = pkgutil.resolve_name(row.target)(**row.arguments)
    assert isinstance(pruner, BasePruner)
    return pruner


def _has_diverged(trial: FrozenTrial) -> bool:
    result = trial.user_attrs.get(attributes.RESULT) or {}
    return result.get("state") == State.DIVERGED


def _identity(trial: FrozenTrial) -> int:
    return int(attributes.unfolded(trial.user_attrs).get(attributes.SEED, trial.number))
