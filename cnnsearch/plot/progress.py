"""The best so far, against trials and against the epochs that they cost."""

from __future__ import annotations

from matplotlib.axes import Axes

from cnnsearch.plot.axes import epoch_axis, measure_axis
from cnnsearch.plot.paper import (
    GREY,
    LOOKS,
    Drawn,
    alpha_of,
    dots,
    handle,
    legend,
    nothing,
    on_axis,
)
from cnnsearch.plot.pictured import Asked, Pictured
from cnnsearch.records import State
from cnnsearch.review.progress import Step
from cnnsearch.review.progress import progress as steps_of

BEST = "best so far"


def progress(figure: Drawn, pictured: Pictured, _: Asked) -> None:
    """A step where a trial was better than all before it; points are the trials' own values."""
    steps = steps_of(pictured.study, pictured.config, "", pictured.trials, pictured.direction).steps
    if not steps:
        nothing(figure, "no trial has ended")
        return
    for place, (unit, text) in enumerate(
        (("trials", "trials ended, in the order they began"), ("epochs", "epochs trained by then"))
    ):
        axes = figure.add_subplot(1, 2, place + 1)
        _steps(axes, pictured, steps, unit)
        epoch_axis(axes, text)
        if place:
            axes.set_ylabel("")
    states = pictured.by_state()
    handles = [handle(LOOKS[State.COMPLETE], BEST, line=True)]
    handles[0].set(marker="", linewidth=2.0, color="black")
    if all(step.best is None for step in steps):
        handles.clear()
    handles += [
        handle(LOOKS[state], f"{state} ({len(trials)})", line=False)
        for state, trials in states.items()
        if state not in (State.KILLED, State.RUNNING)
    ]
    legend(figure, handles)


def _steps(axes: Axes, pictured: Pictured, steps: tuple[Step, ...], unit: str) -> None:
    trials = {trial.number: trial for trial in pictured.trials}
    heights = [h for step in steps if (h := pictured.height(trials[step.trial])) is not None]
    measure_axis(axes, heights, pictured.objective)
    if not heights:
        axes.set_yticks([])
        axes.text(0.5, 0.5, "no trial has a value", transform=axes.transAxes, ha="center",
                  color=GREY)  # fmt: skip
    best = [(getattr(step, unit), step.best) for step in steps if step.best is not None]
    if best:
        axes.step(*zip(*best, strict=True), where="post", color="black", linewidth=2.0, zorder=4,
                  label=BEST)  # fmt: skip
    for state, look in LOOKS.items():
        here = [step for step in steps if trials[step.trial].state is state]
        points = [(getattr(s, unit), h) for s in here
                  if (h := pictured.height(trials[s.trial])) is not None]  # fmt: skip
        dots(axes, points, look, [look.colour] * len(points), 16, 0.7 * alpha_of(len(points)),
             label=str(state))  # fmt: skip
        if state in (State.DIVERGED, State.FAILED):
            places = [getattr(step, unit) for step in here]
            on_axis(axes, places, state, [look.colour] * len(places), pictured.direction)
    last = getattr(steps[-1], unit)
    axes.set_xlim(0, last * 1.03 or 1)
