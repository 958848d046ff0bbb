"""What a trial's probes show layer by layer: small bars for the shape, tables for the numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from cnnsearch.records import LayerProbe, Probe
from cnnsearch.render import output
from cnnsearch.render.output import Line
from cnnsearch.render.table import Column, Table, needed_width
from cnnsearch.render.text import MISSING, measure, number

# Around 1e-3, which CS231n's lecture 6 names as the right size of an update.
LOWEST_UPDATE, HIGHEST_UPDATE = 1e-6, 1.0
# A std smaller than the largest by more than this is drawn as none at all.
_DECADES = 8
_FEWEST_CELLS, _MOST_CELLS = 6, 20
_EIGHTHS = "▏▎▍▌▋▊▉█"
_LEVELS, _ASCII_LEVELS = "▁▂▃▄▅▆▇█", "_.:-=+*#"
_FEWEST_EPOCHS = 3  # of a course: what two show, the bars show better

# The probes of a trial, each with its epoch; 0: before training.
Probes = Sequence[tuple[int, Probe]]


@dataclass(frozen=True, slots=True)
class _Quantity:
    """Something measured of each layer, and its place on a scale.

    Args:
        of: its value in a layer; None where there is none.
        place: 0..1 on the scale; only of finite values.
        marked: drawn as a mark on an axis whose middle says something, not as a bar.
        first: it is measured before training too.
    """

    name: str
    of: Callable[[LayerProbe], float | None]
    place: Callable[[float], float]
    scale: str
    marked: bool = False
    first: bool = True

    def placed(self, layer: LayerProbe) -> float | None:
        """The place of a layer's value, 0..1; None without one, or where it is not finite."""
        value = self.of(layer)
        if value is None or not math.isfinite(value):
            return None
        return min(1.0, max(0.0, self.place(value)))


def pictures(probes: Probes) -> list[Line]:
    """Bars layer by layer, before training and after the last epoch; below, epoch by epoch."""
    quantities = _quantities(probes)
    lines = [*_bars(probes, quantities), []]
    if len(probes) > _FEWEST_EPOCHS:
        lines += [*_courses(probes, quantities), []]
    told = "; ".join(f"{one.name}: {one.scale}" for one in quantities)
    return [*lines, [(f"Scales: {told}.", "dim")]]


def layers_table(probe: Probe) -> Table:
    """A row a layer; columns that apply to none of them are left out."""
    columns = (
        Column("layer"),
        Column("units", right=True),
        Column("mean", _short, right=True),
        Column("std", _short, right=True),
        Column("dead", _percent, right=True),
        Column("saturated", _percent, right=True),
        Column("similarity", _short, right=True),
        Column("gradient", _short, right=True),
        Column("update", _short, right=True),
    )
    rows = [
        [
            layer.name,
            layer.units,
            layer.mean,
            layer.std,
            layer.dead,
            layer.saturated,
            layer.similarity,
            layer.gradient_norm,
            layer.update_ratio,
        ]
        for layer in probe.layers
    ]
    applying = [i for i in range(len(columns)) if any(row[i] is not None for row in rows)]
    table = Table(columns, rows).only(applying)
    if output.is_terminal() and needed_width(table) > output.width():
        return table.only([i for i, one in enumerate(table.columns) if one.name != "units"])
    return table


def heading(epoch: int, probe: Probe) -> str:
    """Above the table of a probe: when, and what the few images cost then."""
    when = f"after epoch {epoch}" if epoch else "before training"
    return f"{when}: loss {measure(probe.loss)} on a few training images"


def _quantities(probes: Probes) -> list[_Quantity]:
    """What is drawn: std always, dead or saturated where they apply, updates after an epoch."""
    layers = [layer for _, probe in probes for layer in probe.layers]
    low, high = _decades([layer.std for layer in layers])
    shares = [
        _Quantity(name, of, lambda share: share, "0 to 100 %")
        for name, of in (("dead", _dead), ("saturated", _saturated))
        if any(of(layer) is not None for layer in layers)
    ]
    updates = _Quantity(
        "update",
        lambda layer: layer.update_ratio,
        lambda ratio: _on_log_scale(ratio, LOWEST_UPDATE, HIGHEST_UPDATE),
        f"log, {LOWEST_UPDATE:g} to {HIGHEST_UPDATE:g}, its middle 1e-3 being about right",
        marked=True,
        first=False,
    )
    return [
        _Quantity(
            "std",
            lambda layer: layer.std,
            lambda std: _on_log_scale(std, low, high),
            f"log, {low:g} to {high:g}",
        ),
        *shares,
        *([updates] if len(probes) > 1 else []),
    ]


def _dead(layer: LayerProbe) -> float | None:
    return layer.dead


def _saturated(layer: LayerProbe) -> float | None:
    return layer.saturated


