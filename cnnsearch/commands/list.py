"""`cnnsearch list`: the studies, or one study's trials."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

import click

from cnnsearch import ranking
from cnnsearch.commands.completing import studies
from cnnsearch.commands.options import given_storage, json_option, storage_option
from cnnsearch.commands.overview import list_chain, list_studies
from cnnsearch.diagnose import OK
from cnnsearch.errors import InputError
from cnnsearch.records import State, StudySummary, Trial
from cnnsearch.render import output
from cnnsearch.render.table import (
    GAP,
    REASON_WIDTH,
    Form,
    Table,
    needed_width,
    print_table,
)
from cnnsearch.render.talk import say
from cnnsearch.render.text import counted
from cnnsearch.render.trials import (
    FIELDS,
    OUTCOME,
    all_columns,
    cell,
    objective,
    sort_key,
    trial_object,
    trials_table,
    varying,
)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Which trials, in which order, with which columns."""

    states: tuple[str, ...]
    where: str | None
    sort: str | None
    top: int | None
    cols: str | None
    all_attempts: bool
    tags: tuple[str, ...] = ()
    hidden: bool = False


@click.command("list")
@click.argument("study", required=False, shell_complete=studies)
@click.option(
    "--sort", metavar="NAME", help="Sort by a column; -NAME: falling. Default: best first."
)
@click.option(
    "--state", "states", multiple=True, metavar="STATES", help="Only these: complete,pruned"
)
@click.option("--tag", "tags", multiple=True, metavar="NAME", help="Only trials with this tag.")
@click.option("--hidden", is_flag=True, help="Also trials that were hidden.")
@click.option("--where", metavar="CONDITION", help="Only trials that meet it, see above.")
@click.option("--top", type=click.IntRange(min=1), metavar="N", help="Only the first N.")
@click.option("--cols", metavar="NAMES", help="Columns besides the number: lr,seconds; or all.")
@click.option("--all-attempts", is_flag=True, help="Also attempts that were run again.")
@json_option
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV: every column, every digit.")
@click.option("--md", "as_md", is_flag=True, help="Print Markdown.")
@storage_option
def command(
    study: str | None, as_json: bool, as_csv: bool, as_md: bool, storage: str, **wanted: Any
) -> None:
    """List the studies, or the trials of STUDY, best first.

    Without --cols only hyperparameters that vary are shown; CSV and JSON hold all. In a condition
    stand comparisons, and, or, not, in; the trials' fields (number, point, attempt, state, verdict,
    value, epochs, best_epoch, seconds, findings, tags, note, hidden, seed) and hyperparameters. The
    objective's name, val_accuracy or val_loss, stands for value. What a trial does not have meets
    no comparison.

    The verdict is the most severe of a trial's findings; cnnsearch show tells what it means.
    States, verdicts and tags need no quotes; a tag that is also a name or a number does. On a
    narrow terminal the state of a trial without a value stands in its value's place, and the reason
    of a trial whose verdict tells it is left to show.

    \b
    Examples:
      cnnsearch list
      cnnsearch list digits --top 10
      cnnsearch list digits --where "lr < 1e-3 and batchnorm" --sort -seconds
      cnnsearch list digits --where "init in (he, 'normal:0.01')" --csv
      cnnsearch list digits --where "verdict == ok or overfit in findings"
      cnnsearch list digits --where "finalist in tags and 'rerun' in note"
    """
    given = [
        option for option, on in (("--json", as_json), ("--csv", as_csv), ("--md", as_md)) if on
    ]
    if len(given) > 1:
        raise InputError(f"{' and '.join(given)} together. Write one of them.")
    choice = _Wanted(**wanted)
    if as_json and choice.cols is not None:
        raise InputError("--json and --cols together: JSON holds every field. Write --csv.")
    form = Form.CSV if as_csv else Form.MARKDOWN if as_md else Form.COLUMNS
    chooses = choice != _Wanted((), None, None, None, None, False)
    if study is None:
        if chooses:
            raise InputError("options that choose trials need a study: cnnsearch list STUDY ...")
        list_studies(storage, as_json, form)
    elif not list_chain(storage, study, chooses, as_json, form):
        _list_trials(storage, study, choice, as_json, form)


def _list_trials(storage: str, prefix: str, wanted: _Wanted, as_json: bool, form: Form) -> None:
    from cnnsearch.commands.references import study

    summary, attempts = study(storage, prefix)
    names = _Names(summary, attempts)
    candidates = attempts if wanted.all_attempts else ranking.last_attempts(attempts)
    met = _chosen(candidates, names, wanted)
    chosen = [trial for trial in met if wanted.hidden or not trial.hidden]
    shown = chosen[: wanted.top]
    if as_json:
        output.write_json([trial_object(trial) for trial in shown])
    else:
        columns = _columns(chosen, names, wanted, form)
        if form is Form.COLUMNS:
            _print_summary(summary, attempts)
        if shown or form is not Form.COLUMNS:
            print_table(_table(shown, columns, form is Form.COLUMNS and wanted.cols is None), form)
        elif attempts and not met:
            count = counted(len(candidates), "attempt" if wanted.all_attempts else "trial")
            say(f"None of the {count} meets the conditions.")
    _say_what_is_missing(attempts, len(met) - len(chosen), wanted)


