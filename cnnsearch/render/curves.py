"""Curves drawn in the terminal by plotext; in ASCII where nothing else can be shown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from cnnsearch.records import EpochResult
from cnnsearch.render import output
from cnnsearch.render.output import Line

# One mark a curve, so that curves can be told apart without colour.
MARKS = "●▲■◆○△□◇"
ASCII_MARKS = "*xo+#@%&"
STYLES = ("cyan", "yellow", "green", "magenta", "blue", "red", "bright_cyan", "bright_yellow")
# What plotext draws its frame with.
_TO_ASCII = str.maketrans("─│┌┐└┘├┤┬┴┼", "-|+++++++++")
# Above this ratio of the largest to the smallest value the axis is logarithmic: of a loss that
# diverged, a linear axis shows the last point only.
LOG_RATIO = 50.0
_LARGEST = 1e300


@dataclass(frozen=True, slots=True)
class Curve:
    """A labelled curve.

    Args:
        points: (epoch, value), or another place on the axis; points with a non-finite value are
            left out.
        joined: by a line.
    """

    label: str
    points: Sequence[tuple[float, float]]
    joined: bool = True


def curve_lines(epochs: Sequence[EpochResult]) -> list[Line]:
    """Loss and accuracy of one trial: side by side, or one above the other where it is narrow."""
    width = min(output.width(), 160)
    wide = width >= 72
    size = (width // 2 - 1, 13) if wide else (width, 12)
    loss, accuracy = (
        plot(
            name,
            [
                Curve(
                    part, [(result.epoch, getattr(result, f"{part}_{name}")) for result in epochs]
                )
                for part in ("train", "val")
            ],
            size,
        )
        for name in ("loss", "accuracy")
    )
    lines = beside(loss, accuracy, width // 2 + 1) if wide else loss + accuracy
    return [*lines, legend(["training", "validation"])]


def plot(
    title: str,
    curves: Sequence[Curve],
    size: tuple[int, int],
    log_x: bool = False,
    utf8: bool | None = None,
    ticks: Sequence[tuple[float, str]] = (),
) -> list[Line]:
    """Curves over epochs, at most 8, each with its own mark.

    Args:
        size: columns and lines of the whole picture.
        log_x: they are not over epochs but over positive numbers, on a logarithmic axis.
        utf8: whether marks beyond ASCII can be shown; None asks stdout.
        ticks: they are over something else, whose axis is so labelled.
    """
    assert len(curves) <= len(MARKS)
    ascii_only = not (output.speaks_utf8() if utf8 is None else utf8)
    marks = ASCII_MARKS if ascii_only else MARKS
    # plotext 6.1 aborts the whole process on a NaN, and a span beyond 1e308 makes one.
    shown = [
        replace(curve, points=[(x, y) for x, y in curve.points if abs(y) < _LARGEST])
        for curve in curves
    ]
    finite = [curve.points for curve in shown]
    if not any(finite):
        return [[(title, "bold")], [("(no finite values)", "dim")]]
    picture = _picture(shown, marks, size, log_x, ticks)
    if ascii_only:
        picture = [line.translate(_TO_ASCII) for line in picture]
    styles = dict(zip(marks, STYLES, strict=True))
    name = " (log scale)" if _is_log(finite) else ""
    heading: Line = [((title + name).center(size[0]), "bold")]
    return [heading, *(_coloured(line, styles) for line in picture)]


def legend(labels: Sequence[str], utf8: bool | None = None) -> Line:
    """The mark and the label of each curve, in one line; `utf8` see `plot`."""
    marks = MARKS if (output.speaks_utf8() if utf8 is None else utf8) else ASCII_MARKS
    line: Line = []
    for mark, style, label in zip(marks, STYLES, labels, strict=False):
        line += [(mark, style), (f" {label}   ", "")]
    return line


def beside(left: Sequence[Line], right: Sequence[Line], width: int) -> list[Line]:
    """Two pictures side by side, the left one filled up to `width`."""
    lines: list[Line] = []
    for i in range(max(len(left), len(right))):
        line = list(left[i]) if i < len(left) else []
        used = sum(len(text) for text, _ in line)
        line.append((" " * (width - used), ""))
        lines.append(line + (list(right[i]) if i < len(right) else []))
    return lines


def _picture(
    curves: Sequence[Curve],
    marks: str,
    size: tuple[int, int],
    log_x: bool,
    ticks: Sequence[tuple[float, str]],
) -> list[str]:
    """The lines that plotext draws, without colours; the title's line is left to us."""
    import plotext

    log = _is_log([curve.points for curve in curves])
    plotext.terminal.limit(False, False)
    figure = plotext.figure
    figure.clear()
    figure.theme("colorless")
    figure.plot_size(size[0], size[1] - 1)
    for curve, mark in zip(curves, marks, strict=False):
        if curve.points:
            heights = [math.log10(y) if log else y for _, y in curve.points]
            places = [math.log10(x) if log_x else x for x, _ in curve.points]
            signal = figure.signal(places, heights, marker=mark)
            signal.lines(curve.joined and len(places) > 1)
            figure.draw(signal)
    places = [x for curve in curves for x, _ in curve.points]
    if ticks:
        _labelled_axis(figure.ruler("x"), ticks, places)
    else:
        axis = _decade_axis if log_x else _epoch_axis
        axis(figure.ruler("x"), min(places), max(places), size[0])
    values = [y for curve in curves for _, y in curve.points]
    # Labels that share a line push each other away from their values.
    _value_axis(figure.ruler("y"), (min(values), max(values)), log, min(5, max(2, size[1] // 2)))
    text: str = plotext.uncolorize(figure.build().string())
    return [line.rstrip() for line in text.splitlines()]


def _is_log(curves: Sequence[Sequence[tuple[float, float]]]) -> bool:
    values = [y for points in curves for _, y in points]
    return min(values) > 0 and max(values) / min(values) > LOG_RATIO


def _epoch_axis(ruler: object, first: float, last: float, width: int) -> None:
    """Whole epochs only, about one label in ten columns."""
    step = max(1, math.ceil((last - first) / max(2, width // 10)))
    ticks = list(range(int(first), int(last) + 1, step))
    if first == last:
        ruler.lim(first - 1, last + 1)  # type: ignore[attr-defined]
    ruler.ticks(ticks, [str(tick) for tick in ticks])  # type: ignore[attr-defined]


def _labelled_axis(
    ruler: object, ticks: Sequence[tuple[float, str]], places: Sequence[float]
) -> None:
    ends = [*places, *(place for place, _ in ticks)]
    margin = 1.0 if min(ends) == max(ends) else 0.0
    ruler.lim(min(ends) - margin, max(ends) + margin)  # type: ignore[attr-defined]
    ruler.ticks([place for place, _ in ticks], [text for _, text in ticks])  # type: ignore[attr-defined]


def _decade_axis(ruler: object, first: float, last: float, width: int) -> None:
    """Powers of ten, about one label in ten columns."""
    low, high = math.log10(first), math.log10(last)
    if low == high:
        ruler.lim(low - 1, high + 1)  # type: ignore[attr-defined]
    step = max(1, math.ceil((high - low) / max(2, width // 10)))
    ticks = list(range(math.ceil(low - 1e-9), math.floor(high + 1e-9) + 1, step))
    ruler.ticks(ticks, [f"{10.0**tick:g}" for tick in ticks])  # type: ignore[attr-defined]


def _value_axis(ruler: object, span: tuple[float, float], log: bool, count: int) -> None:
    low, high = span
    if log:
        low, high = math.log10(low), math.log10(high)
    if low == high:
        margin = abs(low) * 0.1 or 1.0
        low, high = low - margin, high + margin
        ruler.lim(low, high)  # type: ignore[attr-defined]
    ticks = [low + (high - low) * i / (count - 1) for i in range(count)]
    labels = [f"{10**tick if log else tick:.3g}" for tick in ticks]
    ruler.ticks(ticks, labels)  # type: ignore[attr-defined]


def _coloured(line: str, styles: dict[str, str]) -> Line:
    """A line of the picture, the marks inside the frame in their colours."""
    edge = next((i for i, char in enumerate(line) if char in "│┤|+"), len(line))
    pieces: Line = [(line[: edge + 1], "")]
    for char in line[edge + 1 :]:
        style = styles.get(char, "")
        if pieces[-1][1] == style and len(pieces) > 1:
            pieces[-1] = (pieces[-1][0] + char, style)
        else:
            pieces.append((char, style))
    return pieces
