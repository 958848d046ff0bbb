"""Trials as rows of a listing and as objects of JSON: the names and the order of their fields."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from cnnsearch import catalog
from cnnsearch.grouping import Group
from cnnsearch.records import EpochResult, Params, Probe, State, StudySummary, Trial
from cnnsearch.render.table import Column, Table
from cnnsearch.render.text import exact, measure, number, one_line, seconds_text, value_text
from cnnsearch.render.verdicts import verdict_style
from cnnsearch.selection import VERDICTS, field

FIELDS = (
    "number",
    "point",
    "attempt",
    "state",
    "verdict",
    "value",
    "params",
    "epochs",
    "best_epoch",
    "seconds",
    "findings",
    "tags",
    "note",
    "hidden",
    "reason",
    "seed",
)
OF_EPOCH = tuple(one.name for one in fields(EpochResult) if one.name != "probe")
"""What an epoch measured of the whole network."""
NOTE_WIDTH = 24
"""Columns of a note in a listing."""
OUTCOME = "value or state"
"""A column where there is no room for both: a complete trial has a value, and no other has."""
STATE_STYLES = {
    State.COMPLETE: "green",
    State.PRUNED: "cyan",
    State.DIVERGED: "yellow",
    State.FAILED: "bold red",
    State.KILLED: "magenta",
    State.RUNNING: "bold",
}


def trial_object(trial: Trial) -> dict[str, Any]:
    """A trial as `list --json` prints it."""
    found = trial.diagnosis.findings if trial.diagnosis else None
    findings = None if found is None else [asdict(finding) for finding in found]
    return {name: _plain(field(trial, name)) for name in FIELDS} | {"findings": findings}


def full_object(trial: Trial, config: Mapping[str, Any]) -> dict[str, Any]:
    """A trial as `show --json` and `train --json` print it.

    Args:
        config: the trial's config as plain data, see `Config.plain`.
    """
    curve = [{name: getattr(result, name) for name in OF_EPOCH} for result in trial.curve]
    probes = [{"epoch": epoch, **asdict(probe)} for epoch, probe in probes_of(trial)]
    told = {"curve": curve, "probes": probes, "facts": dict(trial.facts), "config": dict(config)}
    return {**trial_object(trial), **told}


def probes_of(trial: Trial) -> list[tuple[int, Probe]]:
    """The probes of a trial, each with the epoch after which it was made; 0: before training."""
    first = [] if trial.probe is None else [(0, trial.probe)]
    later = [(result.epoch, result.probe) for result in trial.curve if result.probe is not None]
    return first + later


def _plain(value: Any) -> Any:
    if isinstance(value, State):
        return str(value)
    return dict(value) if isinstance(value, Mapping) else value


def state_style(state: Any) -> str:
    """rich's style of a state, and none of anything else."""
    return STATE_STYLES.get(state, "")


def word_style(word: Any) -> str:
    """rich's style of a state or a verdict, and none of anything else."""
    return state_style(word) or verdict_style(word)


def varying(trials: Sequence[Trial]) -> list[str]:
    """Names of the hyperparameters in which the trials differ; all of a single trial's."""
    names = parameters(trials)
    if len(trials) < 2:
        return names
    return [name for name in names if len({exact(cell(trial, name)) for trial in trials}) > 1]


def parameters(trials: Sequence[Trial], space: Iterable[str] = ()) -> list[str]:
    """Names of all hyperparameters, in the order of the space.

    One that has the name of a field (`epochs`) is written `params.epochs`.

    Args:
        space: names that stand first, whether or not a trial has them: see `searched`.
    """
    longest = sorted(trials, key=lambda trial: -len(trial.params))
    names = dict.fromkeys([*space, *(name for trial in longest for name in trial.params)])
    return [f"params.{name}" if name in FIELDS else name for name in names]


def searched(summary: StudySummary) -> list[str]:
    """Names of the hyperparameters that a study searches, in the order of its space."""
    return list(summary.config.get("space") or ())


