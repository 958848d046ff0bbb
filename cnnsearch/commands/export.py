"""`cnnsearch export`: a trial as a config file, or all trials as CSV."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import click

from cnnsearch import __version__, ranking
from cnnsearch.commands.options import storage_option
from cnnsearch.commands.references import (
    Picked,
    config_of,
    pick,
    pick_one,
    references_argument,
    study,
)
from cnnsearch.errors import InputError
from cnnsearch.records import EpochResult, StudySummary, Trial
from cnnsearch.render import output
from cnnsearch.render.table import Column, Table, csv_text
from cnnsearch.render.text import measure
from cnnsearch.render.trials import FIELDS, objective, parameters, trials_table


@click.command("export")
@references_argument
@click.option("-o", "--output", "target", metavar="FILE", help="Write to FILE instead of stdout.")
@click.option("--force", is_flag=True, help="Overwrite FILE.")
@click.option("--csv", "as_csv", is_flag=True, help="All trials as CSV, a line a trial.")
@click.option("--curves", is_flag=True, help="All epochs of all trials as CSV, a line an epoch.")
@click.option("--all-attempts", is_flag=True, help="CSV: also attempts that were run again.")
@storage_option
def command(
    references: tuple[str, ...],
    target: str | None,
    force: bool,
    as_csv: bool,
    curves: bool,
    all_attempts: bool,
    storage: str,
) -> None:
    """Write a trial as a config file that `cnnsearch train` runs, or a study as CSV.

    \b
    Examples:
      cnnsearch export digits best -o best.yaml
      cnnsearch export digits --csv -o digits.csv
      cnnsearch export digits --curves
    """
    if target is not None:
        _refuse_target(Path(target), force)
    if not (as_csv or curves):
        if all_attempts:
            raise InputError("--all-attempts is for CSV. Write --csv or --curves with it.")
        _write(_config_text(pick_one(storage, references)), target)
        return
    summary, trials = _trials(storage, references, all_attempts)
    table = _curve_table(storage, summary, trials) if curves else _trial_table(trials)
    _write(csv_text(table), target)


def _config_text(picked: Picked) -> str:
    from cnnsearch.config import to_yaml

    trial = picked.trial
    value = ""
    if trial.value is not None:
        value = f", {objective(picked.summary)} {measure(trial.value)}"
    return to_yaml(
        config_of(picked),
        f"Trial {trial.number} of study {picked.summary.name} ({trial.state}{value}), "
        f"exported by cnnsearch {__version__}.\nRun it again: cnnsearch train FILE",
    )


def _trials(
    storage: str, references: Sequence[str], all_attempts: bool
) -> tuple[StudySummary, list[Trial]]:
    """All trials of a study named alone, else the trials picked, which must be of one study."""
    if len(references) == 1 and "/" not in references[0]:
        summary, attempts = study(storage, references[0])
        return summary, attempts if all_attempts else ranking.last_attempts(attempts)
    picked = pick(storage, references)
    if len({one.summary.name for one in picked}) > 1:
        raise InputError("a CSV holds the trials of one study. Write cnnsearch export STUDY --csv.")
    return picked[0].summary, [one.trial for one in picked]


def _trial_table(trials: Sequence[Trial]) -> Table:
    """All fields of the trials, then their hyperparameters."""
    names = [name for name in FIELDS if name != "params"]
    return trials_table(trials, [*names, *parameters(trials)])


def _curve_table(storage: str, summary: StudySummary, trials: Sequence[Trial]) -> Table:
    """A row an epoch, with the number, point and attempt of its trial."""
    from cnnsearch.study import read

    curves = read.curves(storage, summary.name)
    measured = [field.name for field in fields(EpochResult)]
    rows = [
        [trial.number, trial.point, trial.attempt, *(getattr(result, name) for name in measured)]
        for trial in trials
        for result in curves.get(trial.number, ())
    ]
    names = ("number", "point", "attempt", *measured)
    return Table(tuple(Column(name) for name in names), rows)


def _refuse_target(path: Path, force: bool) -> None:
    """Before anything is read: FILE must be writable without loss."""
    if path.is_dir():
        raise InputError(f"-o {path}: is a folder. Write a file name, such as {path}/best.yaml.")
    if not path.parent.is_dir():
        raise InputError(f"-o {path}: no folder {path.parent}. Make it, or write another path.")
    if path.exists() and not force:
        raise InputError(f"-o {path}: exists. Write --force to overwrite it.")


def _write(text: str, target: str | None) -> None:
    if target is None:
        output.write_raw(text)
        return
    try:
        Path(target).write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"-o {target}: {error.strerror}. Write another path.") from error
    click.echo(f"Wrote {target}.", err=True)
