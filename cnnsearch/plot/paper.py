"""What all figures share: colours, marks, the settings of matplotlib, and the way to a file."""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D

from cnnsearch.records import State

Drawn = Figure | SubFigure
"""A picture, or its part of a page."""
FORMATS = ("png", "svg", "pdf")
Dashes = Literal["-", "--", "-.", ":"]
DPI = 150

# M. Okabe, K. Ito (2002): colours that people with any of the colour blindnesses tell apart. Its
# yellow is left out: too pale for lines on white.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000", "#999999")
MARKS = ("o", "s", "^", "D", "v", "P", "X", "*")
# For numbers: even in lightness, for the colour-blind too (N. Smith, S. van der Walt 2015).
NUMBERS = "viridis"
# In a legend: letters to an inch, and what a handle takes of them.
_LETTERS, _HANDLE = 14.5, 7
RASTER = 300
"""More marks or lines than this make vector files of megabytes: they are put in as pixels."""
GREY, PALE = "#555555", "#d9d9d9"


@dataclass(frozen=True, slots=True)
class Look:
    """How a state is drawn: told by the mark and the dashes too, not by colour alone.

    Args:
        hollow: the mark is an outline only.
    """

    colour: str
    mark: str
    dashes: Dashes
    hollow: bool = False


LOOKS = {
    State.COMPLETE: Look("#0072B2", "o", "-"),
    State.PRUNED: Look("#E69F00", "v", "--", hollow=True),
    State.DIVERGED: Look("#D55E00", "x", ":"),
    State.FAILED: Look("#000000", "+", "-."),
    State.KILLED: Look("#CC79A7", "s", "-.", hollow=True),
    State.RUNNING: Look("#009E73", ">", "-", hollow=True),
}

_SETTINGS: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "figure.titlesize": 10,
    "figure.titleweight": "bold",
    "text.parse_math": False,  # a dollar in a name is a dollar
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "cnnsearch",  # or each file gets new identifiers
    "pdf.fonttype": 42,
}
# Without dates and versions, so that equal studies give equal files.
_METADATA: dict[str, dict[str, Any]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


@contextmanager
def settings() -> Iterator[None]:
    """Matplotlib's defaults with ours, whatever the user's matplotlibrc says; restored after."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_SETTINGS)
        yield


def saved(figure: Figure, form: str) -> bytes:
    """A figure as a file of one of `FORMATS`; the same bytes each time."""
    assert form in FORMATS
    file = io.BytesIO()
    with settings():
        figure.savefig(file, format=form, dpi=DPI, metadata=_METADATA[form])
    return file.getvalue()


def dots(
    axes: Axes, points: Sequence[tuple[float, float]], look: Look, colours: Sequence[str],
    size: float, alpha: float, **more: Any,
) -> None:  # fmt: skip
    """Marks of a state, each in its colour; many as pixels in vector files too.

    Args:
        size: of a mark, points squared.
    """
    if not points:
        return
    fill: dict[str, Any] = {"c": colours}
    if look.hollow:
        fill = {"facecolors": "none", "edgecolors": colours}
    xs, ys = zip(*points, strict=True)
    axes.scatter(
        xs, ys, s=size, marker=look.mark, linewidths=1.2, alpha=alpha,
        rasterized=len(points) > RASTER, **fill, **more,
    )  # fmt: skip


def on_axis(
    axes: Axes, places: Sequence[float], state: State, colours: Sequence[str], direction: str
) -> None:
    """Marks on the axis of those that have no value: where the worst values are."""
    at = 0.0 if direction == "maximize" else 1.0
    dots(
        axes, [(place, at) for place in places], LOOKS[state], colours, 34,
        alpha_of(len(places)), label=str(state), transform=axes.get_xaxis_transform(),
        clip_on=False, zorder=5,
    )  # fmt: skip


def alpha_of(count: int) -> float:
    """The more marks, the paler: so many that lie on each other are seen as many."""
    return min(0.9, max(0.25, 8 / math.sqrt(max(count, 1))))


def brighter(direction: str) -> str:
    """The colours of values: the better, the brighter."""
    return NUMBERS if direction == "maximize" else f"{NUMBERS}_r"


def handle(look: Look, label: str, line: bool) -> Line2D:
    """A state in a legend; with its dashes where lines are drawn."""
    return Line2D(
        [], [], color=look.colour, marker=look.mark, markersize=5, label=label,
        linestyle=look.dashes if line else "none",
        markerfacecolor="none" if look.hollow else look.colour,
    )  # fmt: skip


def legend(figure: Drawn, handles: Sequence[Any], title: str | None = None) -> None:
    """Below the axes, never over data; as many columns as there is room for."""
    if not handles:
        return
    wide = figure.bbox.width / figure.dpi * _LETTERS
    lengths = [len(str(one.get_label())) + _HANDLE for one in handles]
    columns = len(handles)
    while columns > 1 and sum(_widths(lengths, columns)) > wide:
        columns -= 1
    figure.legend(
        handles=list(handles), loc="outside lower center", ncols=columns, title=title,
        title_fontsize=8, columnspacing=1.4, handlelength=2.4,
    )  # fmt: skip


def _widths(lengths: Sequence[int], columns: int) -> list[int]:
    """The longest of each column: matplotlib fills one column after the other."""
    rows, more = divmod(len(lengths), columns)
    found, start = [], 0
    for column in range(columns):
        end = start + rows + (column < more)
        found.append(max(lengths[start:end]))
        start = end
    return found


def nothing(figure: Drawn, text: str) -> None:
    """An empty figure says why."""
    axes = figure.add_subplot()
    axes.set_axis_off()
    lines = textwrap.fill(text, 60)
    axes.text(0.5, 0.5, lines, ha="center", va="center", color=GREY)
