"""Which trials count, which of them were wasted, and what was wrong with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from cnnsearch import ranking
from cnnsearch.diagnose import JUDGED, OK, RULES, crept
from cnnsearch.records import State, Trial

NO_VERDICT = "none"
# A trial with one of these findings has learned nothing that tells it from another one.
LEARNED_NOTHING = frozenset({"symmetric", "lr-too-low", "not-learning"})
_FEWEST_TOP = 5


def ended(trials: Iterable[Trial]) -> list[Trial]:
    """The points' results that tell something: complete, pruned and diverged ones, not hidden."""
    return [trial for trial in ranking.shown(trials) if trial.state in JUDGED]


def verdict(trial: Trial) -> str:
    """The verdict on a trial, or `NO_VERDICT`."""
    return NO_VERDICT if trial.diagnosis is None else trial.diagnosis.verdict


def verdicts(trials: Iterable[Trial]) -> Mapping[str, int]:
    """How many trials have each verdict, the most frequent first; `ok` and none at the end."""
    found = Counter(verdict(trial) for trial in trials)
    order = [*RULES, OK, NO_VERDICT]
    last = (OK, NO_VERDICT)
    names = sorted(
        found,
        key=lambda name: (
            last.index(name) if name in last else -1,
            -found[name],
            order.index(name) if name in order else len(order),
            name,
        ),
    )
    return {name: found[name] for name in names}


def has(trial: Trial, rule: str) -> bool:
    """Whether a rule applies to a trial, as its verdict or beside it."""
    diagnosis = trial.diagnosis
    return diagnosis is not None and (
        diagnosis.verdict == rule or any(one.rule == rule for one in diagnosis.findings)
    )


def wasted(trial: Trial) -> bool:
    """Whether a trial diverged or learned nothing; one that crept on above chance did learn."""
    if trial.state is State.DIVERGED or trial.diagnosis is None:
        return trial.state is State.DIVERGED
    if any(crept(finding) for finding in trial.diagnosis.findings):
        return has(trial, "symmetric")
    return any(has(trial, rule) for rule in LEARNED_NOTHING)


def cause(trial: Trial) -> str:
    """Why a trial was wasted, in one word."""
    if trial.state is State.DIVERGED:
        return str(trial.state)
    return verdict(trial)


def causes(trials: Iterable[Trial]) -> str:
    """Why the wasted ones among the trials were, the most frequent first: `7 diverged, 2 ...`."""
    found = Counter(cause(trial) for trial in trials if wasted(trial))
    return ", ".join(f"{count} {name}" for name, count in found.most_common())


def top(trials: Sequence[Trial], direction: str, share: float) -> list[Trial]:
    """The best share of the complete trials, at least 5, with all that equal the last of them."""
    complete = [t for t in trials if t.state is State.COMPLETE and t.value is not None]
    order = ranking.ranked(complete, direction)
    count = max(_FEWEST_TOP, round(share * len(order)))
    if len(order) <= count:
        return order
    limit = order[count - 1].value
    return order[:count] + [trial for trial in order[count:] if trial.value == limit]
