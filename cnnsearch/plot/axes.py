"""The axes of matplotlib: labels, scales, ticks, limits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from cnnsearch.plot.pictured import label
from cnnsearch.plot.scale import Scale, is_log
from cnnsearch.space import Choice

Which = Literal["x", "y"]
# Names of choices longer than this in sum stand aslant below an axis.
_ROOM = 26


def _axis(axes: Axes, which: Which) -> Axis:
    return axes.xaxis if which == "x" else axes.yaxis


def _limit(axes: Axes, which: Which, low: float, high: float) -> None:
    (axes.set_xlim if which == "x" else axes.set_ylim)(low, high)


def scale_axis(axes: Axes, which: Which, scale: Scale) -> None:
    """The axis of a hyperparameter."""
    axis = _axis(axes, which)
    axis.set_label_text(label(scale.name))
    low, high = scale.ends
    if isinstance(scale.parameter, Choice):
        axis.set_ticks(range(len(scale.texts)), scale.texts)
        if which == "x" and sum(map(len, scale.texts)) > _ROOM:
            for text in axis.get_ticklabels():
                text.set(rotation=30, ha="right", rotation_mode="anchor")
        _limit(axes, which, low - 0.6, high + 0.6)
    elif scale.log:
        logarithmic(axes, which, low, high)
        margin = (high / low) ** 0.04 if high > low else 2.0
        _limit(axes, which, low / margin, high * margin)
    else:
        axis.set_major_locator(MaxNLocator(5, integer=scale.parameter.integer))
        margin = (high - low) * 0.04 or abs(low) * 0.1 or 1.0
        _limit(axes, which, low - margin, high + margin)


def logarithmic(axes: Axes, which: Which, low: float, high: float) -> None:
    """A logarithmic axis with ticks as a config writes numbers: 0.001, 1e-05."""
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    axis, decades = _axis(axes, which), math.log10(high / low)
    if decades >= 2:
        axis.set_major_locator(LogLocator(numticks=7))
        axis.set_minor_locator(LogLocator(subs=range(2, 10), numticks=12))
    else:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)) if decades >= 0.7 else MaxNLocator(5))
        axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def measure_axis(axes: Axes, values: Sequence[float], measure: str) -> None:
    """The upright axis of what was measured; without a value from 0 to 1."""
    axes.set_ylabel(label(measure))
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    if is_log(values, measure):
        logarithmic(axes, "y", low, high)
        margin = (high / low) ** 0.05
        _limit(axes, "y", low / margin, high * margin)
        return
    margin = (high - low) * 0.06 or abs(low) * 0.1 or 0.1
    _limit(axes, "y", low - margin, high + margin)


def epoch_axis(axes: Axes, text: str = "epoch") -> None:
    """The flat axis of whole numbers."""
    axes.set_xlabel(text)
    axes.xaxis.set_major_locator(MaxNLocator(7, integer=True, steps=[1, 2, 5, 10]))
