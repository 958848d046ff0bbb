"""From coarse to fine: the space that the best trials of a search leave, with the evidence.

A pure function of what the points gave: it does not depend on the order in which they ended, nor on
attempts that were lost, so that a search that was killed and continued leaves the same space.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from cnnsearch import ranking
from cnnsearch.config.stages_section import FEWEST, Top
from cnnsearch.errors import InputError, TooFewError
from cnnsearch.records import State, Trial, Value
from cnnsearch.review.coverage import FEW
from cnnsearch.review.edges import Edge, edges
from cnnsearch.review.parts import as_number, written
from cnnsearch.review.verdicts import ended, wasted
from cnnsearch.space import Choice, Condition, Parameter, Range, Space

TOP, PAD = "20%", 0.25
_FEWEST_TOP = 3  # trials that a share takes at least
# Of the old range, in its own scale: no new one is narrower, nor than two gaps between the values
# tried: a value between two neighbours that were worse lies somewhere between these.
_NARROWEST, _GAPS = 0.1, 2
# Ranges that are not extended: what decides whether the images fit through the network.
_SIZES = frozenset({"kernel", "stride", "padding", "pool_size"})
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Judged:
    """One value of a list: whether it stays, and why."""

    value: Value
    kept: bool
    why: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """What became of one hyperparameter.

    Args:
        new: None where it can no longer be active.
        values: of a list, each of its values; empty where none of them was judged.
        extended: an end lies beyond the old range.
    """

    name: str
    old: Parameter
    new: Parameter | None
    why: str
    values: Sequence[Judged] = ()
    extended: bool = False


@dataclass(frozen=True, slots=True)
class Narrowing:
    """The next space, and why it is that.

    Args:
        space: in the order of the old one.
        evidence: of each hyperparameter, in the same order.
        top: number of the best trials to which it was narrowed.
        complete: number of complete trials.
        best: value of the first of the best; `worst`: of the last.
    """

    space: Space
    evidence: Sequence[Evidence]
    top: int
    complete: int
    best: float
    worst: float

    @property
    def extended(self) -> bool:
        """Whether a range was extended."""
        return any(one.extended for one in self.evidence)


@dataclass(frozen=True, slots=True)
class Options:
    """How to narrow.

    Args:
        top: the best trials, as a share of the complete ones or their number; equals of the last
            one are among them.
        pad: margin at each end of a range, as a share of what the best span in its own scale.
        extend: beyond the old range where the best lie at its end.
    """

    top: Top = TOP
    pad: float = PAD
    extend: bool = True


def narrowed(
    trials: Sequence[Trial], space: Space, direction: str, sampler: str, options: Options
) -> Narrowing:
    """Narrow a space to the best trials of its search.

    Args:
        trials: all attempts.
        direction: "maximize" or "minimize".
        sampler: its name.

    Raises:
        TooFewError: too few trials are complete.
        InputError: none of the best has learned anything.
    """
    # Equal values are told apart by the point: numbers depend on interruptions.
    found = sorted(
        (replace(trial, number=trial.point) for trial in ended(trials)), key=lambda t: t.point
    )
    complete = [trial for trial in found if trial.state is State.COMPLETE]
    best = _best(complete, direction, options.top)
    wider = edges(found, space, direction, sampler) if options.extend else []
    study = _Study(found, best, {e.name: e for e in wider if e.name not in _SIZES}, options.pad)
    narrow: dict[str, Parameter] = {}
    evidence = []
    for name, old in space.items():
        one = _evidence(name, old, study, narrow)
        evidence.append(one)
        if one.new is not None:
            narrow[name] = one.new
    values = [trial.value for trial in best if trial.value is not None]
    return Narrowing(narrow, evidence, len(best), len(complete), values[0], values[-1])


@dataclass(frozen=True, slots=True)
class _Study:
    """What a search gave.

    Args:
        found: the points' results that tell something.
        edges: ends of ranges that are to be extended, by the hyperparameter.
    """

    found: Sequence[Trial]
    best: Sequence[Trial]
    edges: Mapping[str, Edge]
    pad: float


def _best(complete: Sequence[Trial], direction: str, top: Top) -> list[Trial]:
    """The best complete trials, best first, with the equals of the last one."""
    wanted = top if isinstance(top, int) else 0
    needed = max(FEWEST, wanted)
    if len(complete) < needed:
        count = "1 trial is" if len(complete) == 1 else f"{len(complete) or 'no'} trials are"
        raise TooFewError(f"{count} complete, and narrowing takes {needed} at least")
    if isinstance(top, str):
        share = float(top.removesuffix("%")) / 100
        wanted = max(_FEWEST_TOP, round(share * len(complete)))
    order = ranking.ranked(complete, direction)
    limit = order[wanted - 1].value
    best = order[:wanted] + [trial for trial in order[wanted:] if trial.value == limit]
    learned = [trial for trial in best if not wasted(trial)]
    if not learned:
        raise InputError(
            f"not one of the best {len(best)} trials has learned anything, so there is nothing to "
            "narrow to. Search other ranges: cnnsearch diagnose STUDY tells why."
        )
    return learned


def _evidence(name: str, old: Parameter, study: _Study, narrow: Space) -> Evidence:
    """One hyperparameter, after those that it depends on."""
    when = _alive(old.when, narrow)
    if when is None:
        needed = " and ".join(
            f"{one.parent} {' or '.join(map(written, one.values))}" for one in old.when
        )
        return Evidence(name, old, None, f"left out: needs {needed}")
    top = [trial.params[name] for trial in study.best if name in trial.params]
    if not top:
        why = f"kept: in none of the best {len(study.best)}"
        return Evidence(name, old, replace(old, when=when), why)
    if isinstance(old, Choice):
        return _of_choice(name, replace(old, when=when), top, study)
    return _of_range(name, replace(old, when=when), top, study)


def _alive(when: Sequence[Condition], narrow: Space) -> tuple[Condition, ...] | None:
    """The conditions with the values that are left; None where one can no longer be met."""
    found = []
    for condition in when:
        parent = narrow.get(condition.parent)
        left = {repr(value) for value in parent.choices} if isinstance(parent, Choice) else set()
        values = tuple(value for value in condition.values if repr(value) in left)
        if not values:
            return None
        found.append(replace(condition, values=values))
    return tuple(found)


def _of_choice(name: str, old: Choice, top: Sequence[Value], study: _Study) -> Evidence:
    best = Counter(map(repr, top))
    tried = Counter(repr(t.params[name]) for t in study.found if name in t.params)
    judged = [_judged(one, best[repr(one)], tried[repr(one)], len(top)) for one in old.choices]
    new = replace(old, choices=tuple(one.value for one in judged if one.kept))
    gone = len(old.choices) - len(new.choices)
    why = f"{gone} of {len(old.choices)} dropped" if gone else "all kept"
    return Evidence(name, old, new, why, judged)


def _judged(value: Value, best: int, tried: int, of: int) -> Judged:
    if best:
        return Judged(value, True, f"{best} of the best {of}, tried {_times(tried)}")
    if tried >= FEW:
        return Judged(value, False, f"none of the best {of}, tried {_times(tried)}")
    only = f"tried only {_times(tried)}" if tried else "never tried"
    return Judged(value, True, f"kept: {only}")


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _of_range(name: str, old: Range, top: Sequence[Value], study: _Study) -> Evidence:
    numbers = [as_number(value) for value in top]
    edge = study.edges.get(name)
    wide = old
    if edge is not None:
        end = getattr(edge.extended, edge.side)
        wide = replace(old, **{edge.side: end})
    tried = {as_number(t.params[name]) for t in study.found if name in t.params}
    axis = _Axis(wide)
    low, high = axis.of(min(numbers)), axis.of(max(numbers))
    margin = study.pad * (high - low)
    span = (low - margin, high + margin)
    if edge is not None:
        span = (span[0], axis.high) if edge.side == "high" else (axis.low, span[1])
    whole = axis.of(old.high) - axis.of(old.low)
    least = whole * max(_NARROWEST, min(1.0, _GAPS / max(1, len(tried) - 1)))
    widened = span[1] - span[0] < least * (1 - _ROUNDING)
    if widened:
        span = axis.widened(span, least)
    new = axis.between(*span)
    why = _span_text(numbers)
    if edge is not None:
        why += (
            f"; extended: the best has {written(edge.value)}, and {edge.near} of the best "
            f"{edge.top} lie near the {edge.side} end"
        )
    elif new == old:
        why += ": kept whole"
    elif widened:
        why += f": too close, {least / whole:.0%} of the range kept"
    return Evidence(name, old, new, why, extended=edge is not None)


def _span_text(numbers: Sequence[float]) -> str:
    low, high = (written(float(one)) for one in (min(numbers), max(numbers)))
    if low == high:
        return f"the best {len(numbers)} have {low}" if len(numbers) > 1 else f"the best has {low}"
    return f"the best {len(numbers)} have {low} to {high}"


@dataclass(frozen=True, slots=True)
class _Axis:
    """A range in its own scale, in which it is even."""

    range: Range

    def of(self, number: float) -> float:
        return math.log(number) if self.range.log else number

    @property
    def low(self) -> float:
        return self.of(self.range.low)

    @property
    def high(self) -> float:
        return self.of(self.range.high)

    def widened(self, span: tuple[float, float], least: float) -> tuple[float, float]:
        """A span made wider around its middle, and moved into the range where it leaves it."""
        least = min(least, self.high - self.low)
        low = (span[0] + span[1] - least) / 2
        low = min(max(low, self.low), self.high - least)
        return low, low + least

    def between(self, low: float, high: float) -> Range:
        """The part of the range between two places, a little wider where numbers are rounded."""
        whole = self.range
        if self.range.log:
            low, high = math.exp(low), math.exp(high)
        if whole.step is not None or whole.integer:
            return self._on_steps(low, high)
        unit = None if whole.log else _unit(high - low)
        low = _rounded(low, unit or _unit(low), math.floor)
        high = _rounded(high, unit or _unit(high), math.ceil)
        return replace(whole, low=max(low, whole.low), high=min(high, whole.high))

    def _on_steps(self, low: float, high: float) -> Range:
        """At least one step wide; the last one may end below the range's end."""
        whole, step = self.range, self.range.step or 1
        most = math.ceil((whole.high - whole.low) / step - _ROUNDING)
        first = math.floor((low - whole.low) / step + _ROUNDING)
        last = math.ceil((high - whole.low) / step - _ROUNDING)
        first = min(max(first, 0), most - 1)
        last = min(max(last, first + 1), most)
        ends = [_rounded(whole.low + i * step, 0, round) for i in (first, last)]
        low = whole.low if first == 0 else ends[0]
        high = whole.high if last == most else ends[1]
        if whole.integer:
            low, high = round(low), round(high)
        return replace(whole, low=low, high=high)


def _unit(number: float) -> float:
    """Of the third significant digit."""
    return 10.0 ** (math.floor(math.log10(number)) - 2) if number > 0 else 0.0


def _rounded(number: float, unit: float, way: Callable[[float], int]) -> float:
    """A number as a multiple of `unit`, up or down; without a unit to 12 digits."""
    if not unit:
        return float(f"{number:.12g}")
    places = number / unit
    nearest = round(places)
    close = abs(places - nearest) < _ROUNDING * max(1.0, abs(places))
    return float(f"{(nearest if close else way(places)) * unit:.12g}")