def _decades(values: Sequence[float]) -> tuple[float, float]:
    """The powers of ten around positive values, at most `_DECADES` apart."""
    positive = [value for value in values if value > 0 and math.isfinite(value)]
    if not positive:
        return 0.1, 1.0
    high = math.ceil(math.log10(max(positive)))
    low = min(high - 1, math.floor(math.log10(min(positive))))
    return float(f"1e{max(low, high - _DECADES)}"), float(f"1e{high}")


def _on_log_scale(value: float, low: float, high: float) -> float:
    if value <= 0:
        return 0.0
    return math.log10(value / low) / math.log10(high / low)


def _bars(probes: Probes, quantities: Sequence[_Quantity]) -> list[Line]:
    """A line a layer, with a bar for each quantity and probe."""
    ends = [probes[0], probes[-1]] if len(probes) > 1 else [probes[0]]
    cells = _cells(sum(len(ends) if one.first else 1 for one in quantities))
    drawn = [[(e, p) for e, p in ends if one.first or e] for one in quantities]
    pieces = [
        " ".join((f"epoch {epoch}" if epoch else "before").ljust(cells) for epoch, _ in shown)
        for shown in drawn
    ]
    names = [layer.name for layer in probes[0][1].layers]
    titles = [one.name.ljust(len(piece)) for one, piece in zip(quantities, pieces, strict=True)]
    rows = [
        [
            " ".join(_bar(one, probe.layers[i], cells).ljust(cells) for _, probe in shown)
            for one, shown in zip(quantities, drawn, strict=True)
        ]
        for i in range(len(names))
    ]
    return _aligned(["", "", *names], [titles, pieces, *rows])


def _bar(quantity: _Quantity, layer: LayerProbe, cells: int) -> str:
    place, utf8 = quantity.placed(layer), output.speaks_utf8()
    if place is None:
        return _unplaced(quantity, layer)
    if place == 0 and not quantity.marked:
        return "0"
    if quantity.marked:
        axis, middle, mark = ("─", "┼", "●") if utf8 else ("-", "+", "o")
        odd = cells - 1 + cells % 2  # so that there is a middle
        signs = [axis] * odd
        signs[odd // 2] = middle
        signs[round(place * (odd - 1))] = mark
        return "".join(signs)
    if not utf8:
        return "#" * math.ceil(place * cells)
    eighths = math.ceil(place * cells * 8 - 1e-9)
    return "█" * (eighths // 8) + (_EIGHTHS[eighths % 8 - 1] if eighths % 8 else "")


def _unplaced(quantity: _Quantity, layer: LayerProbe) -> str:
    value = quantity.of(layer)
    return MISSING if value is None else number(value)


def _courses(probes: Probes, quantities: Sequence[_Quantity]) -> list[Line]:
    """A line a layer, with a sign an epoch, the higher the larger the value."""
    room = (output.width() - 12) // len(quantities) - 2
    shown = _thinned(probes, max(_FEWEST_CELLS, min(room, 40)))
    levels = _LEVELS if output.speaks_utf8() else _ASCII_LEVELS
    names = [layer.name for layer in probes[0][1].layers]
    rows = [
        [
            "".join(
                _level(one, probe.layers[i], levels) for epoch, probe in shown if one.first or epoch
            )
            for one in quantities
        ]
        for i in range(len(names))
    ]
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    titles = [one.name.ljust(width) for one, width in zip(quantities, widths, strict=True)]
    steps = {later - former for (former, _), (later, _) in pairwise(shown)}
    often = "epoch" if steps == {1} else "some epochs"
    lines = _aligned(["", *names], [titles, *rows])
    return [[(f"by {often}, from before training to epoch {probes[-1][0]}", "bold")], *lines]


def _thinned(probes: Probes, most: int) -> Probes:
    """At most so many, spread evenly, with the first and the last."""
    if len(probes) <= most:
        return probes
    return [probes[round(i * (len(probes) - 1) / (most - 1))] for i in range(most)]


def _level(quantity: _Quantity, layer: LayerProbe, levels: str) -> str:
    place = quantity.placed(layer)
    if place is None:
        return MISSING if quantity.of(layer) is None else "?"
    return levels[min(len(levels) - 1, int(place * len(levels)))]


def _cells(bars: int) -> int:
    """Cells of a bar, so that a line fits into the terminal."""
    room = (output.width() - 12) // bars - 2
    return max(_FEWEST_CELLS + 2, min(room, _MOST_CELLS))


def _aligned(names: Sequence[str], rows: Sequence[Sequence[str]]) -> list[Line]:
    """Lines of a name and its drawings, one below the other."""
    width = max(len(name) for name in names)
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines: list[Line] = []
    for name, row in zip(names, rows, strict=True):
        cells = "  ".join(cell.ljust(room) for cell, room in zip(row, widths, strict=True))
        style = "cyan" if name else "bold"
        lines.append([(f"{name.ljust(width)}  ", ""), (cells.rstrip(), style)])
    return lines


def _short(value: float | None) -> str:
    return MISSING if value is None else f"{value:.3g}"


def _percent(share: float | None) -> str:
    if share is None:
        return MISSING
    return "<1%" if 0 < share < 0.005 else f"{share:.0%}"
