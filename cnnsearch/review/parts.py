"""Parts of a study, such as all trials with lr > 0.5, in which something happens more often."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from cnnsearch.config.writing import flow
from cnnsearch.records import Params, Trial, Value
from cnnsearch.review.chance import enriched
from cnnsearch.space import Range, Space

# Of fewer trials nothing is said.
FEWEST = 5
# Of more distinct numbers than this, only so many are tried as the border of a part.
_MOST_BORDERS = 64


@dataclass(frozen=True, slots=True)
class Part:
    """The trials in which a hyperparameter is above or below a number, or has a value.

    Args:
        sign: ">", "<" or "=".
    """

    name: str
    sign: Literal["<", ">", "="]
    value: Value

    def holds(self, params: Params) -> bool:
        """Whether a trial with these hyperparameters belongs to it."""
        if self.name not in params:
            return False
        value = params[self.name]
        if self.sign == "=":
            return repr(value) == repr(self.value)
        number, border = as_number(value), as_number(self.value)
        return number > border if self.sign == ">" else number < border

    @property
    def text(self) -> str:
        """`lr > 0.5`, `init zeros`, `batchnorm true`."""
        if self.sign == "=":
            return f"{self.name} {written(self.value)}"
        return f"{self.name} {self.sign} {written(self.value)}"


@dataclass(frozen=True, slots=True)
class Share:
    """So many of so many trials."""

    hits: int
    trials: int

    @property
    def text(self) -> str:
        """`7 of 10`."""
        return f"{self.hits} of {self.trials}"


@dataclass(frozen=True, slots=True)
class Split:
    """A part, and how often something happens inside it and outside.

    Args:
        outside: of the other trials in which the hyperparameter is active.
        p: probability that chance makes some part of the study differ so much.
    """

    part: Part
    inside: Share
    outside: Share
    p: float


def splits(trials: Sequence[Trial], hits: Sequence[bool], space: Space) -> list[Split]:
    """Every part of the trials, with what chance has to do with it, in the order of the space.

    As many parts are looked at, their p is multiplied by the number of hyperparameters and of parts
    by each (Bonferroni).

    Args:
        hits: of each trial, whether it happened there.
    """
    names = [name for name in space if len({repr(t.params.get(name)) for t in trials}) > 1]
    found = []
    for name in names:
        active = [
            (t.params[name], h) for t, h in zip(trials, hits, strict=True) if name in t.params
        ]
        parameter = space[name]
        if isinstance(parameter, Range):
            whole = parameter.integer or parameter.step is not None
            parts = list(_by_border(name, active, whole))
        else:
            parts = list(_by_value(name, active))
        everything = Share(sum(hit for _, hit in active), len(active))
        for part, inside in parts:
            p = enriched(inside.hits, inside.trials, everything.hits, everything.trials)
            outside = Share(everything.hits - inside.hits, everything.trials - inside.trials)
            found.append(Split(part, inside, outside, min(1.0, p * len(parts) * len(names))))
    return found


def _by_value(name: str, active: Sequence[tuple[Value, bool]]) -> Iterator[tuple[Part, Share]]:
    values = {repr(value): value for value, _ in active}
    for key, value in values.items():
        inside = [hit for other, hit in active if repr(other) == key]
        if FEWEST <= len(inside) < len(active):
            yield Part(name, "=", value), Share(sum(inside), len(inside))


def _by_border(
    name: str, active: Sequence[tuple[Value, bool]], whole: bool
) -> Iterator[tuple[Part, Share]]:
    """Above and below each border between two neighbours."""
    ordered = sorted((as_number(value), value, hit) for value, hit in active)
    before = list(itertools.accumulate((hit for *_, hit in ordered), initial=0))
    places = [i for i in range(1, len(ordered)) if ordered[i - 1][0] < ordered[i][0]]
    step = max(1, math.ceil(len(places) / _MOST_BORDERS))
    for i in places[::step]:
        below, above = ordered[i - 1], ordered[i]
        if i >= FEWEST:
            border = above[1] if whole else roundest(below[0], above[0], upper=True)
            yield Part(name, "<", border), Share(before[i], i)
        if len(ordered) - i >= FEWEST:
            border = below[1] if whole else roundest(below[0], above[0], upper=False)
            share = Share(before[-1] - before[i], len(ordered) - i)
            yield Part(name, ">", border), share


def roundest(low: float, high: float, upper: bool) -> float:
    """The number with the fewest digits between two others.

    Args:
        upper: `high` itself will do, but not `low`; else the other way round.
    """
    assert low < high
    middle = math.sqrt(low * high) if low > 0 else (low + high) / 2
    for digits in range(1, 17):
        number = float(f"{middle:.{digits}g}")
        if (low < number <= high) if upper else (low <= number < high):
            return number
    return high if upper else low


def as_number(value: Value) -> float:
    """A number's value."""
    assert isinstance(value, int | float)
    return float(value)


def written(value: Value) -> str:
    """A value in a sentence: 4 significant digits, or as YAML writes it."""
    return f"{value:.4g}" if isinstance(value, float) else flow(value)
