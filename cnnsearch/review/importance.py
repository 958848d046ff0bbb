"""Which hyperparameters mattered: what is asked of which trials, and what chance would answer too.

The evaluators themselves stand in `cnnsearch.study`: `importance` (Optuna's) and `fanova`.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cnnsearch.catalog import TARGETS
from cnnsearch.errors import InputError
from cnnsearch.records import State, Trial
from cnnsearch.review.chance import ALPHA

# Of fewer trials no hyperparameter, and of fewer best or diverged ones no group, is judged.
NEEDED, NEEDED_TOP = 20, 5
# The best trials are so many of all: a tenth, as in Optuna, would be 4 of 40.
_TOP_SHARE = 0.2
# Draws of half the trials: the outermost of 39 hold 95 %.
HALVES = 39


@dataclass(frozen=True, slots=True)
class Cases:
    """The trials that an evaluator looks at, and a number for each.

    Args:
        target: of `cnnsearch.catalog.TARGETS`.
        scores: the more of what is asked for, the higher: better, longer; of `diverged` 1 for the
            rarer outcome and 0 for the other.
        left_out: ended trials that have no such number.
    """

    target: str
    trials: tuple[Trial, ...]
    scores: tuple[float, ...]
    left_out: Mapping[State, int]

    @property
    def counts(self) -> Mapping[State, int]:
        """How many there are of each state."""
        return Counter(trial.state for trial in self.trials)


@dataclass(frozen=True, slots=True)
class Effect:
    """The importance of a hyperparameter, or of an interaction of two.

    Args:
        share: of all hyperparameters' importances (PED-ANOVA), or of the variance (fANOVA), 0..1.
        low: lower end of the 95 % interval of `share`; likewise `high`.
        p: probability that chance ties the target so to any of them, see
            `cnnsearch.review.association`.
        trials: in which it was active.
    """

    names: tuple[str, ...]
    share: float
    low: float
    high: float
    p: float
    trials: int

    @property
    def told(self) -> bool:
        """Whether it is told from chance."""
        return self.p < ALPHA


@dataclass(frozen=True, slots=True)
class Importances:
    """What an evaluator found.

    Args:
        effects: of the hyperparameters, the most important first.
        pairs: interactions of two that are told from chance, likewise; none of PED-ANOVA.
        pairs_judged: how many were looked at.
        explained: share of the variance that the model of fANOVA predicts of trials that it was
            not fitted to, at most 1, below 0 where it predicts nothing; None for PED-ANOVA.
        top: how many trials count as the best; None for fANOVA.
    """

    evaluator: str
    cases: Cases
    effects: tuple[Effect, ...]
    pairs: tuple[Effect, ...] = ()
    pairs_judged: int = 0
    explained: float | None = None
    top: int | None = None


def cases(ended: Sequence[Trial], target: str, direction: str, by_rank: bool, study: str) -> Cases:
    """The trials with a number for the target.

    A diverged trial is never better than a complete one, so its value counts as the lowest; without
    it a hyperparameter that makes trials diverge would seem to do nothing.

    Args:
        ended: complete, pruned and diverged trials, see `cnnsearch.review.verdicts.ended`.
        direction: "maximize" or "minimize".
        by_rank: see `cnnsearch.Evaluator`.

    Raises:
        InputError: too few trials, or the number is the same for all.
    """
    numbers = _numbers(ended, target, direction, by_rank)
    trials = tuple(trial for trial in ended if trial.number in numbers)
    found = Cases(
        target,
        trials,
        tuple(numbers[trial.number] for trial in trials),
        Counter(trial.state for trial in ended if trial.number not in numbers),
    )
    _check(found, study)
    return found


def _numbers(
    ended: Sequence[Trial], target: str, direction: str, by_rank: bool
) -> Mapping[int, float]:
    if target == "diverged":
        lost = {trial.number for trial in ended if trial.state is State.DIVERGED}
        few = 2 * len(lost) <= len(ended)  # the rarer ones are the ones to tell from the rest
        return {trial.number: float((trial.number in lost) is few) for trial in ended}
    complete = [trial for trial in ended if trial.state is State.COMPLETE]
    if target == "seconds":
        # What was stopped early took less time for another reason than its hyperparameters.
        return {t.number: t.seconds for t in complete if t.seconds is not None}
    sign = 1.0 if direction == "maximize" else -1.0
    values = {t.number: sign * t.value for t in complete if t.value is not None}
    lowest = min(values.values(), default=0.0)
    for trial in ended:
        if trial.state is State.DIVERGED or (by_rank and trial.state is State.PRUNED):
            values[trial.number] = lowest - (1.0 if by_rank else 0.0)
    return values


def _check(found: Cases, study: str) -> None:
    count, complete = len(found.trials), found.counts.get(State.COMPLETE, 0)
    if found.target == "diverged":
        diverged = found.counts.get(State.DIVERGED, 0)
        if count >= NEEDED and min(diverged, count - diverged) < NEEDED_TOP:
            raise InputError(
                f"--target diverged: {diverged} of {count} trials of {study} diverged; it takes "
                f"{NEEDED_TOP} that did and {NEEDED_TOP} that did not. Write --target value."
            )
    elif count >= NEEDED and complete < NEEDED_TOP:
        raise InputError(
            f"{study}: {complete} of {count} trials completed; importance takes {NEEDED_TOP}. "
            f"See why: cnnsearch diagnose {study}, or write --target diverged."
        )
    if count < NEEDED:
        kind = "complete" if found.target == "seconds" else "ended"
        raise InputError(
            f"{study}: {count} {kind} trials; importance takes {NEEDED}. "
            f"Run more: cnnsearch run FILE -n {2 * NEEDED}."
        )
    if len(set(found.scores)) == 1:
        raise InputError(
            f"{study}: {TARGETS[found.target].description} is the same in all {count} trials, so "
            "nothing makes a difference. Search a wider space."
        )


def top_count(scores: Sequence[float], share: float | None = None) -> int:
    """How many trials count as the best: a fifth, at least 5, and all that equal the last of them.

    Never all: where the last of them is the lowest there is, those above it.

    Args:
        share: of the trials; None for a fifth, at least 5.
    """
    order = sorted(scores, reverse=True)
    count = math.ceil(len(order) * _TOP_SHARE) if share is None else math.ceil(len(order) * share)
    cutoff = order[max(count, NEEDED_TOP if share is None else 1) - 1]
    if cutoff == order[-1]:
        return sum(score > cutoff for score in order)
    return sum(score >= cutoff for score in order)


def p_values(observed: Sequence[float], null: Sequence[Sequence[float]]) -> list[float]:
    """How often chance makes any of the numbers stand out as far as each does.

    The single-step maxT of P. H. Westfall and S. S. Young (1993): each number in units of its
    own spread under chance, held against the largest of each draw. So a study of many
    hyperparameters does not tell more of them by mistake than one of few.

    Args:
        null: the same numbers of each draw with a permuted target.
    """
    # Importances are sums of squares: of their roots chance has no long tail.
    observed = [math.sqrt(number) for number in observed]
    null = [[math.sqrt(number) for number in draw] for draw in null]
    columns = list(zip(observed, *null, strict=True))
    means = [statistics.fmean(column) for column in columns]
    # Of one that never differs, all distances are 0.
    spreads = [statistics.pstdev(column) or 1e-12 for column in columns]
    highest = [max(map(_distance, draw, means, spreads)) for draw in null]
    return [
        (1 + sum(height >= distance for height in highest)) / (1 + len(highest))
        for distance in map(_distance, observed, means, spreads)
    ]


def _distance(number: float, mean: float, spread: float) -> float:
    return (number - mean) / spread


def interval(share: float, drawn: Sequence[float]) -> tuple[float, float]:
    """The 95 % interval of a share, from `HALVES` draws of half the trials.

    Halves spread about a whole sample as whole samples spread about the truth (B. Efron 1982, the
    delete-half jackknife). It holds the share itself, which half the trials may miss.
    """
    return min(share, *drawn), max(share, *drawn)
