"""What `run` shows while it runs: a live table on a terminal, else a line for each ended trial."""

from __future__ import annotations

import math
import time
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from cnnsearch.records import Ended, Event, Notice, State, Tick, Trial
from cnnsearch.render.output import speaks_utf8
from cnnsearch.render.progress import Running, SearchProgress
from cnnsearch.render.text import MISSING, measure, number, one_line, seconds_text, value_text
from cnnsearch.render.trials import params_text
from cnnsearch.render.verdicts import verdicts_text

_BAR_CELLS = 10
_REDRAW_S = 0.2
# Without news only the time left changes.
_REDRAW_IDLE_S = 1.0


class Display(Protocol):
    """Shows events as they come, between `with` and its end."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def show(self, event: Event) -> None:
        """Follow an event."""


class LineDisplay:
    """One line a trial, for pipes and logs."""

    def __init__(self, console: Console, progress: SearchProgress, objective: str) -> None:
        self._console = console
        self._progress = progress
        self._objective = objective
        self._gone = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, event: Event) -> None:
        """See `Display`."""
        self._progress.take(event)
        if isinstance(event, Ended):
            width = len(str(self._progress.total))
            done = f"[{self._progress.done:{width}}/{self._progress.total}]"
            text = f"{done} {ended_line(event.trial, self._objective)}"
            self._console.print(Text(text), soft_wrap=True)
        elif isinstance(event, Notice):
            self._console.print(Text(one_line(event.text)), soft_wrap=True)
        elif isinstance(event, Tick) and self._gone is not bool(event.gone):
            self._gone = bool(event.gone)
            text = ": ".join(gone_lines(event.gone)) if event.gone else "the storage is back"
            self._console.print(Text(text), soft_wrap=True)


class LiveDisplay:
    """A few lines that are drawn over as events come."""

    def __init__(
        self, console: Console, progress: SearchProgress, objective: str, epochs: int | None
    ) -> None:
        """Draw on `console`.

        Args:
            epochs: of every trial, where they do not differ.
        """
        self._progress = progress
        self._objective = objective
        self._epochs = epochs
        self._console = console
        self._utf8 = speaks_utf8() and console.encoding.startswith("utf")
        self._drawn_at = -math.inf
        self._news = False
        self._gone: str | None = None
        # Drawn by the events, of which there are some each second, and not by a thread of rich's:
        # that would read the progress while it changes.
        self._live = Live(
            console=console, get_renderable=self._drawn, auto_refresh=False, transient=True
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, event: Event) -> None:
        """See `Display`."""
        self._progress.take(event)
        told = told_line(event, self._objective)
        if told is not None:
            self._console.print(told)
        now = time.monotonic()
        self._news = self._news or not isinstance(event, Tick)
        if isinstance(event, Tick):
            self._gone = event.gone
        # Also where a trial begins or ends: quick ones are a hundred a second, and a drawing
        # takes 1 to 2 ms. The coordinator's next tick draws what is left out here.
        if now - self._drawn_at > (_REDRAW_S if self._news else _REDRAW_IDLE_S):
            self._drawn_at, self._news = now, False
            self._live.refresh()

    def _drawn(self) -> Group:
        progress = self._progress
        counts = ", ".join(f"{count} {state}" for state, count in progress.counts.items())
        left = progress.seconds_left(self._epochs)
        head = f"{progress.done} of {progress.total} trials"
        head += f": {counts}" if counts else ""
        head += f"; about {seconds_text(left)} left" if left is not None else ""
        found = verdicts_text(progress.verdicts)
        verdicts = [self._line(f"verdicts: {found}")] if found else []
        gone = [self._line(text, "red") for text in gone_lines(self._gone)] if self._gone else []
        return Group(self._line(head), *gone, *verdicts, self._best_line(), *self._table())

    def _line(self, text: str, style: str = "") -> Text:
        """A line that leaves room for the `^C` which a terminal echoes: wrapped, it would stay."""
        line = Text(text, style, no_wrap=True)
        line.truncate(
            max(1, self._console.width - 3), overflow="ellipsis" if self._utf8 else "crop"
        )
        return line

    def _best_line(self) -> Text:
        best = self._progress.best
        if best is None:
            return self._line("best: none complete yet", "dim")
        text = f"best: trial {best.number}, {self._objective} {measure(best.value)}; "
        return self._line(text + params_text(best.params), "bold")

    def _table(self) -> list[Text]:
        """A header and a line for each running trial, cut at the terminal's right edge."""
        running = list(self._progress.running.values())
        if not running:
            return []
        names = list(dict.fromkeys(name for item in running for name in item.trial.params))
        rows = [["trial", "epochs", "", "loss", self._objective, *names]]
        rows += [self._cells(item, names) for item in running]
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            for row in rows
        ]
        return [self._line(lines[0], "dim"), *map(self._line, lines[1:])]

    def _cells(self, running: Running, names: list[str]) -> list[str]:
        trial, result = running.trial, running.result
        epochs = self._progress.epochs_of(trial, self._epochs)
        done = result.epoch if result else 0
        return [
            str(trial.number),
            bar(done, epochs, self._utf8),
            f"{done}/{epochs}",
            number(result.train_loss) if result else "...",
            measure(getattr(result, self._objective)) if result else "...",
            *(value_text(trial.params[n]) if n in trial.params else MISSING for n in names),
        ]


def bar(done: int, of: int, utf8: bool, cells: int = _BAR_CELLS) -> str:
    """A bar of epochs, or of trials."""
    full = min(cells, round(cells * done / of)) if of else 0
    done_sign, open_sign = ("━", "╌") if utf8 else ("#", "-")
    return done_sign * full + open_sign * (cells - full)


def gone_lines(reason: str) -> tuple[str, str]:
    """What becomes of a search whose storage is gone, and why it is."""
    told = "training goes on and results wait; the storage is tried again"
    return told, one_line(reason).removeprefix("--storage: ")


def told_line(event: Event, objective: str) -> Text | None:
    """What stays on a terminal of a live display: notices, and trials that failed or were lost."""
    if isinstance(event, Ended) and event.trial.state in (State.FAILED, State.KILLED):
        return Text(ended_line(event.trial, objective), style="red")
    if isinstance(event, Notice):
        return Text(one_line(event.text), style="red")
    return None


def ended_line(trial: Trial, objective: str) -> str:
    """One ended trial: number, state, verdict, value or reason, time, parameters."""
    verdict = f", {trial.diagnosis.verdict}" if trial.diagnosis else ""
    told = f"trial {trial.number} {trial.state}{verdict}: "
    if trial.state is State.COMPLETE:
        told += f"{objective} {measure(trial.value)}"
    else:
        told += one_line(trial.reason or "")
    return f"{told}, {seconds_text(trial.seconds)}; {params_text(trial.params)}"
