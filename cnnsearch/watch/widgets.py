"""The parts of the view, drawn from render's lines."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.events import Key
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Static

from cnnsearch.render.output import Line
from cnnsearch.render.text import clean
from cnnsearch.study.following import Points
from cnnsearch.watch import texts
from cnnsearch.watch.paging import Window


def as_text(lines: Sequence[Line]) -> Text:
    """Lines for a widget, cleaned: names and errors come from outside."""
    text = Text(no_wrap=True, end="")
    for i, line in enumerate(lines):
        text.append("\n" if i else "")
        for part, style in line:
            text.append(clean(part), style)
    return text


class Listing(Widget, can_focus=True):
    """A list of trials with a chosen row; only what is seen is made, however long it is."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", show=False),
        Binding("down,j", "move(1)", show=False),
        Binding("pageup", "page(-1)", show=False),
        Binding("pagedown", "page(1)", show=False),
        Binding("home", "end(False)", show=False),
        Binding("end", "end(True)", show=False),
    ]

    def __init__(self, name: str) -> None:
        super().__init__(id=name)
        self.window = Window()
        self._header: Sequence[str] = ()
        self._make: Callable[[int], Line] = lambda _: []
        self._marked: Collection[int] = ()
        # They only grow, or columns would jump while one pages.
        self._widths: dict[int, int] = {}

    def fill(
        self,
        rows: Sequence[int],
        header: Sequence[str],
        make: Callable[[int], Line],
        marked: Collection[int],
    ) -> None:
        """Show trials.

        Args:
            rows: their numbers in order.
            make: the cells of a row, one for each name of the header.
            marked: those that are marked.
        """
        if header != self._header:
            self._widths = {}
        self._header, self._make, self._marked = header, make, marked
        self.window.fill(rows)
        self.refresh()

    def render(self) -> Text:
        """The header and the rows that are seen."""
        self.window.resize(self.size.height - 1)
        rows = [(number, self._make(number)) for number in self.window.seen]
        for i, name in enumerate(self._header):
            longest = max([len(name), *(len(row[i][0]) for _, row in rows)])
            self._widths[i] = max(longest, self._widths.get(i, 0))
        widths = [self._widths[i] for i in range(len(self._header))]
        columns, gap = texts.fitted(self._header, widths, self.size.width - 2)
        header: Line = [("  ", "")]
        header += [(self._header[i].ljust(self._widths[i]) + gap, "dim") for i in columns]
        header[-1] = (header[-1][0].removesuffix(gap), "dim")
        return as_text([header, *(self._row(*row, columns, gap) for row in rows)])

    def _row(self, number: int, cells: Line, columns: Sequence[int], gap: str) -> Line:
        # In the list that has the keys alone, or nobody would know which it is.
        chosen = number == self.window.chosen and self.has_focus
        back = " reverse" if chosen else ""
        mark = (">" if chosen else " ") + ("*" if number in self._marked else " ")
        line: Line = [(mark, "bold" + back)]
        for i in columns:
            text, style = cells[i]
            line.append((text.ljust(self._widths[i]), style + back))
            line.append((gap, back.strip()))
        return line[:-1]

    def action_move(self, by: int) -> None:
        """Choose another row."""
        self.window.move(by)
        self.refresh()

    def action_page(self, by: int) -> None:
        """Choose a row a page away."""
        self.window.page(by)
        self.refresh()

    def action_end(self, last: bool) -> None:
        """Choose the first row or the last."""
        self.window.end(last)
        self.refresh()


class Curves(Widget):
    """The objective of some trials by epoch."""

    def __init__(self, utf8: bool) -> None:
        super().__init__(id="curves")
        self._utf8 = utf8
        self._told: tuple[str, Sequence[tuple[str, Points]], str] = ("", (), "")

    def draw(self, objective: str, curves: Sequence[tuple[str, Points]], hint: str) -> None:
        """Show curves by their labels, and a line below them."""
        told = (objective, curves, hint)
        if told != self._told:  # a drawing takes longer than everything else of a look
            self._told = told
            self.refresh()

    def render(self) -> Text:
        """The picture."""
        objective, curves, hint = self._told
        if not objective:  # before the first look
            return Text()
        width, height = self.size
        lines = texts.curve_lines(objective, curves, (width, height - bool(hint)), self._utf8)
        return as_text([*lines, *([[(hint, "bold")]] if hint else [])])


class Question(ModalScreen[bool]):
    """Asks in the last line; y does it, everything else does not."""

    def __init__(self, question: str) -> None:
        super().__init__()
        self._question = question

    def compose(self) -> ComposeResult:
        """The line."""
        yield Static(as_text([[(f"{self._question} y: yes, any other key: no", "bold reverse")]]))

    def on_key(self, event: Key) -> None:
        """Any key is an answer."""
        if self.is_current:  # of two keys at once the second one comes after the answer
            self.dismiss(event.key in ("y", "Y"))


class Page(ModalScreen[None]):
    """A text over the whole view; any key closes it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def compose(self) -> ComposeResult:
        """The text."""
        with Vertical():
            yield Static(as_text([[(line, "")] for line in self._text.splitlines()]))

    def on_key(self) -> None:
        """Close it."""
        if self.is_current:
            self.dismiss()
