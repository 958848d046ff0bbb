"""Whether a trial that was run again gave the same numbers, and if not where it departs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

from cnnsearch.records import EpochResult, State, Trial

QUANTITIES = ("lr", "train_loss", "train_accuracy", "val_loss", "val_accuracy")
"""What is compared of each epoch, in the order in which it comes about."""
ENVIRONMENT = (
    "device",
    "processor",
    "threads",
    "fused",
    "cnnsearch",
    "python",
    "torch",
    "data",
    "commit",
)
"""What beside the config decides the numbers, as `facts["environment"]` names it."""
_OF_END = ("fold", "step", "loss", "limit")


@dataclass(frozen=True, slots=True)
class Departure:
    """The first number in which a rerun departs from the stored trial.

    Args:
        epoch: counted from 1; 0: before training; None: how the trial ended.
        quantity: "first_loss", "train_loss", "epochs", "state", "step" and the like.
        stored: its value then; None where there is none.
        again: its value now; likewise.
        digits: to how many significant digits the two agree; None where they are no numbers.
        fold: from 1; None where the trial has one only, and of what its folds have in common.
        reason: why the rerun ended otherwise than the stored trial, where that is told.
    """

    epoch: int | None
    quantity: str
    stored: Any
    again: Any
    digits: int | None
    fold: int | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """Something beside the numbers that differs, and may be why they do.

    Args:
        name: "threads", "data", "seed", "train.lr" and the like.
        stored: its value then; None where it is not known.
        again: its value now; likewise.
    """

    name: str
    stored: Any
    again: Any


def departure(stored: Trial, again: Trial) -> Departure | None:
    """The first number in which two trials differ, with curves; None where all are equal.

    Numbers are equal where every bit is. A number that is not finite was stored as none, so all
    of them count as equal. What is compared of a pruned trial ends with its last epoch: why it was
    pruned depends on the trials beside it. Several folds are compared one by one. A rerun that
    failed departs in its state: what it did before does not matter then.
    """
    return next(_departures(stored, again), None)


def _departures(stored: Trial, again: Trial) -> Iterator[Departure]:
    if again.state is State.FAILED:
        yield _of_state(stored, again)
    if "first_loss" in stored.facts:
        yield from _compared(0, "first_loss", stored.facts, again.facts)
    if not stored.folds:
        yield from _of_curve(stored, again)
    for number, (one, other) in enumerate(zip_longest(stored.folds, again.folds), 1):
        told = (replace(trial, curve=c or ()) for trial, c in ((stored, one), (again, other)))
        yield from (replace(found, fold=number) for found in _of_curve(*told))
    if stored.state is State.PRUNED:
        return
    if stored.state is not again.state:
        yield _of_state(stored, again)
    if stored.state is State.DIVERGED:
        for name in _OF_END:
            yield from _compared(None, name, stored.facts, again.facts)
        if stored.reason != again.reason:
            yield Departure(None, "reason", stored.reason, again.reason, None)


def _of_curve(stored: Trial, again: Trial) -> Iterator[Departure]:
    """Epoch by epoch; of curves of unequal length the trials' ends, if they tell why."""
    for one, other in zip_longest(stored.curve, again.curve):
        if one is None or other is None:
            if State.PRUNED is not stored.state is not again.state:
                yield _of_state(stored, again)
            yield from _compared(None, "fold", stored.facts, again.facts)
            yield Departure(None, "epochs", len(stored.curve), len(again.curve), None)
            return
        yield from _of_epoch(one, other)


def _of_state(stored: Trial, again: Trial) -> Departure:
    states = str(stored.state), str(again.state)
    return Departure(None, "state", *states, None, reason=again.reason)


def _of_epoch(stored: EpochResult, again: EpochResult) -> Iterator[Departure]:
    for name in QUANTITIES:
        one, other = getattr(stored, name), getattr(again, name)
        if not same(one, other):
            yield Departure(stored.epoch, name, one, other, agreeing(one, other))


def _compared(
    epoch: int | None, name: str, stored: Mapping[str, Any], again: Mapping[str, Any]
) -> Iterator[Departure]:
    one, other = stored.get(name), again.get(name)
    if not same(one, other):
        yield Departure(epoch, name, one, other, agreeing(one, other))


def same(one: float | None, other: float | None) -> bool:
    """Whether two numbers are equal to the last bit; those that are not finite are."""
    if not _finite(one) or not _finite(other):
        return _finite(one) is _finite(other)
    return one == other


def _finite(number: float | None) -> bool:
    return number is not None and math.isfinite(number)


def agreeing(one: float | None, other: float | None) -> int | None:
    """To how many significant digits two different numbers agree: 0.12345 and 0.12346 to 4.

    None where one of them is not finite.
    """
    if one is None or other is None or not (math.isfinite(one) and math.isfinite(other)):
        return None
    largest = max(abs(one), abs(other))
    return max(0, math.floor(-math.log10(abs(one - other) / largest)))


def changes(stored: Trial, again: Trial) -> list[Change]:
    """What differs in the environments of two trials, as far as both are known."""
    one, other = (trial.facts.get("environment") or {} for trial in (stored, again))
    return [
        Change(name, one[name], other[name])
        for name in dict.fromkeys([*ENVIRONMENT, *one])
        if name in one and name in other and one[name] != other[name]
    ]


def settings(stored: Mapping[str, Any], again: Mapping[str, Any]) -> list[Change]:
    """What differs in two configs of single runs as plain data, by dotted paths."""
    found = []
    for name in dict.fromkeys([*stored, *again]):
        one, other = stored.get(name), again.get(name)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            found += [replace(c, name=f"{name}.{c.name}") for c in settings(one, other)]
        elif one != other:
            found.append(Change(name, one, other))
    return found


@dataclass(frozen=True, slots=True)
class Verification:
    """What running a stored trial again showed.

    Args:
        stored: the trial, with its curve.
        departure: the first number that differs; None where all are equal.
        changes: what else differs.
        lost: why its worker died; the rest is then empty.
    """

    stored: Trial
    departure: Departure | None = None
    changes: Sequence[Change] = ()
    lost: str | None = None

    @property
    def identical(self) -> bool:
        """Every number is equal to the last digit."""
        return self.departure is None and self.lost is None


def verification(stored: Trial, again: Trial, others: Sequence[Change]) -> Verification:
    """Compare a stored trial with the same one run again.

    Args:
        others: what is known to differ beside the environment.
    """
    found = changes(stored, again)
    told = {change.name for change in found}
    found += [change for change in others if change.name not in told]
    return Verification(stored, departure(stored, again), found)
