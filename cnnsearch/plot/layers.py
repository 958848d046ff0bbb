"""The signal layer by layer, as CS231n's lecture 6 shows it: mean, std, histograms."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from cnnsearch.plot.axes import logarithmic
from cnnsearch.plot.paper import COLOURS, GREY, Drawn, legend, nothing
from cnnsearch.plot.pictured import Asked, Histograms, Pictured, when
from cnnsearch.records import LayerProbe, Probe
from cnnsearch.render.trials import probes_of

_COLUMNS = 5
"""Histograms side by side."""
_COLOUR_OF_TURN = (0, 5)
"""Which of `COLOURS`, before and after training."""
_ROW_HIGH, PROFILES_HIGH = 1.9, 3.2
"""Inches of a row of histograms; of what stands above them."""
# std of layers that differ by more than this is drawn on a logarithmic axis.
_LOG_RATIO = 10.0


def histograms_height(histograms: Histograms) -> float:
    """Inches."""
    return _ROW_HIGH * _rows(histograms)


def _rows(histograms: Histograms) -> int:
    return math.ceil(len(histograms.names) / _COLUMNS)


def layers(figure: Drawn, pictured: Pictured, _: Asked) -> None:
    """Above: what was measured before training and after the last epoch; below: histograms of the
    activations before training, and of the weights that were kept, one range for all layers.
    """
    trial = pictured.layers
    probes = probes_of(trial) if trial is not None else []
    parts: list[tuple[float, Callable[[Drawn], None]]] = []
    if probes:
        parts.append((PROFILES_HIGH, partial(_profiles, probes=probes)))
    parts += [
        (histograms_height(one), partial(_histograms, histograms=one))
        for one in pictured.histograms
    ]
    if not parts:
        nothing(figure, "no layer of the trial was measured")
        return
    heights, draws = zip(*parts, strict=True)
    places = figure.subfigures(len(parts), 1, height_ratios=heights, squeeze=False)[:, 0]
    for place, draw in zip(places, draws, strict=True):
        draw(place)


def _profiles(figure: Drawn, probes: Sequence[tuple[int, Probe]]) -> None:
    shown = [probes[0], *probes[1:][-1:]]
    quantities: list[tuple[str, Callable[[LayerProbe], float | None]]] = [
        ("mean of activations", lambda layer: layer.mean),
        ("std of activations", lambda layer: layer.std),
        ("dead units (share, 0 to 1)", lambda layer: layer.dead),
        ("saturated activations (share)", lambda layer: layer.saturated),
    ]
    there = [
        (text, of)
        for text, of in quantities
        if any(of(layer) is not None for _, probe in shown for layer in _inner(probe))
    ]
    if not there:
        nothing(figure, "no layer before the classifier")
        return
    handles = []
    for place, (text, of) in enumerate(there, 1):
        axes = figure.add_subplot(1, len(there), place)
        for turn, (epoch, probe) in enumerate(shown):
            _profile(axes, [(layer.name, of(layer)) for layer in _inner(probe)], turn)
            if place == 1:
                handles.append(_line(turn, when(epoch)))
        axes.set_title(text)
        if "share" in text:
            axes.set_ylim(-0.05, 1.05)
        elif text.startswith("std"):
            _std_axis(axes, [layer.std for _, probe in shown for layer in _inner(probe)])
    legend(figure, handles)


def _inner(probe: Probe) -> Sequence[LayerProbe]:
    """The layers before the classifier."""
    return [layer for layer in probe.layers if layer.name != "classifier"]


def _line(turn: int, text: str) -> Line2D:
    return Line2D([], [], color=COLOURS[_COLOUR_OF_TURN[turn]], marker="os"[turn], markersize=5,
                  linestyle=("-", "--")[turn], label=text)  # fmt: skip


def _profile(axes: Axes, values: Sequence[tuple[str, float | None]], turn: int) -> None:
    drawn = [(i, v) for i, (_, v) in enumerate(values) if v is not None and math.isfinite(v)]
    if drawn:
        like = _line(turn, "")
        axes.plot(*zip(*drawn, strict=True), color=like.get_color(), marker=like.get_marker(),
                  markersize=5, linestyle=like.get_linestyle(), clip_on=False)  # fmt: skip
    names = [name for name, _ in values]
    aslant = sum(map(len, names)) > 20
    axes.set_xticks(range(len(names)), names, rotation=45 if aslant else 0,
                    ha="right" if aslant else "center", rotation_mode="anchor")  # fmt: skip
    axes.set_xlim(-0.4, len(names) - 0.6)


def _std_axis(axes: Axes, values: Sequence[float]) -> None:
    known = [value for value in values if math.isfinite(value)]
    if known and min(known) > 0 and max(known) / min(known) > _LOG_RATIO:
        logarithmic(axes, "y", min(known), max(known))
    elif known:
        axes.set_ylim(0, max(known) * 1.1 or 1.0)


def _histograms(figure: Drawn, histograms: Histograms) -> None:
    rows, colour = _rows(histograms), COLOURS[_COLOUR_OF_TURN[histograms.epoch > 0]]
    figure.suptitle(
        f"activations {when(histograms.epoch)}, {histograms.inputs:,} training images", fontsize=9,
        fontweight="normal", x=0.01, ha="left",
    )  # fmt: skip
    columns = min(_COLUMNS, len(histograms.names))
    bins = len(histograms.shares[0])
    width = (histograms.high - histograms.low) / bins
    middles = [histograms.low + (i + 0.5) * width for i in range(bins)]
    for place, (name, shares) in enumerate(zip(histograms.names, histograms.shares, strict=True)):
        axes = figure.add_subplot(rows, columns, place + 1)
        axes.bar(middles, shares, width, color=colour, linewidth=0)
        axes.set_title(name)
        axes.set_xlim(histograms.low, histograms.high)
        # A peak at 0 is most of a layer: the rest is what one wants to see.
        highest = sorted(shares)[-2] if max(shares) > 3 * sorted(shares)[-2] > 0 else max(shares)
        axes.set_ylim(0, highest * 1.15 or 1.0)
        if max(shares) > highest:
            at = middles[shares.index(max(shares))]
            right = at < (histograms.low + histograms.high) / 2
            axes.annotate(f"{max(shares):.0%}", (at, highest * 1.15), (4 if right else -4, -9),
                          textcoords="offset points", ha="left" if right else "right",
                          fontsize=8, color=GREY)  # fmt: skip
        axes.grid(visible=False)
        axes.xaxis.set_major_locator(MaxNLocator(3))
        axes.yaxis.set_major_locator(MaxNLocator(2))
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:.3g}")
        if place % columns == 0:
            axes.set_ylabel("share")
        if place + columns >= len(histograms.names):
            axes.set_xlabel("activation")
