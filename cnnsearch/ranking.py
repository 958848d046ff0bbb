"""The order of trials: which attempt stands for a point, which trial is better."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from cnnsearch.records import State, Trial

_ORDER = {state: place for place, state in enumerate(State)}


def last_attempts(trials: Iterable[Trial]) -> list[Trial]:
    """Each point's result: its last attempt, in the order of trial numbers."""
    last: dict[str, Trial] = {}
    for trial in sorted(trials, key=lambda trial: (trial.attempt, trial.number)):
        last[trial.key] = trial
    return sorted(last.values(), key=lambda trial: trial.number)


def shown(trials: Iterable[Trial]) -> list[Trial]:
    """Each point's result, without those that the user has hidden."""
    return [trial for trial in last_attempts(trials) if not trial.hidden]


def ranked(trials: Iterable[Trial], direction: str) -> list[Trial]:
    """Best first: complete trials by value, then pruned, diverged, failed, killed, running.

    Hidden ones stand below all others.

    Args:
        direction: "maximize" or "minimize".
    """
    sign = -1.0 if direction == "maximize" else 1.0
    return sorted(
        trials,
        key=lambda trial: (
            trial.hidden,
            _ORDER[trial.state],
            sign * trial.value if trial.value is not None else 0.0,
            trial.number,
        ),
    )


def best(trials: Iterable[Trial], direction: str) -> Trial | None:
    """The complete trial with the best value, the earliest of equals; None without one.

    A hidden one does not count.
    """
    complete = [t for t in trials if t.state is State.COMPLETE and not t.hidden]
    return ranked(complete, direction)[0] if complete else None


def counts(trials: Iterable[Trial]) -> Mapping[State, int]:
    """How many points stand in each state, hidden ones too; attempts run again do not count."""
    found = Counter(trial.state for trial in last_attempts(trials))
    return {state: found[state] for state in State if found[state]}
