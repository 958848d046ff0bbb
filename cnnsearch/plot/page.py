"""Figures on a page: one alone, or several side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from matplotlib.figure import Figure

from cnnsearch.plot.kinds import KINDS
from cnnsearch.plot.paper import settings
from cnnsearch.plot.pictured import Asked, Pictured
from cnnsearch.plot.scatter import pair

# Of a page of several figures: a part's width and height, inches.
_PART = (7.6, 4.7)
_MOST = 4
"""Hyperparameters drawn in a part of a page."""


def page(pictured: Pictured, kinds: Sequence[str], asked: Asked) -> Figure:
    """A picture with the kinds asked for; several stand in rows of two."""
    with settings():
        if len(kinds) == 1:
            kind = KINDS[kinds[0]]
            figure = Figure(kind.size(pictured, asked), layout="constrained")
            kind.draw(figure, pictured, asked)
            figure.suptitle(_title(pictured, kinds[0], asked), x=0.01, ha="left")
            return figure
        rows = math.ceil(len(kinds) / 2)
        figure = Figure((2 * _PART[0], rows * _PART[1] + 0.4), layout="constrained")
        figure.suptitle(pictured.study, x=0.005, ha="left", fontsize=12)
        parts = figure.subfigures(rows, 2, squeeze=False, wspace=0.03, hspace=0.03)
        part_of = replace(asked, most=_MOST)
        for name, part in zip(kinds, parts.flat, strict=False):
            KINDS[name].draw(part, pictured, part_of if name == "param" else asked)
            title = KINDS[name].title
            part.suptitle(title[:1].upper() + title[1:], x=0.01, ha="left")
        return figure


def _title(pictured: Pictured, kind: str, asked: Asked) -> str:
    name = pictured.study
    if kind == "layers" and pictured.layers is not None:
        name = f"{name}, trial {pictured.layers.number}"
    if kind == "param" and asked.x:
        return f"{name}: {pictured.objective} by {asked.x}"
    if kind == "map" and None not in (names := pair(pictured, asked)):
        return f"{name}: {pictured.objective} by {names[0]} and {names[1]}"
    return f"{name}: {KINDS[kind].title}"
