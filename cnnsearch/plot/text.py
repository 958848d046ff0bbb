"""Figures as text, for a terminal without a display; drawn by plotext, without matplotlib."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from cnnsearch.plot.pictured import Asked, Pictured, label, measured
from cnnsearch.plot.scale import Scale
from cnnsearch.records import State
from cnnsearch.render import output
from cnnsearch.render.curves import Curve, legend, plot
from cnnsearch.render.output import Line
from cnnsearch.render.text import number
from cnnsearch.review.progress import progress as steps_of

_HIGH = 16
_FEW = 8
_WITHOUT_VALUE = (State.DIVERGED, State.FAILED)
_MOST_TICKS = 6
_DECADES = 2  # from there on powers of ten


def curves(pictured: Pictured, asked: Asked) -> list[Line]:
    """The objective over epochs: a few trials as lines, many as points by state."""
    measure = asked.y or pictured.objective
    drawn = [trial for trial in pictured.trials if trial.curve]
    if not drawn:
        return [[("no trial has finished an epoch", "dim")]]
    if len(drawn) <= _FEW:
        lines = [Curve(f"trial {t.number}", measured(t.curve, measure)) for t in drawn]
    else:
        lines = [
            Curve(str(state), [p for t in trials for p in measured(t.curve, measure)], joined=False)
            for state, trials in pictured.by_state().items()
        ]
        lines = [curve for curve in lines if curve.points]
    return [*plot(f"{label(measure)} by epoch", lines, _size()), legend([c.label for c in lines])]


def param(pictured: Pictured, asked: Asked) -> list[Line]:
    """The value against one hyperparameter; what has no value stands on the axis."""
    name = asked.x or next(iter(pictured.varied), None)
    if name is None:
        return [[("the study searches no hyperparameter", "dim")]]
    scale = Scale.of(pictured, name)
    heights = [h for trial in pictured.trials if (h := pictured.height(trial)) is not None]
    if not heights:
        return [[(f"{name}: no trial has a value", "dim")]]
    worst = (min if pictured.direction == "maximize" else max)(heights)
    found = []
    for state, trials in pictured.by_state().items():
        points = []
        for trial in trials:
            height = worst if state in _WITHOUT_VALUE else pictured.height(trial)
            place = scale.spread(trial)
            if place is not None and height is not None:
                points.append((math.log10(place) if scale.log else place, height))
        if points:
            found.append(Curve(_state_text(state), points, joined=False))
    title = f"{pictured.objective} by {name}{' (log scale)' if scale.log else ''}"
    lines = plot(title, found, _size(), ticks=_ticks(scale))
    return [*lines, legend([curve.label for curve in found])]


def progress(pictured: Pictured, _: Asked) -> list[Line]:
    """The best so far, against trials."""
    steps = steps_of(pictured.study, pictured.config, "", pictured.trials, pictured.direction).steps
    best = [(float(step.trials), step.best) for step in steps if step.best is not None]
    if not best:
        return [[("no trial is complete", "dim")]]
    title = f"best {pictured.objective} so far, by trials ended"
    return plot(title, [Curve("best", best)], _size())


def _state_text(state: State) -> str:
    return f"{state} (on the axis)" if state in _WITHOUT_VALUE else str(state)


def _size() -> tuple[int, int]:
    return min(output.width(), 100), min(_HIGH, max(10, output.height() - 4))


def _ticks(scale: Scale) -> Sequence[tuple[float, str]]:
    """Choices by their names; a range at even distances, in its own scale."""
    if scale.texts:
        every = math.ceil(len(scale.texts) / _MOST_TICKS)
        return [(float(i), text[:12]) for i, text in enumerate(scale.texts) if i % every == 0]
    low, high = (math.log10(end) if scale.log else end for end in scale.ends)
    if scale.log and high - low >= _DECADES:
        every = math.ceil((high - low) / _MOST_TICKS)
        tens = range(math.ceil(low - 1e-9), math.floor(high + 1e-9) + 1, every)
        return [(float(ten), f"{10.0**ten:g}") for ten in tens]
    places = [low + (high - low) * i / 4 for i in range(5)] if low < high else [low]
    return [(place, number(float(f"{10**place if scale.log else place:.3g}"))) for place in places]


DRAWN: Mapping[str, Callable[[Pictured, Asked], list[Line]]] = MappingProxyType(
    {"curves": curves, "progress": progress, "param": param}
)
"""The kinds that can be drawn so."""
