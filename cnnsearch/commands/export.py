"""`cnnsearch export`: a trial as a config file, or all trials as CSV."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

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
    with_curve,
)
from cnnsearch.errors import InputError
from cnnsearch.records import StudySummary, Trial
from cnnsearch.render import output
from cnnsearch.render.table import Column, Table, csv_text
from cnnsearch.render.text import measure
from cnnsearch.render.trials import OF_EPOCH, all_columns, objective, trials_table

if TYPE_CHECKING:
    pass


@click.command("export")
@references_argument("STUDY [TRIAL]")
@click.option("-o", "--output", "target", metavar="FILE", help="Write to FILE instead of stdout.")
@click.option("--force", is_flag=True, help="Overwrite FILE.")
@click.option("--csv", "as_csv", is_flag=True, help="All trials of STUDY as CSV, a line a trial.")
@click.option(
    "--curves", is_flag=True, help="Epochs as CSV, a line an epoch: of TRIAL, or of all trials."
)
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
    """Write a trial as a config for `train`, or a study as CSV.

    A folder of images is written in full, so that the config runs from any folder.

    \b
    Examples:
      cnnsearch export digits best -o best.yaml
      cnnsearch export digits --csv -o digits.csv
      cnnsearch export digits --curves
    """
    if as_csv and curves:
        raise InputError("--csv and --curves together. Write one of them.")
    if target is not None:
        _refuse_target(Path(target), force)
    if not (as_csv or curves):
        if all_attempts:
            raise InputError("--all-attempts is for CSV. Write --csv or --curves with it.")
        _write(_config_text(with_curve(storage, pick_one(storage, references))), target)
        return
    if not _is_study(references) and (as_csv or all_attempts):
        option = "--csv" if as_csv else "--all-attempts"
        raise InputError(
            f"{option} is for all trials of one study. Write cnnsearch export STUDY {option}, "
            'or choose trials: cnnsearch list STUDY --where "number in (3, 7)" --csv.'
        )
    summary, trials = _trials(storage, references, all_attempts)
    if curves:
        table = _curve_table(storage, summary, trials)
    else:
        table = trials_table(trials, all_columns(summary, trials))
    _write(csv_text(table), target)


def _config_text(picked: Picked) -> str:
    from cnnsearch.config import to_yaml

    trial = picked.trial
    value = ""
    if trial.value is not None:
        value = f", {objective(picked.summary)} {measure(trial.value)}"
    return to_yaml(
        config_of(picked).with_whole_paths(),
        f"Trial {trial.number} of study {picked.summary.name} ({trial.state}{value}), "
        f"exported by cnnsearch {__version__}.\nRun it again: cnnsearch train FILE",
    )


def _is_study(references: Sequence[str]) -> bool:
    """Whether a study is named alone."""
    return len(references) == 1 and "/" not in references[0]


def _trials(
    storage: str, references: Sequence[str], all_attempts: bool
) -> tuple[StudySummary, list[Trial]]:
    """All trials of a study named alone, else the trials picked, which must be of one study."""
    if _is_study(references):
        summary, attempts = study(storage, references[0])
        return summary, attempts if all_attempts else ranking.last_attempts(attempts)
    picked = pick(storage, references)
    if len({one.summary.name for one in picked}) > 1:
        raise InputError(
            "a CSV holds the trials of one study. Write cnnsearch export STUDY --curves."
        )
    return picked[0].summary, [one.trial for one in picked]


def _curve_table(storage: str, summary: StudySummary, trials: Sequence[Trial]) -> Table:
    """A row an epoch, with the number, point and attempt of its trial."""
    from cnnsearch.study import read

    curves = read.curves(storage, summary.name)
    rows = [
        [trial.number, trial.point, trial.attempt, *(getattr(result, name) for name in OF_EPOCH)]
        for trial in trials
        for result in curves.get(trial.number, ())
    ]
    names = ("number", "point", "attempt", *OF_EPOCH)
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
