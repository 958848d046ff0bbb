"""The axes of matplotlib: labels, scales, ticks, limits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from cnnsearch.plot.paper import Drawn
from cnnsearch.plot.pictured import label
from cnnsearch.plot.scale import Scale, is_log
from cnnsearch.space import Choice

Which = Literal["x", "y"]
# Letters of this size to an inch: names of choices that need more stand aslant below an axis.
_LETTERS = 13.0


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
        if which == "x" and not _fit(axes, scale.texts):
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


def _fit(axes: Axes, texts: Sequence[str]) -> bool:
    """Whether names fit side by side below an axis."""
    figure = axes.get_figure()
    assert figure is not None
    wide = axes.get_position().width * figure.bbox.width / figure.dpi * _LETTERS
    return (max(map(len, texts)) + 1) * len(texts) <= wide


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
    axis.set_major_formatter(FuncFormatter(_plain))
    axis.set_minor_formatter(NullFormatter())


def _plain(value: float, _: int | None) -> str:
    return f"{value:g}"


def colour_bar(figure: Drawn, colours: ScalarMappable, text: str) -> None:
    """What colours mean, at the right of all axes."""
    log = isinstance(colours.norm, LogNorm)
    low, high = (float(end) for end in colours.get_clim() if isinstance(end, int | float))
    ticks: Any = MaxNLocator(6)
    if low == high:
        ticks = [low]
    elif log:
        ticks = LogLocator(subs=(1,) if high / low > 100 else (1, 2, 5))
    bar = figure.colorbar(
        ScalarMappable(colours.norm, colours.cmap), ax=list(figure.get_axes()), label=text,
        aspect=30, ticks=ticks, format=FuncFormatter(_plain),
    )  # fmt: skip
    bar.ax.minorticks_off()


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
