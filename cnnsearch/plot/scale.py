"""Where the values of a hyperparameter lie on an axis; no library that draws is needed for it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from cnnsearch.plot.pictured import Pictured
from cnnsearch.records import Trial, Value
from cnnsearch.render.text import value_text
from cnnsearch.review.tried import identity, tried
from cnnsearch.space import Choice, Parameter, unit

# A loss whose largest value is so many times its smallest is drawn on a logarithmic axis.
_LOG_RATIO = 10.0
_JITTER = 0.5


@dataclass(frozen=True)
class Scale:
    """The axis of one hyperparameter, wide enough for every value that was tried.

    Args:
        parameter: its range or its choices.
    """

    name: str
    parameter: Parameter

    @classmethod
    def of(cls, pictured: Pictured, name: str) -> Scale:
        """Of a study's hyperparameter."""
        return cls(name, tried(pictured.trials, pictured.space, [name])[name])

    @cached_property
    def _places(self) -> dict[tuple[str, str], int]:
        choices = self.parameter.choices if isinstance(self.parameter, Choice) else ()
        return {identity(value): place for place, value in enumerate(choices)}

    @property
    def texts(self) -> list[str]:
        """The choices as they are written; none of a range."""
        choices = self.parameter.choices if isinstance(self.parameter, Choice) else ()
        return [_short(value) for value in choices]

    @property
    def log(self) -> bool:
        """Whether the space draws it evenly on a logarithmic axis."""
        return not isinstance(self.parameter, Choice) and self.parameter.log

    @property
    def ends(self) -> tuple[float, float]:
        """The lowest and the highest place."""
        if isinstance(self.parameter, Choice):
            return 0.0, float(max(0, len(self.parameter.choices) - 1))
        return self.parameter.low, self.parameter.high

    def place(self, trial: Trial) -> float | None:
        """Where a trial lies; None where it has no such hyperparameter."""
        value: Value = trial.params.get(self.name)
        if self.name not in trial.params:
            return None
        if isinstance(self.parameter, Choice):
            return float(self._places[identity(value)])
        return float(value) if isinstance(value, int | float) else None

    def spread(self, trial: Trial) -> float | None:
        """The same, choices a little apart from each other, or trials would cover one another."""
        place = self.place(trial)
        if place is None or not isinstance(self.parameter, Choice):
            return place
        return place + _JITTER * (unit("spread", self.name, trial.number) - 0.5)

    def share(self, trial: Trial) -> float | None:
        """The place between the ends, 0..1, even in the range's own scale."""
        place = self.place(trial)
        if place is None:
            return None
        low, high = (math.log(end) if self.log else end for end in self.ends)
        at = math.log(place) if self.log else place
        return (at - low) / (high - low) if high > low else 0.5


def _short(value: Value) -> str:
    text = value_text(value)
    return text if len(text) <= 24 else text[:21] + "..."


def is_log(values: Sequence[float], measure: str) -> bool:
    """Whether a measure wants a logarithmic axis: a loss over more than an order of magnitude."""
    low = min(values, default=0.0)
    return measure.endswith("loss") and low > 0 and max(values) / low > _LOG_RATIO
