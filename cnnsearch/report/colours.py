"""Colours that are told apart with any kind of colour vision, and the marks beside them.

The palette is that of M. Okabe and K. Ito (2008), without black and yellow, which a dark or a white
page hides.
"""

from __future__ import annotations

from cnnsearch.records import State

BLUE, VERMILLION, GREEN = "#0072B2", "#D55E00", "#009E73"
PURPLE, ORANGE, SKY = "#CC79A7", "#E69F00", "#56B4E9"
GREY = "#8A8A8A"
LINES = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY)
"""Of curves; those beyond differ by their dashes and marks as well."""
# Colour and plotly's mark.
MARKS = {
    State.COMPLETE: (GREEN, "circle"),
    State.PRUNED: (SKY, "square"),
    State.DIVERGED: (VERMILLION, "x"),
    State.FAILED: (PURPLE, "diamond"),
    State.KILLED: (GREY, "triangle-down"),
    State.RUNNING: (BLUE, "circle-open"),
}
