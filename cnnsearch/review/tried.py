"""What was tried on the axes of a space, for those who measure importance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from cnnsearch.records import Trial, Value
from cnnsearch.space import Choice, Parameter, Range, Space


@dataclass(frozen=True, slots=True)
class Axes:
    """The hyperparameters of a study.

    Args:
        judged: those that can be.
        constant: had one value in all trials, with it.
        few: were active in too few trials, with their number.
    """

    judged: tuple[str, ...]
    constant: tuple[tuple[str, Value], ...]
    few: tuple[tuple[str, int], ...]


def axes(trials: Sequence[Trial], space: Space, needed: int) -> Axes:
    """The hyperparameters in the order of the space.

    Args:
        needed: trials in which one must be active.
    """
    names = dict.fromkeys([*space, *(name for trial in trials for name in trial.params)])
    judged, constant, few = [], [], []
    for name in names:
        values = [trial.params[name] for trial in trials if name in trial.params]
        if len(values) < needed:
            few.append((name, len(values)))
        elif len({identity(value) for value in values}) == 1:
            constant.append((name, values[0]))
        else:
            judged.append(name)
    return Axes(tuple(judged), tuple(constant), tuple(few))


def tried(trials: Sequence[Trial], space: Space, names: Sequence[str]) -> dict[str, Parameter]:
    """The space of some hyperparameters, wide enough for every value that was tried.

    The space of a study may have changed since its first trials: a grid may grow.
    """
    found: dict[str, Parameter] = {}
    for name in names:
        values = [trial.params[name] for trial in trials if name in trial.params]
        found[name] = _wide(space.get(name), values)
    return found


def _wide(parameter: Parameter | None, values: Sequence[Value]) -> Parameter:
    if isinstance(parameter, Range):
        numbers = [float(v) for v in values if isinstance(v, int | float)]
        low, high = min([parameter.low, *numbers]), max([parameter.high, *numbers])
        if (low, high) == (parameter.low, parameter.high):
            return parameter
        return replace(parameter, low=low, high=high, step=None)
    choices = {identity(v): v for v in (parameter.choices if parameter else ())}
    for value in values:
        choices.setdefault(identity(value), value)
    return Choice(tuple(choices.values()))


def identity(value: Value) -> tuple[str, str]:
    """1 and 1.0 are one choice, true and 1 are not."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return "number", repr(float(value))
    return type(value).__name__, repr(value)
