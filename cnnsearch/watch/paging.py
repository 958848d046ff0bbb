"""A long list seen through a window: the row that is chosen stays chosen while rows move."""

from __future__ import annotations

from collections.abc import Sequence


class Window:
    """Which rows of a list are seen, and which one is chosen.

    Rows are trial numbers: a list that is sorted anew, or grows, keeps its chosen trial.
    """

    def __init__(self) -> None:
        self.rows: Sequence[int] = ()
        self.place = 0
        """Of the chosen row."""
        self.top = 0
        """Of the first row seen."""
        self.height = 1

    @property
    def chosen(self) -> int | None:
        """The trial that is chosen; None of an empty list."""
        return self.rows[self.place] if self.rows else None

    @property
    def seen(self) -> Sequence[int]:
        """The rows in the window."""
        return self.rows[self.top : self.top + self.height]

    def fill(self, rows: Sequence[int]) -> None:
        """Take a new list. At its head the window stays at the head: there is what is new."""
        chosen = self.chosen
        self.rows = rows
        if self.place > 0 and chosen is not None and chosen in rows:
            self.place = list(rows).index(chosen)
        self._settle()

    def resize(self, height: int) -> None:
        """Take a new height."""
        self.height = max(1, height)
        self._settle()

    def move(self, by: int) -> None:
        """Choose a row further down, or up."""
        self.place += by
        self._settle()

    def page(self, by: int) -> None:
        """Choose a row some windows further down, or up."""
        self.move(by * max(1, self.height - 1))

    def end(self, last: bool) -> None:
        """Choose the first row, or the last."""
        self.place = len(self.rows) if last else 0
        self._settle()

    def _settle(self) -> None:
        self.place = min(max(0, self.place), max(0, len(self.rows) - 1))
        lowest = max(0, len(self.rows) - self.height)
        self.top = min(max(self.top, self.place - self.height + 1), self.place, lowest)
