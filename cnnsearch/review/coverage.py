"""Coverage: how much of each axis of the space was tried."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cnnsearch.records import Trial, Value
from cnnsearch.space import Choice, Space

# A choice that was tried less often cannot be judged.
FEW = 3


@dataclass(frozen=True, slots=True)
class Axis:
    """What was tried of one hyperparameter.

    Args:
        trials: in which it was active.
        distinct: different values tried.
        tried: of a choice, its values with how often each was tried; of a range, None.
        span: of a range, the lowest and the highest value tried.
    """

    name: str
    trials: int
    distinct: int
    tried: Sequence[tuple[Value, int]] | None
    span: tuple[Value, Value] | None

    @property
    def never(self) -> list[Value]:
        """Choices that were never tried."""
        return [value for value, count in self.tried or () if count == 0]

    @property
    def few(self) -> list[tuple[Value, int]]:
        """Choices that were tried, but fewer than 3 times."""
        return [(value, count) for value, count in self.tried or () if 0 < count < FEW]


def coverage(trials: Sequence[Trial], space: Space) -> list[Axis]:
    """All hyperparameters in the order of the space.

    Args:
        trials: those that ended, see `cnnsearch.review.verdicts.ended`.
    """
    found = []
    for name, parameter in space.items():
        values = [trial.params[name] for trial in trials if name in trial.params]
        counts = Counter(repr(value) for value in values)
        tried = _tried(parameter, counts) if isinstance(parameter, Choice) else None
        numbers = [value for value in values if isinstance(value, int | float)]
        span = (min(numbers), max(numbers)) if numbers and tried is None else None
        found.append(Axis(name, len(values), len(counts), tried, span))
    return found


def _tried(parameter: Choice, counts: Mapping[str, int]) -> list[tuple[Value, int]]:
    return [(value, counts.get(repr(value), 0)) for value in parameter.choices]
