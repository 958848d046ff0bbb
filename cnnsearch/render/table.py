"""The one printer of all listings: aligned columns, CSV, Markdown."""

from __future__ import annotations

import csv
import io
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from cnnsearch.render import output
from cnnsearch.render.output import Line
from cnnsearch.render.text import defused, exact, one_line, plain_markdown, value_text

GAP = 2
# Below so many columns a reason is more readable on a line of its own.
REASON_WIDTH = 28


class Form(StrEnum):
    """How a table is written."""

    COLUMNS = "columns"
    CSV = "csv"
    MARKDOWN = "md"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a listing.

    Args:
        name: its header, in CSV too.
        show: a value as people read it.
        export: a value in CSV.
        right: aligned right.
        style: rich's style of a value.
        spare: left out first, and without a word, where a terminal is too narrow.
        prose: sentences: the last column, wrapped, or on lines of their own below the row.
    """

    name: str
    show: Callable[[Any], str] = value_text
    export: Callable[[Any], str] = exact
    right: bool = False
    style: Callable[[Any], str] | None = None
    spare: bool = False
    prose: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """Columns, and rows of one value a column."""

    columns: tuple[Column, ...]
    rows: Sequence[Sequence[Any]]

    def only(self, places: Sequence[int]) -> Table:
        """The table with the columns at `places`."""
        return replace(
            self,
            columns=tuple(self.columns[i] for i in places),
            rows=[[row[i] for i in places] for row in self.rows],
        )


def print_table(table: Table, form: Form = Form.COLUMNS) -> None:
    """Write a table: on a terminal as wide as it is and in colour, in a pipe whole and plain."""
    if form is Form.CSV:
        output.write_raw(csv_text(table))
    elif form is Form.MARKDOWN:
        output.write_raw(markdown_text(table))
    elif output.is_terminal():
        output.write_lines(fitted(table, output.width()))
    else:
        output.write_lines(_lines(table, None))


def csv_text(table: Table) -> str:
    """The table as CSV (RFC 4180 but for line ends), every digit of every number."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(defused(one_line(column.name)) for column in table.columns)
    for row in table.rows:
        writer.writerow(
            defused(one_line(column.export(value)))
            for column, value in zip(table.columns, row, strict=True)
        )
    return text.getvalue()


def markdown_text(table: Table) -> str:
    """The table as GitHub's Markdown."""
    lines = [
        [column.name for column in table.columns],
        ["--:" if column.right else "---" for column in table.columns],
        *_shown(table),
    ]
    return "".join(
        "| " + " | ".join(plain_markdown(one_line(cell)) for cell in line) + " |\n"
        for line in lines
    )


def fitted(table: Table, width: int) -> list[Line]:
    """The lines of a table in `width` terminal columns; no number is ever cut.

    Where there is no room, first the prose goes below its rows, then the spare columns go, then
    the last ones, which a line below the table names.
    """
    everything = range(len(table.columns))
    needed = [i for i in everything if not table.columns[i].spare]
    for places in (everything, needed):
        if _fixed_width(table.only(places)) + GAP + REASON_WIDTH <= width:
            return _lines(table.only(places), width)
    for places in (everything, needed):
        if _fixed_width(table.only(places)) <= width:
            return _lines(table.only(places), width)
    left_out: list[str] = []
    while _fixed_width(table.only(needed)) > width:
        candidates = [i for i in needed if not table.columns[i].prose]
        if len(candidates) <= 1:
            break
        needed.remove(candidates[-1])
        left_out.insert(0, table.columns[candidates[-1]].name)
    note = f"Too narrow for {', '.join(left_out)}: widen the terminal, or pipe into less -S."
    notes: list[Line] = [[(line, "dim")] for line in textwrap.wrap(note, width)]
    return _lines(table.only(needed), width) + (notes if left_out else [])


def needed_width(table: Table) -> int:
    """Terminal columns that a table takes without its spare columns and its prose."""
    return _fixed_width(table.only([i for i, one in enumerate(table.columns) if not one.spare]))


def blocks(table: Table, width: int) -> list[Table]:
    """A table cut into tables of at most `width`, each with the first column."""
    found: list[Table] = []
    places: list[int] = []
    for i in range(1, len(table.columns)):
        if places and _fixed_width(table.only([0, *places, i])) > width:
            found.append(table.only([0, *places]))
            places = []
        places.append(i)
    return [*found, table.only([0, *places])]


def _shown(table: Table) -> list[list[str]]:
    return [
        [one_line(column.show(value)) for column, value in zip(table.columns, row, strict=True)]
        for row in table.rows
    ]


def _widths(table: Table, shown: Sequence[Sequence[str]]) -> list[int]:
    return [
        max(_cells(text) for text in [column.name, *(row[i] for row in shown)])
        for i, column in enumerate(table.columns)
    ]


def _fixed_width(table: Table) -> int:
    widths = _widths(table, _shown(table))
    fixed = [width for width, column in zip(widths, table.columns, strict=True) if not column.prose]
    return sum(fixed) + GAP * (len(fixed) - 1)


def _lines(table: Table, width: int | None) -> list[Line]:
    """Header and rows; `width` None: as wide as the texts are."""
    shown = _shown(table)
    widths = _widths(table, shown)
    lines = [_row_line(table, [c.name for c in table.columns], widths, ["bold"] * len(widths))]
    styles = [
        [c.style(v) if c.style else "" for c, v in zip(table.columns, row, strict=True)]
        for row in table.rows
    ]
    prose = next((i for i, column in enumerate(table.columns) if column.prose), None)
    if prose is None or width is None:
        lines.extend(_row_line(table, *row) for row in _each(shown, widths, styles))
        return lines
    room = width - _fixed_width(table) - GAP
    below = room < REASON_WIDTH
    indent = 4 if below else width - room
    for texts, _, row_styles in _each(shown, widths, styles):
        pieces = textwrap.wrap(texts[prose], width - indent)
        beside = "" if below or not pieces else pieces.pop(0)
        lines.append(
            _row_line(table, [*texts[:prose], beside, *texts[prose + 1 :]], widths, row_styles)
        )
        lines.extend([(" " * indent, ""), (piece, row_styles[prose])] for piece in pieces)
    if below:
        lines[0] = lines[0][: 2 * prose]
    return lines


def _each(
    shown: Sequence[Sequence[str]], widths: Sequence[int], styles: Sequence[Sequence[str]]
) -> Iterator[tuple[Sequence[str], Sequence[int], Sequence[str]]]:
    for texts, row_styles in zip(shown, styles, strict=True):
        yield texts, widths, row_styles


def _row_line(
    table: Table, texts: Sequence[str], widths: Sequence[int], styles: Sequence[str]
) -> Line:
    line: Line = []
    for i, (column, text) in enumerate(zip(table.columns, texts, strict=True)):
        fill = " " * (widths[i] - _cells(text))
        gap = " " * GAP if i else ""
        line.append((gap + (fill if column.right else ""), ""))
        last = i == len(widths) - 1
        line.append((text if column.right or last else text + fill, styles[i]))
    return line


def _cells(text: str) -> int:
    """Terminal columns of a text; wide characters take two."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)
