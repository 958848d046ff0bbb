"""Trials as points: value against a hyperparameter, and two hyperparameters as a map."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.lines import Line2D

from cnnsearch import ranking
from cnnsearch.plot.axes import colour_bar, measure_axis, scale_axis
from cnnsearch.plot.colouring import Colouring
from cnnsearch.plot.paper import (
    GREY,
    LOOKS,
    RASTER,
    Drawn,
    alpha_of,
    brighter,
    dots,
    legend,
    nothing,
    on_axis,
)
from cnnsearch.plot.pictured import Asked, Pictured, label
from cnnsearch.plot.scale import Scale, is_log
from cnnsearch.records import State, Trial

# States without a value: marked on the axis. Of killed and running trials nothing is known yet.
_ON_AXIS = (State.DIVERGED, State.FAILED)


def param(figure: Drawn, pictured: Pictured, asked: Asked) -> None:
    """The value of each trial against one hyperparameter, or against each that varies."""
    names = [asked.x] if asked.x else pictured.varied[: asked.most]
    if not names:
        nothing(figure, "the study searches no hyperparameter")
        return
    columns = panel_columns(len(names), 3 if asked.most is None else 2)
    rows = math.ceil(len(names) / columns)
    colouring = Colouring(pictured, asked.color or "state", line=False)
    for place, name in enumerate(names):
        axes = figure.add_subplot(rows, columns, place + 1)
        _against(axes, pictured, Scale.of(pictured, name), colouring)
        if len(names) > 1:
            axes.set_ylabel("")
    if len(names) > 1:
        figure.supylabel(label(pictured.objective), fontsize=9)
    if colouring.bar is not None:
        colour_bar(figure, colouring.bar, colouring.title or "")
    handles = colouring.handles(_said(pictured))
    if any(Scale.of(pictured, name).texts for name in names):
        handles.append(Line2D([], [], color="black", linewidth=1.6, label="median of complete"))
    if any(map(_deviation, pictured.trials)):
        said = "standard deviation over folds"
        handles.append(Line2D([], [], marker="|", linestyle="none", color=GREY, label=said))
    legend(figure, handles, None if colouring.bar else colouring.title)


def panel_columns(count: int, most: int = 3) -> int:
    """How many panels stand side by side."""
    return 2 if count == 4 else min(count, most)


def _said(pictured: Pictured) -> dict[State, str]:
    said = {}
    for state, trials in pictured.by_state().items():
        text = f" ({len(trials)})"
        if state is State.PRUNED:
            text += ": what it had reached"
        if state in _ON_AXIS:
            text += ": on the axis"
        if state in (State.COMPLETE, State.PRUNED, *_ON_AXIS):
            said[state] = text
    return said


def _against(axes: Axes, pictured: Pictured, scale: Scale, colouring: Colouring) -> None:
    scale_axis(axes, "x", scale)
    heights = [y for trial in pictured.trials if (y := pictured.height(trial)) is not None]
    measure_axis(axes, heights, pictured.objective)
    for state, trials in reversed(pictured.by_state().items()):
        here = [(trial, x) for trial in trials if (x := scale.spread(trial)) is not None]
        if state in _ON_AXIS:
            colours = [colouring.of(trial) for trial, _ in here]
            on_axis(axes, [x for _, x in here], state, colours, pictured.direction)
            continue
        points = [(t, x, y) for t, x in here if (y := pictured.height(t)) is not None]
        _points(axes, state, points, colouring)
    _middles(axes, pictured, scale)
    left_out = sum(scale.place(trial) is None for trial in pictured.trials)
    if left_out:
        text = f"{axes.get_xlabel()}\n{left_out} trials have none"
        axes.set_xlabel(text)
    if not heights:
        axes.set_yticks([])
        axes.text(0.5, 0.5, "no trial has a value", transform=axes.transAxes, ha="center",
                  color=GREY)  # fmt: skip


def _points(
    axes: Axes, state: State, points: Sequence[tuple[Trial, float, float]], colouring: Colouring
) -> None:
    """Trials with a value; of several folds with their standard deviation."""
    colours, alpha = [colouring.of(trial) for trial, _, _ in points], alpha_of(len(points))
    for (trial, x, y), colour in zip(points, colours, strict=True):
        if deviation := _deviation(trial):
            axes.errorbar(x, y, deviation, ecolor=colour, elinewidth=1, alpha=0.6)
    places = [(x, y) for _, x, y in points]
    dots(axes, places, LOOKS[state], colours, 22, alpha, zorder=3, label=str(state))


def _deviation(trial: Trial) -> float:
    found = trial.facts.get("fold_deviation")
    known = isinstance(found, int | float) and math.isfinite(found)
    return float(found) if known and found is not None else 0.0


def _middles(axes: Axes, pictured: Pictured, scale: Scale) -> None:
    """A bar at the median of the complete trials of each choice."""
    groups: dict[float, list[float]] = {}
    for trial in pictured.trials:
        place = scale.place(trial)
        if scale.texts and place is not None and trial.value is not None:
            groups.setdefault(place, []).append(trial.value)
    for place, values in groups.items():
        middle = statistics.median(values)
        axes.plot([place - 0.32, place + 0.32], [middle] * 2, color="black", linewidth=1.6,
                  solid_capstyle="butt", zorder=4)  # fmt: skip


def pair(pictured: Pictured, asked: Asked) -> tuple[str | None, str | None]:
    """The two hyperparameters of a map; where none was named, the first two that vary."""
    names = [name for name in pictured.varied if name not in (asked.x, asked.y)]
    across = asked.x or next(iter(names), None)
    return across, asked.y or next((name for name in names if name != across), None)


def pair_map(figure: Drawn, pictured: Pictured, asked: Asked) -> None:
    """Two hyperparameters, the value as colour; brighter is better."""
    across, up = pair(pictured, asked)
    if across is None or up is None:
        nothing(figure, "a map takes two hyperparameters that vary")
        return
    x, y = Scale.of(pictured, across), Scale.of(pictured, up)
    axes = figure.add_subplot()
    scale_axis(axes, "x", x)
    scale_axis(axes, "y", y)
    heights = [h for trial in pictured.trials if (h := pictured.height(trial)) is not None]
    norm = _norm(heights, pictured.objective)
    said = {}
    for state, trials in reversed(pictured.by_state().items()):
        here = [
            trial
            for trial in trials
            if x.place(trial) is not None and y.place(trial) is not None
            if state in _ON_AXIS or pictured.height(trial) is not None
        ]
        if not here:
            continue
        look = LOOKS[state]
        axes.scatter(
            *_spread(here, x, y), s=44, marker=look.mark, zorder=3, label=str(state),
            alpha=alpha_of(len(here)), rasterized=len(here) > RASTER,
            **_fill(pictured, state, here, norm),
        )  # fmt: skip
        said[state] = f" ({len(here)})"
    if heights:
        colours = ScalarMappable(norm, brighter(pictured.direction))
        colour_bar(figure, colours, f"{label(pictured.objective)}, bright is better")
    _explain_map(figure, axes, pictured, (x, y), said)


def _spread(trials: Sequence[Trial], x: Scale, y: Scale) -> tuple[list[float], list[float]]:
    """Where trials lie that have both."""
    places = [(x.spread(trial), y.spread(trial)) for trial in trials]
    known = [(a, b) for a, b in places if a is not None and b is not None]
    return [a for a, _ in known], [b for _, b in known]


def _fill(pictured: Pictured, state: State, here: Sequence[Trial], norm: Normalize) -> Any:
    """Colour by value; of a state without one, its own."""
    if state in _ON_AXIS:
        return {"c": LOOKS[state].colour, "linewidths": 1.3}
    values = [pictured.height(trial) for trial in here]
    return {
        "c": values,
        "cmap": brighter(pictured.direction),
        "norm": norm,
        "edgecolors": "black",
        "linewidths": 0.5,
    }


def _norm(heights: Sequence[float], measure: str) -> Normalize:
    low, high = min(heights, default=0.0), max(heights, default=1.0)
    return (LogNorm if is_log(heights, measure) else Normalize)(low, high)


def _explain_map(
    figure: Drawn, axes: Axes, pictured: Pictured, scales: tuple[Scale, Scale],
    said: dict[State, str],
) -> None:  # fmt: skip
    handles = [
        Line2D([], [], linestyle="none", marker=LOOKS[state].mark, markersize=6,
               label=f"{state}{n}",
               color=LOOKS[state].colour if state in _ON_AXIS else "#888888",
               markeredgecolor=LOOKS[state].colour if state in _ON_AXIS else "black")
        for state in State if (n := said.get(state))
    ]  # fmt: skip
    best = ranking.best(pictured.trials, pictured.direction)
    places = _spread([best] if best else [], *scales)
    if best and places[0]:
        axes.scatter(*places, s=150, marker="o", facecolors="none", edgecolors="black",
                     linewidths=1.8, zorder=4)  # fmt: skip
        handles.append(
            Line2D([], [], linestyle="none", marker="o", markersize=10, markeredgewidth=1.8,
                   markerfacecolor="none", color="black", label=f"best: trial {best.number}")
        )  # fmt: skip
    left_out = sum(any(scale.place(t) is None for scale in scales) for t in pictured.trials)
    if left_out:
        axes.set_title(f"{left_out} trials have only one of the two, or none", color=GREY)
    legend(figure, handles)
