"""What the view says, as lines of render: the same on a terminal and in a pipe."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Sequence

from cnnsearch import ranking
from cnnsearch.records import State, Trial
from cnnsearch.render.curves import MARKS, Curve, legend, plot
from cnnsearch.render.display import bar
from cnnsearch.render.output import Line
from cnnsearch.render.text import MISSING, counted, measure, one_line, seconds_text, value_text
from cnnsearch.render.trials import (
    OUTCOME,
    cell,
    column,
    counts_text,
    params_text,
)
from cnnsearch.render.verdicts import verdicts_text
from cnnsearch.study.following import Points
from cnnsearch.watch.standing import Running, Standing

MOST_CURVES = len(MARKS)
_BAR_CELLS = 20
SPARE = ("so far", "time")
"""Columns that are left out first where a terminal is too narrow."""
FOLDS_HINT = "with folds a trial has its curve when it has ended"
KEYS = "q quit  s sort  r reverse  space mark  c compare  Tab lists  x stop  ? help"
HELP = """\
 Arrows, PgUp, PgDn    go through the list; Home and End to its ends
 Tab                   from the ranking to the running trials, and back
 s, r                  sort the ranking by the next column; turn the order round
 space or m            mark the chosen trial, at most 8
 c                     curves of the marked trials alone; again: of what runs
 x                     stop the chosen running trial; asks first
 X                     stop the search, once the running trials have ended
 Ctrl-C                {interrupt}
 q                     {leave}

 The view reads the storage about once a second and writes nothing, but for
 what x and X ask. The ranking is that of cnnsearch list; * marks a trial.

 Time left is from the mean time of the trials that have ended since the
 search was started, those that were stopped early included.

 Any key closes this."""


def head_lines(now: Standing, utf8: bool, width: int | None = None) -> list[Line]:
    """Progress and time left, the best trial, counts and rates, verdicts, who runs it.

    Args:
        width: verdicts take two lines of it where they need to, and who runs it three.
    """
    # A count never without its verdict.
    verdicts = re.sub(r"(\d) ", "\\1\xa0", verdicts_text(now.tally.verdicts))
    told = f"verdicts: {verdicts}" if verdicts else ""
    style = "" if now.held or now.ended else "bold"
    return [
        _progress_line(now, utf8),
        _best_line(now),
        [(counts_text(now.tally.counts) or "no trial has begun", ""), (_rates_text(now), "")],
        *([(line, "")] for line in _wrapped(told, width, 2, utf8)),
        *([(line, style)] for line in _wrapped(owner_text(now), width, 3, utf8)),
    ]


def _wrapped(text: str, width: int | None, most: int, utf8: bool) -> list[str]:
    """In so many lines at most, words whole where they fit; that something is left out is shown."""
    lines = [text] if text else []
    if width:
        lines = textwrap.wrap(text, width, break_on_hyphens=False)
        if len(lines) > most:
            more = "…" if utf8 else "..."
            lines = [*lines[: most - 1], lines[most - 1][: width - len(more)] + more]
    return [line.replace("\xa0", " ") for line in lines]


def _progress_line(now: Standing, utf8: bool) -> Line:
    done = now.tally.done
    left = now.rates.left_s
    told = f"{done} of {counted(now.total, 'trial')}"
    if left is not None and not now.ended:
        told += f", about {seconds_text(left)} left"
    elif now.ended:
        told += ", all have ended"
    return [
        (now.study, "bold"),
        (" ", ""),
        (bar(done, now.total, utf8, _BAR_CELLS), "green"),
        (f" {told}", "bold"),
    ]


def _best_line(now: Standing) -> Line:
    best = now.tally.best
    if best is None:
        return [("best: none complete yet", "dim")]
    value = f"best: trial {best.number}, {now.objective} {measure(best.value)}; "
    return [(value + params_text(best.params), "bold")]


def owner_text(now: Standing) -> str:
    """Who runs the study, or what to do where nobody does; of a chain, which stage it is."""
    if now.stage is None:
        return _owner_text(now)
    stage = f"stage {now.stage[0]} of {now.stage[1]}"
    if now.goes_on and not now.held:
        if now.next_expected:
            return f"{stage} is done; the next is being made"
        return f"{stage} is done, and no other runs; to continue: {now.command}"
    return f"{stage}; {_owner_text(now)}"


def _owner_text(now: Standing) -> str:
    if now.held and now.coordinator is not None:
        return f"running on {now.coordinator.host}, process {now.coordinator.pid}"
    if now.held:
        return "running"
    if now.ended:
        return "nobody runs it; all is done"
    return f"nobody runs it; to continue: {now.command}"


def _rates_text(now: Standing) -> str:
    rates = now.rates
    told = []
    if rates.trials_per_minute is not None:
        told.append(f"{rates.trials_per_minute:.3g} trials/min")
    if rates.epochs_per_second is not None:
        told.append(f"{rates.epochs_per_second:.3g} epochs/s")
    return f"; {', '.join(told)}" if told else ""


def running_header(now: Standing) -> list[str]:
    """Names of the columns of `running_cells`."""
    return ["trial", f"{now.steps}s", "", "so far", now.objective, *now.parameters]


def running_cells(one: Running, now: Standing, utf8: bool) -> Line:
    """A running trial: its bar, its time, what it reported last, its hyperparameters."""
    params = one.trial.params
    return [
        (str(one.trial.number), "bold"),
        (bar(one.done, one.of, utf8), "green"),
        (f"{one.done}/{one.of}", ""),
        (seconds_text(one.seconds), ""),
        (measure(one.value) if one.points else "...", ""),
        *((value_text(params[n]) if n in params else MISSING, "") for n in now.parameters),
    ]


def ranking_header(now: Standing) -> list[str]:
    """Names of the columns of `ranking_cells`."""
    return ["trial", "value", "verdict", *now.parameters, "time"]


def ranking_cells(trial: Trial, now: Standing) -> Line:
    """A trial of the ranking; its state stands for the value of one that has none."""
    shown = [OUTCOME, "verdict"]
    cells: Line = [(str(trial.number), "")]
    for name in shown:
        one, value = column(name), cell(trial, name)
        cells.append((one.show(value), one.style(value) if one.style else ""))
    cells += [
        (value_text(trial.params[n]) if n in trial.params else MISSING, "") for n in now.parameters
    ]
    return [*((one_line(text), style) for text, style in cells), (seconds_text(trial.seconds), "")]


def curve_lines(
    objective: str, curves: Sequence[tuple[str, Points]], size: tuple[int, int], utf8: bool
) -> list[Line]:
    """Curves of the objective in one picture below its legend, at most 8.

    Args:
        curves: with their labels; those without a point are left out.
    """
    told = [(label, points) for label, points in curves if points][:MOST_CURVES]
    labels = [label for label, _ in told]
    if not told:
        return [[(f"{objective} by epoch: none has ended yet", "dim")]]
    drawn = [Curve(label, points) for label, points in told]
    [(title, style)], *picture = plot(f"{objective} by epoch", drawn, size, utf8=utf8)
    return [[(title.strip(), style), ("   ", ""), *legend(labels, utf8)], *picture]


def compare_hint(study: str, marked: Sequence[int]) -> str:
    """What stands below the curves of the marked trials alone."""
    told = f"cnnsearch compare {study} {' '.join(map(str, marked))}"
    if len(marked) < 2:
        told = "mark a second trial with space to compare it with"
    return f"{told}  (c: back to what runs)"


def snapshot_lines(
    now: Standing, utf8: bool, top: int = 10, width: int | None = None
) -> list[Line]:
    """One look: what the view shows, but for the curves.

    Args:
        width: of the terminal that it is for, if any.
    """
    lines = head_lines(now, utf8)
    if now.running:
        rows = [running_cells(one, now, utf8) for one in now.running]
        lines += [[], *columns(running_header(now), rows, width)]
    best = ranking.ranked(now.tally.points, now.direction)[:top]
    best = [trial for trial in best if trial.state is not State.RUNNING]
    if best:
        rows = [ranking_cells(trial, now) for trial in best]
        lines += [[], *columns(ranking_header(now), rows, width)]
    return lines


def columns(header: Sequence[str], rows: Sequence[Line], width: int | None = None) -> list[Line]:
    """Cells one below the other.

    Args:
        width: of the terminal that they are to fit; None: all of them, whatever that takes.
    """
    widths = [
        max(len(text) for text in (name, *(row[i][0] for row in rows)))
        for i, name in enumerate(header)
    ]
    room = math.inf if width is None else width
    places, gap = fitted(header, widths, room)
    told = [[(name, "dim") for name in header], *rows]
    return [spaced([row[i] for i in places], [widths[i] for i in places], gap) for row in told]


def fitted(header: Sequence[str], widths: Sequence[int], width: float) -> tuple[Sequence[int], str]:
    """The columns that a terminal has room for, and what stands between them."""
    everything = range(len(header))
    for gap in ("  ", " "):
        if sum(widths) + len(gap) * (len(header) - 1) <= width:
            return everything, gap
    return [i for i in everything if header[i] not in SPARE], " "


def spaced(cells: Line, widths: Sequence[int], gap: str = "  ") -> Line:
    """A row of cells, each as wide as its column."""
    line: Line = []
    for (text, style), width in zip(cells, widths, strict=True):
        line += [(text.ljust(width), style), (gap, "")]
    return line[:-1]
