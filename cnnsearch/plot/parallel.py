"""Parallel coordinates: every hyperparameter as an upright axis, every trial as a line."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import LogNorm, Normalize, to_hex
from matplotlib.ticker import LogLocator, MaxNLocator

from cnnsearch.plot.axes import colour_bar
from cnnsearch.plot.paper import GREY, LOOKS, RASTER, Drawn, brighter, dots, handle, legend, nothing
from cnnsearch.plot.pictured import Asked, Pictured, label
from cnnsearch.plot.scale import Scale, is_log
from cnnsearch.records import State, Trial
from cnnsearch.render.text import number
from cnnsearch.space import unit

# Below the axes: trials without a value, and without the hyperparameter.
_UNDER = -0.13
_MOST_TEXTS = 12
_APART = 0.04  # of an axis: ticks nearer to each other would overlap
_DRAWN = (State.COMPLETE, State.PRUNED, State.DIVERGED, State.FAILED)
Path = list[tuple[float, float]]


def parallel(figure: Drawn, pictured: Pictured, asked: Asked) -> None:
    """All hyperparameters that vary, and the value at the right; brighter is better."""
    names = pictured.varied[: asked.most]
    heights = [h for trial in pictured.trials if (h := pictured.height(trial)) is not None]
    if not names:
        nothing(figure, "the study searches no hyperparameter")
        return
    scales = [Scale.of(pictured, name) for name in names]
    last = _Values(heights, pictured)
    axes = figure.add_subplot()
    said = {}
    count = len(pictured.trials)
    for state, trials in reversed(pictured.by_state().items()):
        if state not in _DRAWN:
            continue
        ordered = sorted(trials, key=lambda trial: last.place(trial) or 0.0)
        colours = [last.colour(trial) for trial in ordered]
        paths = [_path(trial, scales, last) for trial in ordered]
        axes.add_collection(
            LineCollection(
                paths, colors=colours, linestyles=LOOKS[state].dashes, linewidths=1.0,
                alpha=min(0.8, max(0.15, 5 / math.sqrt(count))), rasterized=count > RASTER,
                zorder=3 if state is State.COMPLETE else 2, label=str(state),
            )
        )  # fmt: skip
        if state in (State.DIVERGED, State.FAILED):
            dots(axes, [path[-1] for path in paths], LOOKS[state], colours, 30, 0.8, zorder=5)
        said[state] = f" ({len(trials)})"
    _draw_axes(axes, scales, last, pictured)
    if heights:
        text = f"{label(pictured.objective)}, bright is better"
        colour_bar(figure, ScalarMappable(last.norm, last.colours), text)
    handles: list[Any] = []
    for state in said:
        one = handle(LOOKS[state], f"{state}{said[state]}", line=True)
        if state not in (State.DIVERGED, State.FAILED):
            one.set(color=GREY, marker="")
        handles.insert(0, one)
    legend(figure, handles)


class _Values:
    """The axis of the values, and their colours."""

    def __init__(self, heights: Sequence[float], pictured: Pictured) -> None:
        self._pictured = pictured
        self.log = is_log(heights, pictured.objective)
        self.low, self.high = min(heights, default=0.0), max(heights, default=1.0)
        self.norm = (LogNorm if self.log else Normalize)(self.low, self.high)
        self.colours = brighter(pictured.direction)

    def place(self, trial: Trial) -> float | None:
        """0..1; None of a trial without a value."""
        height = self._pictured.height(trial)
        if height is None:
            return None
        return float(self.norm(height)) if self.high > self.low else 0.5

    def colour(self, trial: Trial) -> str:
        """By its value; of a trial without one, that of its state."""
        height = self._pictured.height(trial)
        if height is None:
            return LOOKS[trial.state].colour
        return to_hex(colormaps[self.colours](float(self.norm(height))))


def _path(trial: Trial, scales: Sequence[Scale], last: _Values) -> Path:
    """A trial's way through the axes; lines through a choice spread a little."""
    found: Path = []
    for across, scale in enumerate(scales):
        place = scale.share(trial)
        if place is not None and scale.texts:
            place += 0.05 * (unit("spread", scale.name, trial.number) - 0.5)
        found.append((across, _UNDER if place is None else place))
    end = last.place(trial)
    return [*found, (len(scales), _UNDER if end is None else end)]


def _draw_axes(axes: Axes, scales: Sequence[Scale], last: _Values, pictured: Pictured) -> None:
    axes.set_axis_off()
    axes.set_xlim(-0.15, len(scales) + 0.35)
    missing = [scale for scale in scales if any(scale.place(t) is None for t in pictured.trials)]
    valueless = any(last.place(t) is None for t in pictured.trials if t.state in _DRAWN)
    axes.set_ylim(_UNDER - 0.07 if missing or valueless else -0.06, 1.14)
    for across, scale in enumerate(scales):
        _axis(axes, across, scale.name + (" (log)" if scale.log else ""), _marks(scale))
        if scale in missing:
            _text(axes, across, _UNDER, "none")
    _axis(
        axes,
        len(scales),
        pictured.objective + (" (log)" if last.log else ""),
        _ticks(last.low, last.high, last.log),
    )
    if valueless:
        _text(axes, len(scales), _UNDER, "no value")


def _marks(scale: Scale) -> list[tuple[float, str]]:
    """The ticks of an axis: (share, text)."""
    if not scale.texts:
        return _ticks(*scale.ends, scale.log)
    last = len(scale.texts) - 1
    every = math.ceil((last + 1) / _MOST_TEXTS)
    return [
        (place / last if last else 0.5, text)
        for place, text in enumerate(scale.texts)
        if place % every == 0
    ]


def _ticks(low: float, high: float, log: bool) -> list[tuple[float, str]]:
    """Round numbers within a range, and its ends where they are far from them."""
    if low == high:
        return [(0.5, number(low))]
    if log:
        inner = LogLocator(subs=(1,) if high / low > 100 else (1, 2, 5)).tick_values(low, high)
    else:
        inner = MaxNLocator(5).tick_values(low, high)
    norm = (LogNorm if log else Normalize)(low, high)
    found = {float(norm(tick)): f"{tick:g}" for tick in inner if low <= tick <= high}
    for share, end in ((0.0, low), (1.0, high)):
        if all(abs(share - other) > _APART for other in found):
            found[share] = f"{end:.3g}"
    return list(found.items())


def _axis(axes: Axes, across: float, name: str, marks: Sequence[tuple[float, str]]) -> None:
    axes.plot([across] * 2, [0, 1], color="black", linewidth=1, zorder=4)
    axes.text(across, 1.07, name, ha="center", va="bottom", fontweight="bold", fontsize=8)
    for share, text in marks:
        axes.plot([across - 0.015, across], [share] * 2, color="black", linewidth=1, zorder=4)
        _text(axes, across, share, text)


def _text(axes: Axes, across: float, share: float, text: str) -> None:
    axes.text(
        across + 0.02, share, text, va="center", fontsize=7, zorder=5,
        bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.8},
    )  # fmt: skip
