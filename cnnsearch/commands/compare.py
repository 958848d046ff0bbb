"""`cnnsearch compare`: trials side by side, or groups of trials."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import click

from cnnsearch import ranking
from cnnsearch.commands.compare_searches import compare_searches
from cnnsearch.commands.options import json_option, storage_option
from cnnsearch.commands.references import (
    Picked,
    config_of,
    pick,
    references_argument,
    study,
    with_curve,
)
from cnnsearch.errors import InputError
from cnnsearch.grouping import Group, groups
from cnnsearch.objective import DIRECTIONS
from cnnsearch.records import StudySummary, Trial
from cnnsearch.render import output
from cnnsearch.render.output import Line
from cnnsearch.render.table import Column, Form, Table, blocks, print_table
from cnnsearch.render.text import (
    counted,
    identity,
    measure,
    seconds_text,
    told_apart,
    value_text,
)
from cnnsearch.render.trials import (
    cell,
    full_object,
    group_text,
    objective,
    parameters,
    searched,
    state_style,
    word_style,
)

FEWEST, MOST = 2, 8
# More curves in one picture of 80 columns cannot be told apart.
MOST_CURVES = 4
_NUMBERS: Mapping[str, Callable[[Any], str]] = {
    "state": str,
    "verdict": value_text,
    "value": measure,
    "best_epoch": value_text,
    "epochs": value_text,
    "seconds": seconds_text,
}
_MEASURES = ("train_loss", "train_accuracy", "val_loss", "val_accuracy")


@click.command("compare")
@references_argument("STUDY TRIAL...")
@click.option(
    "--by",
    metavar="NAME",
    help="A hyperparameter that makes groups; or sampler, see above.",
)
@click.option("--all-rows", is_flag=True, help="Also rows in which the trials are equal.")
@json_option
@click.option("--md", "form", flag_value="md", help="Print the table in Markdown.")
@storage_option
def command(
    references: tuple[str, ...],
    by: str | None,
    all_rows: bool,
    as_json: bool,
    form: str | None,
    storage: str,
) -> None:
    """Compare trials side by side, groups of trials, or searches.

    2 to 8 trials are laid side by side. TRIAL is a number, best, last, top:5, 3,7,9 or 4-8; trials
    of several studies are written STUDY/TRIAL. --by NAME compares groups of a study's trials.

    --by sampler takes 2 to 8 studies of the same file and shows what each had found after so many
    trials and epochs, in the order in which its trials began, and how many values it tried.

    \b
    Examples:
      cnnsearch compare digits top:3
      cnnsearch compare digits/best cifar-coarse/4
      cnnsearch compare digits --by activation
      cnnsearch compare digits-random digits-grid --by sampler
    """
    if as_json and form:
        raise InputError("--json and --md together. Write one of them.")
    table_form = Form(form or "columns")
    if by == "sampler":
        compare_searches(storage, references, as_json, table_form)
        return
    if by is not None:
        _compare_groups(storage, references, by, as_json, table_form)
        return
    picked = pick(storage, references)
    if not FEWEST <= len(picked) <= MOST:
        raise InputError(
            f"compare takes {FEWEST} to {MOST} trials, not {counted(len(picked), 'trial')}. "
            f"Write for example: cnnsearch compare {picked[0].summary.name} top:3, or --by NAME."
        )
    picked = [with_curve(storage, one) for one in picked]
    settings = [_flat(config_of(one).plain()) for one in picked]
    if as_json:
        output.write_json(
            [
                {"study": one.summary.name, **full_object(one.trial, config_of(one).plain())}
                for one in picked
            ]
        )
        return
    _print_table(_table(picked, settings, all_rows), table_form)
    if table_form is Form.COLUMNS:
        output.write_lines(_reasons(picked), wrap=True)
        output.write_lines(_curves(picked))


def _labels(picked: Sequence[Picked]) -> list[str]:
    """Numbers alone where all trials are of one study."""
    if len({one.summary.name for one in picked}) == 1:
        return [f"#{one.trial.number}" for one in picked]
    return [one.label for one in picked]


def _table(
    picked: Sequence[Picked], settings: Sequence[Mapping[str, Any]], all_rows: bool
) -> Table:
    """Rows of text: numbers, hyperparameters, other settings, measures."""
    trials = [one.trial for one in picked]
    names = {"value": "/".join(dict.fromkeys(objective(one.summary) for one in picked))}
    rows = [
        [names.get(name, name), *told_apart([cell(trial, name) for trial in trials], show)]
        for name, show in _NUMBERS.items()
        if name != "verdict" or all_rows or any(trial.diagnosis for trial in trials)
    ]
    varied: list[tuple[str, list[Any], Callable[[Any], str]]] = [
        (name, values, value_text) for name, values in _varied(picked, settings, all_rows)
    ]
    varied += [(name, values, measure) for name, values in _measured(trials)]
    rows += [
        [name, *told_apart(values, show)]
        for name, values, show in varied
        if all_rows or len({identity(value) for value in values}) > 1
    ]
    columns = (
        Column("", style=lambda _: "bold"),
        *(Column(label, str, right=True, style=word_style) for label in _labels(picked)),
    )
    return Table(columns, rows)


def _measured(trials: Sequence[Trial]) -> list[tuple[str, list[Any]]]:
    """What the last epochs measured, then the best of all epochs."""
    rows: list[tuple[str, list[Any]]] = []
    for name in _MEASURES:
        last = [getattr(trial.curve[-1], name) if trial.curve else None for trial in trials]
        rows.append((f"last {name}", last))
    for name in ("val_loss", "val_accuracy"):
        best = max if DIRECTIONS[name] == "maximize" else min
        values = [
            best((getattr(result, name) for result in trial.curve), default=None)
            for trial in trials
        ]
        rows.append((f"best {name}", values))
    return rows


def _varied(
    picked: Sequence[Picked], settings: Sequence[Mapping[str, Any]], all_rows: bool
) -> list[tuple[str, list[Any]]]:
    """Hyperparameters by their bare names, then the other settings by their paths."""
    names = list(dict.fromkeys(name for one in picked for name in one.trial.params))
    rows = [
        (name, [_setting(one, flat, name) for one, flat in zip(picked, settings, strict=True)])
        for name in names
    ]
    paths = dict.fromkeys(path for flat in settings for path in flat)
    for path in paths:
        searched = path.rpartition(".")[2] in names
        if not searched and path != "study" and (all_rows or path != "seed"):
            rows.append((path, [flat.get(path) for flat in settings]))
    return rows


def _setting(picked: Picked, flat: Mapping[str, Any], name: str) -> Any:
    """A trial's hyperparameter; of a study that does not search it, the fixed value."""
    if name in picked.trial.params:
        return picked.trial.params[name]
    if name in searched(picked.summary):
        return None
    fixed = [value for path, value in flat.items() if path.rpartition(".")[2] == name]
    return fixed[0] if fixed else None


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A config as {"train.lr": 0.01, ...}."""
    found: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = value
    return found


def _print_table(table: Table, form: Form) -> None:
    """The table; on a narrow terminal in several, one below the other."""
    if form is not Form.COLUMNS or not output.is_terminal():
        print_table(table, form)
        return
    for i, part in enumerate(blocks(table, output.width())):
        output.write_lines([[]] if i else [])
        print_table(part)


def _reasons(picked: Sequence[Picked]) -> list[Line]:
    reasons: list[Line] = [
        [(f"{label}: ", "bold"), (one.trial.reason, state_style(one.trial.state))]
        for label, one in zip(_labels(picked), picked, strict=True)
        if one.trial.reason
    ]
    return [[], *reasons] if reasons else []


def _curves(picked: Sequence[Picked]) -> list[Line]:
    """Validation loss and accuracy of the best trials, a mark each, and who is left out."""
    from cnnsearch.render.curves import Curve, beside, legend, plot

    drawn = _drawn(picked)
    if not drawn:
        return []
    width = min(output.width(), 200)
    wide = width >= 120
    size = (width // 2 - 1, 18) if wide else (width, 14)
    names = dict(zip((one.label for one in picked), _labels(picked), strict=True))
    pictures = [
        plot(
            name.replace("val_", "validation "),
            [
                Curve(names[one.label], [(r.epoch, getattr(r, name)) for r in one.trial.curve])
                for one in drawn
            ],
            size,
        )
        for name in ("val_loss", "val_accuracy")
    ]
    lines = (
        beside(pictures[0], pictures[1], width // 2 + 1)
        if wide
        else [*pictures[0], [], *pictures[1]]
    )
    left_out = [
        names[one.label] + ("" if one.trial.curve else " (no epoch finished)")
        for one in picked
        if one not in drawn
    ]
    notes: list[Line] = [[(f"not drawn: {', '.join(left_out)}", "dim")]] if left_out else []
    return [[], *lines, legend([names[one.label] for one in drawn]), *notes]


def _drawn(picked: Sequence[Picked]) -> list[Picked]:
    """The trials whose curves are drawn: the best, in the order they were named."""
    having = [one for one in picked if one.trial.curve]
    if len({objective(one.summary) for one in having}) != 1:
        return having[:MOST_CURVES]  # none, or values of two kinds, which have no order
    order = ranking.ranked([one.trial for one in having], having[0].summary.direction)
    best = [id(trial) for trial in order[:MOST_CURVES]]
    return [one for one in having if id(one.trial) in best]


def _compare_groups(
    storage: str, references: Sequence[str], by: str, as_json: bool, form: Form
) -> None:
    summary, trials = _of_one_study(storage, references)
    known = [name.removeprefix("params.") for name in parameters(trials)]
    name = by.removeprefix("params.")
    if name not in known:
        near = get_close_matches(name, known, 1)
        names = ", ".join(known)
        hint = f"Did you mean {near[0]}?" if near else f"Hyperparameters: {names or 'none'}."
        raise InputError(f"--by: no hyperparameter {by!r} in study {summary.name}. {hint}")
    found = groups(trials, name)
    if as_json:
        output.write_json([_group_object(group, name, summary.direction) for group in found])
        return
    columns = (
        Column(name),
        Column("trials", right=True),
        Column("complete", right=True),
        Column("mean", measure, right=True),
        Column("best", measure, right=True),
        Column("best trial", right=True),
        Column("diverged", lambda share: f"{share:.0%}", right=True),
    )
    print_table(Table(columns, [_group_row(group, summary) for group in found]), form)


def _of_one_study(storage: str, references: Sequence[str]) -> tuple[StudySummary, list[Trial]]:
    """A study named alone with the last attempts of all its points, or with the trials picked."""
    if len(references) == 1 and "/" not in references[0]:
        summary, attempts = study(storage, references[0])
        return summary, ranking.shown(attempts)
    picked = pick(storage, references)
    if len({one.summary.name for one in picked}) > 1:
        raise InputError("--by groups the trials of one study. Write cnnsearch compare STUDY --by.")
    return picked[0].summary, [one.trial for one in picked]


def _group_row(group: Group, summary: StudySummary) -> list[Any]:
    best = group.best(summary.direction)
    return [
        group_text(group),
        len(group.trials),
        len(group.complete),
        group.mean,
        best.value if best else None,
        best.number if best else None,
        group.diverged,
    ]


def _group_object(group: Group, name: str, direction: str) -> dict[str, Any]:
    best = group.best(direction)
    return {
        "name": name,
        "value": group.value,
        "interval": group.interval,
        "trials": len(group.trials),
        "complete": len(group.complete),
        "mean": group.mean,
        "best": best.value if best else None,
        "best_trial": best.number if best else None,
        "diverged": group.diverged,
    }
