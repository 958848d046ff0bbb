"""Edge warnings: the best values sit at the end of a range, so better ones may lie beyond it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from cnnsearch import ranking
from cnnsearch.catalog import SAMPLERS
from cnnsearch.config.fields import json_schema
from cnnsearch.records import State, Trial, Value
from cnnsearch.review.chance import ALPHA, binomial_tail
from cnnsearch.review.parts import as_number
from cnnsearch.review.verdicts import top, wasted
from cnnsearch.space import Range, Space

Side = Literal["low", "high"]
# Complete trials in which the hyperparameter is active.
FEWEST = 10
# Of the range, in its own scale: where one of the top trials must lie, and the best with most of
# them. The lectures' coarse search: the best has lr 4e-4, the next ones go up to 1e-3, the end.
_OUTERMOST, _OUTER = 0.1, 0.25
_TOP = 0.15
_SIDES: tuple[Side, Side] = ("low", "high")
_ROUNDING = 1e-9
# Ranges are extended by at most this factor, or by this share of their width.
_FACTOR, _MORE = 10.0, 0.5


@dataclass(frozen=True, slots=True)
class Edge:
    """A range at whose end the best trials lie.

    Args:
        trial: number of the best trial.
        value: the hyperparameter there.
        near: how many of the `top` best trials lie in the outer quarter (of a grid, at the
            outermost value).
        extended: the range to try next, wider at this end.
    """

    name: str
    side: Side
    trial: int
    value: Value
    near: int
    top: int
    extended: Range


def edges(trials: Sequence[Trial], space: Space, direction: str, sampler: str) -> list[Edge]:
    """The ranges to extend, in the order of the space; natural limits (dropout 0) are none.

    Args:
        trials: those that ended, see `cnnsearch.review.verdicts.ended`.
        direction: "maximize" or "minimize".
        sampler: its name.
    """
    best = ranking.best(trials, direction)
    if best is None or wasted(best):
        return []
    found = []
    for name, parameter in space.items():
        if isinstance(parameter, Range) and name in best.params:
            active = [t for t in trials if name in t.params and t.state is State.COMPLETE]
            for side in _SIDES:
                edge = _edge(_End(name, parameter, side, sampler), best, active, direction)
                found += [edge] if edge else []
    return found


def _edge(end: _End, best: Trial, active: Sequence[Trial], direction: str) -> Edge | None:
    wider = extended(end.name, end.parameter, end.side)
    if wider is None or len(active) < FEWEST or end.distance(best) > end.reach(_OUTER):
        return None
    near = {trial.number for trial in active if end.distance(trial) <= end.reach(_OUTER)}
    # A sampler that learns crowds where it found good values: what it tried does not tell how often
    # chance comes near an end.
    chance = _OUTER if SAMPLERS[end.sampler].sequential else len(near) / len(active)
    tops = top(active, direction, _TOP)
    if min(map(end.distance, tops)) > end.reach(_OUTERMOST):
        return None
    count = sum(trial.number in near for trial in tops)
    if 2 * count <= len(tops) or binomial_tail(count, len(tops), chance) >= ALPHA:
        return None
    value = best.params[end.name]
    return Edge(end.name, end.side, best.number, value, count, len(tops), wider)


@dataclass(frozen=True, slots=True)
class _End:
    """One end of a range."""

    name: str
    parameter: Range
    side: Side
    sampler: str

    @property
    def grid(self) -> bool:
        return SAMPLERS[self.sampler].finite

    def reach(self, share: float) -> float:
        """How far from the end still counts as near it: of a grid, its outermost value only."""
        return 0.0 if self.grid else share

    def distance(self, trial: Trial) -> float:
        """Of a trial from the end: 0..1 of the range in its own scale."""
        low, high = self._ends()
        number = as_number(trial.params[self.name])
        if high <= low:
            return 1.0
        if self.parameter.log:
            low, high, number = math.log(low), math.log(high), math.log(number)
        distance = (number - low if self.side == "low" else high - number) / (high - low)
        return 0.0 if abs(distance) < _ROUNDING else distance

    def _ends(self) -> tuple[float, float]:
        """The outermost values: the last step may end below `high`."""
        parameter = self.parameter
        if self.grid:
            values = [as_number(value) for value in parameter.grid()]
            return min(values), max(values)
        if parameter.step is None:
            return parameter.low, parameter.high
        steps = math.floor((parameter.high - parameter.low) / parameter.step + _ROUNDING)
        return parameter.low, parameter.low + steps * parameter.step


def extended(name: str, parameter: Range, side: Side) -> Range | None:
    """The range made wider at one end, as far as the field allows; None where it does not.

    A logarithmic one by a factor of up to 10, but not beyond its own ratio; another one by half of
    its width.
    """
    low, high = parameter.low, parameter.high
    if high <= low:
        return None
    end, sign = (low, -1.0) if side == "low" else (high, 1.0)
    if parameter.log:
        wanted = end * min(_FACTOR, high / low) ** sign
    else:
        wanted = end + sign * (high - low) * _MORE
    room = _room(name, side, end, wanted)
    if parameter.step is not None or (parameter.integer and not parameter.log):
        step = parameter.step or 1
        steps = max(1, round(abs(wanted - end) / step))
        # Some fields, such as lr, have room without end.
        number = end + sign * math.floor(min(steps, room / step + _ROUNDING)) * step
    else:
        number = wanted if abs(wanted - end) <= room else end + sign * room
    number = round(number) if parameter.integer else float(f"{number:.3g}")
    if sign * number <= sign * end:
        return None
    return replace(parameter, low=number) if side == "low" else replace(parameter, high=number)


def _room(name: str, side: Side, end: float, wanted: float) -> float:
    """How far beyond an end the field's values go; half way to a limit that itself is none."""
    schema = json_schema(name)
    limit, beyond = (
        ("minimum", "exclusiveMinimum") if side == "low" else ("maximum", "exclusiveMaximum")
    )
    if limit in schema:
        return abs(float(schema[limit]) - end)
    room = abs(float(schema[beyond]) - end) if beyond in schema else math.inf
    return room if abs(wanted - end) < room else room / 2
