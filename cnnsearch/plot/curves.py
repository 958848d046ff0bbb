"""Curves: what every trial measured epoch by epoch."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D

from cnnsearch import ranking
from cnnsearch.plot.axes import colour_bar, epoch_axis, measure_axis
from cnnsearch.plot.colouring import Colouring
from cnnsearch.plot.paper import COLOURS, GREY, LOOKS, MARKS, RASTER, Drawn, dots, legend, nothing
from cnnsearch.plot.pictured import Asked, Pictured, measured
from cnnsearch.records import State, Trial
from cnnsearch.render.trials import counts_text

FEW = 8
"""So many trials can be told apart one by one."""
_WITH_TRAINING = 4


def curves(figure: Drawn, pictured: Pictured, asked: Asked) -> None:
    """Loss and accuracy on the validation split over epochs, a line a trial."""
    measures = [asked.y] if asked.y else ["val_loss", "val_accuracy"]
    drawn = [trial for trial in pictured.trials if trial.curve]
    if not drawn:
        nothing(figure, "no trial has finished an epoch")
        return
    by = asked.color or default_color(drawn)
    for place, measure in enumerate(measures, 1):
        axes = figure.add_subplot(1, len(measures), place)
        paths = _few(axes, drawn, measure) if by == "trial" else _many(axes, pictured, measure, by)
        measure_axis(axes, [y for path in paths for _, y in path], measure)
        epoch_axis(axes)
        last = max(trial.curve[-1].epoch for trial in drawn)
        axes.set_xlim(0.8 if last > 1 else 0.5, last + (0.2 if last > 1 else 0.5))
    if by == "trial":
        _explain_few(figure, pictured, drawn, measures)
        return
    colouring = Colouring(pictured, by, line=True)
    if colouring.bar is not None:
        colour_bar(figure, colouring.bar, colouring.title or "")
    best = ranking.best(drawn, pictured.direction)
    handles = colouring.handles(_said(pictured))
    if best is not None:
        text = f"best: trial {best.number}"
        handles.insert(0, Line2D([], [], color="black", linewidth=3.4, label=text))
    legend(figure, handles, None if colouring.bar is not None else colouring.title)


def default_color(drawn: Sequence[Trial]) -> str:
    """A few trials one by one, more of them by their states."""
    return "trial" if len(drawn) <= FEW else "state"


def _many(axes: Axes, pictured: Pictured, measure: str, by: str) -> list[list[tuple[int, float]]]:
    """All trials, each state with its dashes; a mark where one ended before its last epoch."""
    colouring = Colouring(pictured, by, line=True)
    count = len(pictured.trials)
    alpha = min(0.9, max(0.12, 4 / math.sqrt(count)))
    found = []
    for state, trials in reversed(pictured.by_state().items()):
        pairs = [(trial, path) for trial in trials if (path := measured(trial.curve, measure))]
        look, colours = LOOKS[state], [colouring.of(trial) for trial, _ in pairs]
        paths = [path for _, path in pairs]
        axes.add_collection(
            LineCollection(
                paths, colors=colours, linestyles=look.dashes, linewidths=1.1, alpha=alpha,
                rasterized=count > RASTER, label=str(state),
            )
        )  # fmt: skip
        early = state is not State.COMPLETE
        ends = [(path[-1], c) for path, c in zip(paths, colours, strict=True)
                if early or len(path) == 1]  # fmt: skip
        dots(axes, [end for end, _ in ends], look, [colour for _, colour in ends], 26,
             max(alpha, 0.5), zorder=3)  # fmt: skip
        found += paths
    best = ranking.best(pictured.trials, pictured.direction)
    if best is not None and best.curve:
        path = measured(best.curve, measure)
        axes.plot(*zip(*path, strict=True), color="black", linewidth=3.4, zorder=4)
        axes.plot(*zip(*path, strict=True), color=colouring.of(best), linewidth=1.6, zorder=4)
    return found


def _said(pictured: Pictured) -> dict[State, str]:
    """Behind each state's name in the legend: how many, and how many of them have no curve."""
    said = {}
    for state, trials in pictured.by_state().items():
        bare = sum(not trial.curve for trial in trials)
        within = f", {bare} of them within the first epoch" if bare else ""
        said[state] = f" ({len(trials)}{within})"
    return said


def _few(axes: Axes, drawn: Sequence[Trial], measure: str) -> list[list[tuple[int, float]]]:
    """Each trial with its own colour and mark; of very few the training curves too, dotted."""
    found = []
    for place, trial in enumerate(drawn):
        colour, path = COLOURS[place], measured(trial.curve, measure)
        every = max(1, len(path) // 12)
        if path:
            axes.plot(*zip(*path, strict=True), color=colour, marker=MARKS[place], markersize=4,
                      markevery=every)  # fmt: skip
            found.append(path)
            if trial.state is not State.COMPLETE:
                dots(axes, path[-1:], LOOKS[trial.state], [colour], 60, 1.0, zorder=4)
        training = measured(trial.curve, measure.replace("val_", "train_"))
        if training and len(drawn) <= _WITH_TRAINING and measure.startswith("val_"):
            axes.plot(*zip(*training, strict=True), color=colour, linestyle=":", linewidth=1.2)
            found.append(training)
    return found


def _explain_few(
    figure: Drawn, pictured: Pictured, drawn: Sequence[Trial], measures: Sequence[str]
) -> None:
    handles = [
        Line2D([], [], color=COLOURS[place], marker=MARKS[place], markersize=4,
               label=f"trial {trial.number} ({trial.state})")
        for place, trial in enumerate(drawn)
    ]  # fmt: skip
    if len(drawn) <= _WITH_TRAINING and any(name.startswith("val_") for name in measures):
        handles += [
            Line2D([], [], color=GREY, label="validation"),
            Line2D([], [], color=GREY, linestyle=":", linewidth=1.2, label="training"),
        ]
        for axes in figure.get_axes():
            axes.set_ylabel(axes.get_ylabel().removeprefix("validation "))
    others = [trial for trial in pictured.trials if not trial.curve]
    if others:
        text = f"without an epoch: {counts_text(ranking.counts(others))}"
        handles.append(Line2D([], [], linestyle="none", label=text))
    legend(figure, handles)
