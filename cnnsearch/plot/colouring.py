"""By what marks and lines are coloured: their states, or a hyperparameter."""

from __future__ import annotations

from typing import Any

from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize, to_hex
from matplotlib.lines import Line2D

from cnnsearch.plot.paper import COLOURS, GREY, LOOKS, NUMBERS, handle
from cnnsearch.plot.pictured import Pictured, label
from cnnsearch.plot.scale import Scale
from cnnsearch.records import State, Trial


class Colouring:
    """The colour of each trial, and how it is explained beside the figure.

    Args:
        by: "state" or a hyperparameter.
        line: lines are drawn, so that states have their dashes in the legend too.
    """

    def __init__(self, pictured: Pictured, by: str, line: bool) -> None:
        self._pictured = pictured
        self._line = line
        self._scale = None if by == "state" else Scale.of(pictured, by)
        self.bar: ScalarMappable | None = None
        if self._scale is not None and not self._scale.texts:
            norm = (LogNorm if self._scale.log else Normalize)(*self._scale.ends)
            self.bar = ScalarMappable(norm, NUMBERS)

    @property
    def title(self) -> str | None:
        """What the colours are of; None for states."""
        return None if self._scale is None else label(self._scale.name)

    def of(self, trial: Trial) -> str:
        """Grey where a trial has no such hyperparameter."""
        if self._scale is None:
            return LOOKS[trial.state].colour
        place = self._scale.place(trial)
        if place is None:
            return "#bbbbbb"
        if self.bar is not None:
            return to_hex(self.bar.to_rgba(place))  # type: ignore[arg-type]
        return self._colour(int(place))

    def _colour(self, place: int) -> str:
        assert self._scale is not None
        count = len(self._scale.texts)
        if count <= len(COLOURS):
            return COLOURS[place]
        return to_hex(colormaps["viridis"](place / (count - 1)))

    def handles(self, said: dict[State, str]) -> list[Any]:
        """Of a legend: the states with what is said of each, then the values.

        Args:
            said: behind the name of a state; those that are drawn.
        """
        found: list[Any] = []
        for state, text in said.items():
            one = handle(LOOKS[state], f"{state}{text}", self._line)
            if self._line and state is State.COMPLETE:
                one.set_marker("")  # its line goes to the last epoch
            if self._scale is not None:
                one.set_color(GREY)
                one.set_markerfacecolor("none" if LOOKS[state].hollow else GREY)
            found.append(one)
        for place, text in enumerate(self._scale.texts if self._scale else ()):
            colour = self._colour(place)
            found.append(Line2D([], [], color=colour, linewidth=4, label=text))
        return found