def _say_what_is_missing(attempts: Sequence[Trial], left_out: int, wanted: _Wanted) -> None:
    """Tags that no trial has, and hidden trials that met the conditions."""
    there = sorted({tag for trial in attempts for tag in trial.tags})
    for tag in wanted.tags:
        if tag not in there:
            near = get_close_matches(tag, there, 1)
            tags = f"Tags: {', '.join(there)}." if there else "No trial has a tag."
            say(f"--tag: no trial has {tag!r}. {f'Did you mean {near[0]}?' if near else tags}")
    if left_out:
        say(f"{left_out} hidden, see --hidden.")


class _Names:
    """The names that options may give to what the trials of a study have."""

    def __init__(self, summary: StudySummary, attempts: list[Trial]) -> None:
        self.summary = summary
        self.attempts = attempts
        self.every = all_columns(summary, attempts)
        self.fields = [name for name in self.every if name in FIELDS]
        self.parameters = [name for name in self.every if name not in FIELDS]

    def known(self, option: str, name: str) -> str:
        """The column that `name` stands for."""
        if name == objective(self.summary):
            return "value"
        for spelling in (name, name.removeprefix("params.")):
            if spelling in self.every:
                return spelling
        known = [*self.every, objective(self.summary)]
        near = get_close_matches(name, known, 1)
        hint = f"Did you mean {near[0]}?" if near else f"Names: {', '.join(known)}."
        raise InputError(f"{option}: unknown name {name!r}. {hint}")


def _chosen(trials: list[Trial], names: _Names, wanted: _Wanted) -> list[Trial]:
    """The trials that meet the conditions, in order."""
    states = _states(wanted.states)
    if states:
        trials = [trial for trial in trials if trial.state in states]
    trials = [trial for trial in trials if set(wanted.tags) <= set(trial.tags)]
    if wanted.where is not None:
        from cnnsearch.selection import where

        bare = [name.removeprefix("params.") for name in names.parameters]
        # Of all attempts, because the words that need no quotes are theirs.
        found = where(names.attempts, wanted.where, bare, objective(names.summary))
        met = {trial.number for trial in found}
        trials = [trial for trial in trials if trial.number in met]
    trials = ranking.ranked(trials, names.summary.direction)
    return trials if wanted.sort is None else _sorted(trials, wanted.sort, names)


def _states(words: Sequence[str]) -> set[State]:
    states = set()
    for word in ",".join(words).split(",") if words else ():
        if word.strip() not in list(State):
            near = get_close_matches(word, list(State), 1)
            hint = f"Did you mean {near[0]}?" if near else f"States: {', '.join(State)}."
            raise InputError(f"--state: unknown state {word!r}. {hint}")
        states.add(State(word.strip()))
    return states


def _sorted(trials: list[Trial], sort: str, names: _Names) -> list[Trial]:
    name = names.known("--sort", sort.removeprefix("-"))
    have = [trial for trial in trials if cell(trial, name) is not None]
    have.sort(key=lambda trial: sort_key(trial, name), reverse=sort.startswith("-"))
    return have + [trial for trial in trials if cell(trial, name) is None]


def _columns(chosen: list[Trial], names: _Names, wanted: _Wanted, form: Form) -> list[str]:
    """Names of the columns: what was asked for, else what varies; in CSV all, always the same.

    Args:
        chosen: the trials that meet the conditions, before --top.
    """
    if wanted.cols not in (None, "all"):
        asked = [names.known("--cols", name.strip()) for name in str(wanted.cols).split(",")]
        return list(dict.fromkeys(["number", *asked]))
    if form is Form.CSV:
        return names.every
    if wanted.cols == "all":
        return [*names.fields[:-2], *names.parameters, "seed", "reason"]
    again = ["point", "attempt"] if wanted.all_attempts else []
    hidden, tags, note = (
        [name] if any(cell(trial, name) for trial in chosen[: wanted.top]) else []
        for name in ("hidden", "tags", "note")
    )
    told = [name for name in ("epochs", "seconds") if len({cell(t, name) for t in chosen}) > 1]
    judged = ["verdict"] if any(trial.diagnosis for trial in chosen) else []
    reason = ["reason"] if any(trial.reason for trial in chosen[: wanted.top]) else []
    numbers = ["number", *again, "state", *hidden, *judged, "value", *told]
    return [*numbers, *tags, *varying(chosen), *note, *reason]


def _table(trials: list[Trial], columns: list[str], may_shorten: bool) -> Table:
    """The trials as a table; on a narrow terminal without what it would say twice.

    Args:
        may_shorten: the columns are our choice.
    """
    table = trials_table(trials, columns)
    if not (may_shorten and output.is_terminal() and "verdict" in columns):
        return table
    if needed_width(table) + GAP + REASON_WIDTH > output.width():  # reasons would stand below
        trials = [replace(trial, reason=None) if _is_told(trial) else trial for trial in trials]
        if not any(trial.reason for trial in trials):
            columns = [name for name in columns if name != "reason"]
    if needed_width(table) > output.width():
        columns = [OUTCOME if name == "state" else name for name in columns if name != "value"]
    return trials_table(trials, columns)


def _is_told(trial: Trial) -> bool:
    """Whether the verdict tells why the trial ended."""
    return trial.diagnosis is not None and trial.diagnosis.verdict != OK


def _print_summary(summary: StudySummary, attempts: list[Trial]) -> None:
    """How the study stands: above the table on a terminal, else on stderr."""
    from cnnsearch.render.summary import standing

    lines = standing(summary, attempts, given_storage())
    if output.is_terminal():
        output.write_lines([*lines, []], wrap=True)
    else:
        for line in lines:
            say("".join(text for text, _ in line))
