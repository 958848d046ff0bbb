"""`cnnsearch diagnose`: what the trials of a study teach for the next search."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from cnnsearch import ranking
from cnnsearch.commands.completing import studies
from cnnsearch.commands.options import json_option, storage_option
from cnnsearch.commands.references import study as read_study
from cnnsearch.records import State, StudySummary, Trial
from cnnsearch.render import output
from cnnsearch.render.output import Line
from cnnsearch.render.table import GAP, Column, Table, needed_width, print_table
from cnnsearch.render.text import counted, measure, value_text
from cnnsearch.render.trials import counts_text, group_text
from cnnsearch.render.verdicts import verdict_style

if TYPE_CHECKING:
    from cnnsearch.config import Config
    from cnnsearch.review import Advice, Axis, Edge, MapEntry

_INDENT = 3
# Columns of a terminal with room for one more column in the failure map.
_WIDE = 100


@dataclass(frozen=True, slots=True)
class _Review:
    """A study and what its trials teach.

    Args:
        ended: the points' results that count: complete, pruned and diverged.
    """

    summary: StudySummary
    config: Config
    ended: Sequence[Trial]
    failure_map: Sequence[MapEntry]
    edges: Sequence[Edge]
    coverage: Sequence[Axis]
    advice: Sequence[Advice]


@click.command("diagnose")
@click.argument("study", shell_complete=studies)
@json_option
@storage_option
def command(study: str, as_json: bool, storage: str) -> None:
    """Tell what went wrong in a study, where, and what to change.

    Wasted trials are those that diverged or learned nothing (symmetric, lr-too-low, not-learning).
    The failure map counts diverged trials and verdicts by value or interval of each hyperparameter;
    above it stands what chance cannot explain. Advice is given from 10 ended trials on.

    \b
    Examples:
      cnnsearch diagnose digits
      cnnsearch diagnose digits --json
    """
    review = _review(*read_study(storage, study))
    if as_json:
        output.write_json(_object(review))
        return
    _print_head(review)
    _print_advice(review)
    if review.ended:
        _print_edges(review)
        _print_map(review)
    _print_coverage(review)


def _review(summary: StudySummary, attempts: Sequence[Trial]) -> _Review:
    from cnnsearch import review
    from cnnsearch.config import from_plain

    config = from_plain(dict(summary.config))
    space, direction = config.space or {}, summary.direction
    sampler = config.search.sampler if config.search else "random"
    trials = review.ended(attempts)
    edges = review.edges(trials, space, direction, sampler)
    coverage = review.coverage(trials, space)
    return _Review(
        summary,
        config,
        trials,
        review.failure_map(trials, space),
        edges,
        coverage,
        review.advise(trials, config, direction, edges, coverage),
    )


def _print_head(review: _Review) -> None:
    """What share was wasted, and the verdicts: what is wanted first."""
    from cnnsearch.review import NO_VERDICT, verdicts, wasted

    name, trials = review.summary.name, review.ended
    points = sum(review.summary.counts.values())
    planned = review.summary.planned
    states = counts_text(review.summary.counts) or "no trial yet"
    of = f"{points} of {counted(max(planned, points), 'point')}: " if planned else ""
    if not trials:
        output.write_lines([[(f"{name}: no trial has ended yet ({of}{states}).", "bold")]], True)
        return
    found = verdicts(trials)
    blind = set(found) == {NO_VERDICT}
    lost = sum(wasted(trial) for trial in trials)
    diverged = sum(trial.state is State.DIVERGED for trial in trials)
    text = f"{name}: {lost} of {counted(len(trials), 'ended trial')} wasted"
    if lost:
        silent = "" if blind else f", {lost - diverged} learned nothing"
        text += f" ({lost / len(trials):.0%}): {diverged} diverged{silent}"
    output.write_lines([[(text, "bold")], [(f"{of}{states}", "dim")]], wrap=True)
    if blind:
        why = "" if review.config.diagnose else " (diagnose: false)"
        _sentence(f"The trials have no verdicts{why}, so only diverged ones count as wasted.")
        return
    output.write_lines([[]])
    print_table(_verdict_table(review, list(found)))


def _verdict_table(review: _Review, names: Sequence[str]) -> Table:
    from cnnsearch.review import NO_VERDICT
    from cnnsearch.review.verdicts import verdict

    rows = []
    for name in names:
        having = [trial for trial in review.ended if verdict(trial) == name]
        best = ranking.best(having, review.summary.direction)
        diverged = sum(trial.state is State.DIVERGED for trial in having)
        share = len(having) / len(review.ended)
        rows.append([name, len(having), share, diverged, best.value if best else None])
    columns = (
        Column(
            "verdict", lambda name: "(none)" if name == NO_VERDICT else name, style=verdict_style
        ),
        Column("trials", right=True),
        Column("share", lambda share: f"{share:.0%}", right=True),
        Column("diverged", right=True),
        Column("best", measure, right=True),
    )
    return Table(columns, rows)


def _print_advice(review: _Review) -> None:
    from cnnsearch.config.writing import flow
    from cnnsearch.review import FEWEST

    output.write_lines([[], [("what to change", "bold")]])
    if len(review.ended) < FEWEST:
        ended = counted(len(review.ended), "trial")
        _sentence(f"No advice yet: {ended} ended, and it takes {FEWEST}.")
    elif not review.advice:
        _sentence("Nothing stands out that chance could not explain.")
    for place, advice in enumerate(review.advice, 1):
        _sentence(advice.text, f"{place}. ")
        for section, values in advice.change.items():
            for name, value in values.items():
                written: Line = [(f"{name}: {flow(value)}", "cyan")]
                output.write_lines([[(f"{' ' * _INDENT}in {section}:  ", "dim"), *written]])


def _print_edges(review: _Review) -> None:
    from cnnsearch.review import edge_text

    if not review.edges:
        return
    output.write_lines([[], [("edges: extend, do not narrow", "bold")]])
    for edge in review.edges:
        _sentence(f"{edge.name}: {edge_text(edge)}")


def _print_map(review: _Review) -> None:
    if not review.failure_map:
        return
    output.write_lines([[], [("failure map", "bold")]])
    for entry in review.failure_map:
        for telling in entry.telling:
            _sentence(telling.text, "* ")
    print_table(_map_table(review.failure_map))


def _map_table(entries: Sequence[MapEntry]) -> Table:
    """A row a group; on a terminal its verdicts go on in rows of their own."""
    from cnnsearch.review import wasted

    wide = not output.is_terminal() or output.width() >= _WIDE
    columns = [
        Column("name", style=lambda _: "bold"),
        Column("value"),
        Column("trials", _or_nothing, right=True),
        Column("diverged", _share, right=True, style=_share_style),
        *([Column("wasted", _share, right=True, style=_share_style)] if wide else []),
    ]
    rows: list[list[Any]] = []
    for entry in entries:
        for i, group in enumerate(entry.groups):
            count = len(group.trials)
            diverged = sum(trial.state is State.DIVERGED for trial in group.trials)
            lost = sum(wasted(trial) for trial in group.trials)
            row = [
                "" if i else entry.name,
                group_text(group),
                count,
                (diverged, count),
                (lost, count),
            ]
            rows.append([*row[: len(columns)], _counts(group.trials)])
    room = None
    if output.is_terminal():
        room = output.width() - needed_width(Table(tuple(columns), [row[:-1] for row in rows]))
    return Table((*columns, Column("verdicts")), _continued(rows, room))


def _continued(rows: Sequence[Sequence[Any]], room: int | None) -> list[list[Any]]:
    """Rows whose last cell, a list of texts, is spread over as many rows as it takes.

    Args:
        room: columns for that cell and the gap before it; None for all there are.
    """
    found = []
    for *cells, texts in rows:
        lines = [""]
        for i, text in enumerate(texts):
            text += "," if i < len(texts) - 1 else ""
            if room is None or not lines[-1] or len(lines[-1]) + 1 + len(text) <= room - GAP:
                lines[-1] = f"{lines[-1]} {text}".lstrip()
            else:
                lines.append(text)
        first, *others = lines
        found.append([*cells, first])
        found += [["", "", *[None] * (len(cells) - 2), line] for line in others]
    return found


def _or_nothing(count: int | None) -> str:
    return "" if count is None else str(count)


def _share(counts: tuple[int, int] | None) -> str:
    return "" if counts is None else f"{counts[0] / counts[1]:.0%}"


def _share_style(counts: tuple[int, int] | None) -> str:
    if counts is None or counts[0] == 0:
        return "dim"
    return "yellow" if 2 * counts[0] >= counts[1] else ""


def _counts(trials: Sequence[Trial]) -> list[str]:
    from cnnsearch.review import NO_VERDICT, verdicts

    found = verdicts(trials)
    return [f"{count} {name}" for name, count in found.items() if name != NO_VERDICT]


def _print_coverage(review: _Review) -> None:
    if not review.coverage:
        return
    output.write_lines([[], [("coverage", "bold")]])
    columns = (
        Column("name", style=lambda _: "bold"),
        Column("trials", right=True),
        Column("distinct", right=True),
        Column("tried", _tried, prose=True),
    )
    rows = [[axis.name, axis.trials, axis.distinct, axis] for axis in review.coverage]
    print_table(Table(columns, rows))


def _tried(axis: Axis) -> str:
    if axis.tried is None:
        # A single value has no span.
        return " to ".join(map(value_text, dict.fromkeys(axis.span))) if axis.span else "nothing"
    told = ", ".join(f"{value_text(value)} {count}" for value, count in axis.tried if count)
    few = ", ".join(value_text(value) for value, _ in axis.few)
    never = ", ".join(map(value_text, axis.never))
    notes = [f"fewer than 3 times: {few}" if few else "", f"never: {never}" if never else ""]
    return "; ".join(part for part in (told, *notes) if part)


def _sentence(text: str, mark: str = "") -> None:
    """A sentence; on a terminal wrapped, its lines aligned behind the mark."""
    if not output.is_terminal():
        output.write_lines([[(mark + text, "")]])
        return
    lines = textwrap.wrap(text, output.width() - len(mark), break_long_words=False)
    output.write_lines(
        [(mark if i == 0 else " " * len(mark), "bold"), (line, "")] for i, line in enumerate(lines)
    )


def _object(review: _Review) -> dict[str, Any]:
    from cnnsearch.review import plain, verdicts, wasted

    return {
        "study": review.summary.name,
        "trials": len(review.ended),
        "wasted": sum(wasted(trial) for trial in review.ended),
        "states": {str(state): review.summary.counts.get(state, 0) for state in State},
        "verdicts": dict(verdicts(review.ended)),
        "failure_map": [plain.of_entry(entry) for entry in review.failure_map],
        "edges": [plain.of_edge(edge) for edge in review.edges],
        "coverage": [plain.of_axis(axis) for axis in review.coverage],
        "advice": [{"text": one.text, "change": one.change} for one in review.advice],
    }
