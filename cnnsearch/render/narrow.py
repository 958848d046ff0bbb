"""What a search was narrowed to, old beside new, with the evidence; and the stages of a chain."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from cnnsearch.config import Config
from cnnsearch.config.plain import parameter_to_plain
from cnnsearch.records import StudySummary, Trial
from cnnsearch.render import output
from cnnsearch.render.table import Column, Table, fitted, print_table
from cnnsearch.render.talk import say
from cnnsearch.render.text import MISSING, clean, counted, measure, number, value_text
from cnnsearch.render.trials import counts_text, objective, params_text
from cnnsearch.review.narrowing import Evidence, Narrowing
from cnnsearch.space import Parameter, Range

_COMMENT = 96
# Where lines are not wrapped.
_ENDLESS = 10_000


def parameter_text(parameter: Parameter | None) -> str:
    """A range or a list as a table shows it: `0.001 to 1`, `he, xavier`."""
    if parameter is None:
        return MISSING
    if isinstance(parameter, Range):
        return f"{number(parameter.low)} to {number(parameter.high)}"
    return ", ".join(map(value_text, parameter.choices))


def head(narrowing: Narrowing, parent: str, objective_name: str) -> str:
    """One line: to which trials it was narrowed."""
    best, worst = (measure(value) for value in (narrowing.best, narrowing.worst))
    values = best if best == worst else f"{best} to {worst}"
    of = counted(narrowing.complete, "complete trial")
    return f"narrowed to the best {narrowing.top} of {of} of {parent} ({objective_name} {values})"


def evidence_table(narrowing: Narrowing) -> Table:
    """A row a range, and a row a value of each list."""
    columns = (
        Column("name", style=lambda _: "bold"),
        Column("old", str),
        Column("new", str, style=lambda text: "dim" if text == MISSING else ""),
        Column("why", str, prose=True),
    )
    return Table(columns, [row for one in narrowing.evidence for row in _rows(one)])


def _rows(evidence: Evidence) -> Iterator[list[str]]:
    if not evidence.values:
        old, new = parameter_text(evidence.old), parameter_text(evidence.new)
        yield [evidence.name, old, new, evidence.why]
    for i, one in enumerate(evidence.values):
        text = value_text(one.value)
        name = "" if i else evidence.name
        yield [name, text, text if one.kept else MISSING, one.why]


def print_evidence(narrowing: Narrowing, title: str) -> None:
    """The evidence on stdout."""
    output.write_lines([[(title, "bold")], []], wrap=True)
    print_table(evidence_table(narrowing))


def say_evidence(narrowing: Narrowing, title: str, width: int | None) -> None:
    """The evidence on stderr.

    Args:
        width: of the terminal; None where there is none.
    """
    for line in textwrap.wrap(title, width or _ENDLESS):
        say(line)
    for parts in fitted(evidence_table(narrowing), width or _ENDLESS):
        say("".join(text for text, _ in parts).rstrip())


def evidence_comment(narrowing: Narrowing) -> list[str]:
    """The evidence as lines of a comment."""
    lines = []
    for one in narrowing.evidence:
        if one.values:
            kept = ", ".join(value_text(v.value) for v in one.values if v.kept)
            gone = ", ".join(value_text(v.value) for v in one.values if not v.kept)
            text = f"{one.name}: kept {kept}" + (f"; dropped {gone}" if gone else "")
        else:
            old, new = parameter_text(one.old), parameter_text(one.new)
            text = f"{one.name}: {old} -> {new}; {one.why}"
        lines += textwrap.wrap(clean(text), _COMMENT, subsequent_indent="  ")
    return lines


def narrowing_object(narrowing: Narrowing) -> dict[str, Any]:
    """The evidence as JSON prints it."""
    return {
        "complete": narrowing.complete,
        "top": narrowing.top,
        "best": narrowing.best,
        "worst": narrowing.worst,
        "parameters": [
            {
                "name": one.name,
                "old": parameter_to_plain(one.old),
                "new": None if one.new is None else parameter_to_plain(one.new),
                "why": one.why,
                "extended": one.extended,
                "values": [{"value": v.value, "kept": v.kept, "why": v.why} for v in one.values],
            }
            for one in narrowing.evidence
        ],
    }


def stage_text(config: Config, count: int) -> str:
    """What a stage runs: `20 trials of 8 epochs in 3 folds`."""
    epochs = (
        "" if "epochs" in (config.space or {}) else f" of {counted(config.train.epochs, 'epoch')}"
    )
    folds = f" in {config.data.folds} folds" if config.data.folds > 1 else ""
    return f"{counted(count, 'trial')}{epochs}{folds}"


def stage_line(summary: StudySummary) -> str:
    """How a stage stands: `digits.1: 20 complete, 5 diverged; best 0.9931`."""
    best = f"; best {measure(summary.best)}" if summary.best is not None else ""
    return f"{summary.name}: {counts_text(summary.counts) or 'no trial yet'}{best}"


def best_line(summaries: Sequence[StudySummary], best: tuple[StudySummary, Trial]) -> str:
    """The best trial of a chain, and whether its value can be held against those of the end."""
    summary, trial = best
    over = "" if len(summaries) == 1 else f" over {counted(len(summaries), 'stage')}"
    value = f"{objective(summary)} {measure(trial.value)}"
    value += other_images(summary, summaries[-1])
    return f"best{over}: {summary.name}/{trial.number}, {value}; {params_text(trial.params)}"


def other_images(stage: StudySummary, last: StudySummary) -> str:
    """What to add to a value of a stage where those of the last one are of other images, as where
    only one of the two has folds; nothing where they are of the same.
    """
    same = stage.config.get("data") == last.config.get("data")
    return "" if same else f" (on other images than {last.name})"