def all_columns(summary: StudySummary, attempts: Sequence[Trial]) -> list[str]:
    """All fields, then all hyperparameters: the same columns whichever trials are chosen."""
    fields = [name for name in FIELDS if name != "params"]
    return [*fields, *parameters(attempts, searched(summary))]


def column(name: str) -> Column:
    """The column of a trial's field or hyperparameter."""
    styled = {
        "state": Column("state", str, str, style=state_style),
        "verdict": Column("verdict", style=verdict_style),
        "value": Column("value", measure, right=True),
        OUTCOME: Column("value", _outcome_text, right=True, style=state_style),
        "seconds": Column("seconds", seconds_text, right=True, spare=True),
        "epochs": Column("epochs", right=True, spare=True),
        "best_epoch": Column("best_epoch", right=True, spare=True),
        "findings": Column("findings", _words_text, _words_text),
        "tags": Column("tags", _words_text, _words_text, style=lambda _: "bold"),
        "note": Column("note", _note_text),
        "hidden": Column(
            "hidden", lambda hidden: "hidden" if hidden else "", style=lambda _: "dim"
        ),
        "reason": Column("reason", lambda text: text or "", prose=True, style=lambda _: "dim"),
    }
    if name in styled:
        return styled[name]
    return Column(name, right=name in FIELDS)


def _words_text(words: list[str] | None) -> str:
    return ", ".join(words or ())


def _note_text(note: str | None) -> str:
    """The beginning of a note; `show` and CSV have the whole."""
    return textwrap.shorten(one_line(note or ""), NOTE_WIDTH, placeholder="...")


def _outcome_text(outcome: Any) -> str:
    return str(outcome) if isinstance(outcome, State) else measure(outcome)


def trials_table(trials: Sequence[Trial], names: Sequence[str]) -> Table:
    """Trials as rows; `names` are fields and hyperparameters, in the order of the columns."""
    return Table(
        tuple(column(name) for name in names),
        [[cell(trial, name) for name in names] for trial in trials],
    )


def cell(trial: Trial, name: str) -> Any:
    """A trial's field, or its hyperparameter; None where it has none."""
    if name in FIELDS:
        return field(trial, name)
    if name == OUTCOME:
        return trial.state if trial.value is None else trial.value
    return trial.params.get(name.removeprefix("params."))


def params_text(params: Params) -> str:
    """Hyperparameters in a sentence: `lr 0.0332, init he`."""
    return ", ".join(f"{name} {value_text(value)}" for name, value in params.items())


def group_text(group: Group) -> str:
    """The value or the interval that the trials of a group share: `he`, `0.001 to 0.01`."""
    if group.interval is not None:
        return " to ".join(number(edge) for edge in group.interval)
    return "(inactive)" if group.value is None else value_text(group.value)


def counts_text(counts: Mapping[State, int]) -> str:
    """Counts in a sentence: `20 complete, 5 diverged`."""
    return ", ".join(f"{counts[state]} {state}" for state in State if counts.get(state))


def objective_text(summary: StudySummary) -> str:
    """What a study compares: `val_accuracy, higher is better`."""
    better = "higher" if summary.direction == "maximize" else "lower"
    return f"{objective(summary)}, {better} is better"


def objective(summary: StudySummary) -> str:
    """The name of what a study compares."""
    search = summary.config.get("search") or {}
    return str(search.get("objective", "value"))


def classes(summary: StudySummary, trial: Trial) -> int | None:
    """Number of classes of a study's images; None where only the folders tell."""
    told = trial.facts.get("classes")
    if isinstance(told, int):
        return told
    row = catalog.DATASETS.get(summary.config.get("data", {}).get("name", ""))
    return row.classes if row else None


def sort_key(trial: Trial, name: str) -> tuple[int, float, str]:
    """An order over cells of mixed kinds: numbers, then texts; states and verdicts best first."""
    value = cell(trial, name)
    if isinstance(value, State):
        return (0, float(list(State).index(value)), "")
    if name == "verdict" and value in VERDICTS:
        return (0, -float(VERDICTS.index(value)), "")
    if isinstance(value, int | float):
        return (0, float(value), "")
    return (1, 0.0, exact(value))
