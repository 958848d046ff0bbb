"""`cnnsearch export`: a trial as a config file, or trials in the forms of other programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from cnnsearch import __version__
from cnnsearch.commands.completing import files, folders
from cnnsearch.commands.export_model import to_model
from cnnsearch.commands.exporting import to_mlflow, to_tensorboard, trials_of
from cnnsearch.commands.files import check_place, write_target
from cnnsearch.commands.options import force_option, output_option, storage_option
from cnnsearch.commands.references import (
    Picked,
    config_of,
    is_study,
    pick_one,
    references_argument,
    with_curve,
)
from cnnsearch.errors import InputError
from cnnsearch.records import StudySummary, Trial
from cnnsearch.render import output
from cnnsearch.render.table import Column, Table, csv_text
from cnnsearch.render.talk import say
from cnnsearch.render.text import measure
from cnnsearch.render.trials import OF_EPOCH, all_columns, objective, trials_table

_WITHOUT_FILE = ("--tensorboard", "--mlflow", "--model")


@click.command("export")
@references_argument("STUDY [TRIAL]")
@output_option()
@force_option
@click.option("--csv", "as_csv", is_flag=True, help="All trials of STUDY as CSV, a line a trial.")
@click.option(
    "--curves", is_flag=True, help="Epochs as CSV, a line an epoch: of TRIAL, or of all trials."
)
@click.option(
    "--tensorboard",
    metavar="DIR",
    shell_complete=folders,
    help="TensorBoard's files into DIR/STUDY.",
)
@click.option("--mlflow", metavar="URI", help="Runs of MLflow; auto: $MLFLOW_TRACKING_URI.")
@click.option(
    "--model",
    metavar="FILE",
    shell_complete=files,
    help="TRIAL's network, trained: FILE.pt or FILE.onnx.",
)
@click.option(
    "--all-attempts", is_flag=True, help="Of all trials: also attempts that were run again."
)
@storage_option
def command(
    references: tuple[str, ...],
    target: str | None,
    force: bool,
    as_csv: bool,
    curves: bool,
    tensorboard: str | None,
    mlflow: str | None,
    model: str | None,
    all_attempts: bool,
    storage: str,
) -> None:
    """Write a trial as a config, or trials for other programs.

    The config has the folder of images in full, so that it runs from any folder.

    --tensorboard writes a run a trial: its epochs as scalars, its hyperparameters, state, verdict
    and value (`objective`) for the page HPARAMS, and why it ended as a text. A second export
    replaces the first. It needs TensorBoard: pip install 'cnnsearch[tensorboard]'.

    --mlflow writes to sqlite:///FILE or a server (http://HOST:PORT): the experiment STUDY with a
    run a trial below one of the study, its parameters, epochs, and state, verdict and seed as tags.
    A second export adds what is new and doubles nothing. It needs MLflow: pip install
    'cnnsearch[mlflow]'. A URI with a password goes into $MLFLOW_TRACKING_URI.

    --model writes the network of a trial of a search with checkpoint: {keep: best}, and prints a
    program that loads it and predicts. It takes images as they are, pixels 0..1. FILE.onnx needs
    pip install 'cnnsearch[onnx]'.

    \b
    Examples:
      cnnsearch export digits best -o best.yaml
      cnnsearch export digits --csv -o digits.csv
      cnnsearch export digits --curves
      cnnsearch export digits --tensorboard logs
      cnnsearch export digits --mlflow sqlite:///mlflow.db
      cnnsearch export digits best --model best.onnx > predict.py
    """
    forms = {"--csv": as_csv, "--curves": curves, "--tensorboard": tensorboard, "--mlflow": mlflow}
    form = _only_form({**forms, "--model": model}, target, force)
    if all_attempts and form not in forms:
        raise InputError(f"--all-attempts: write one of {', '.join(forms)} with it.")
    _check_whole(references, "--csv" if as_csv else "--all-attempts" if all_attempts else None)
    path = None if target is None else Path(target)
    if path is not None:
        check_place(path, "best.yaml")
    if model is not None:
        to_model(storage, references, Path(model), force)
    elif tensorboard is not None:
        to_tensorboard(storage, references, Path(tensorboard), all_attempts)
    elif mlflow is not None:
        to_mlflow(storage, references, mlflow, all_attempts)
    elif as_csv or curves:
        _write(_csv(storage, references, curves, all_attempts), path, force)
    else:
        _write(_config_text(with_curve(storage, pick_one(storage, references))), path, force)


def _check_whole(references: Sequence[str], option: str | None) -> None:
    """Refuse an option that is for all trials of a study where some are named."""
    if option is not None and not is_study(references):
        raise InputError(
            f"{option} is for all trials of one study. Name the study alone, "
            'or choose trials: cnnsearch list STUDY --where "number in (3, 7)" --csv.'
        )


def _csv(storage: str, references: Sequence[str], curves: bool, all_attempts: bool) -> str:
    summary, trials = trials_of(storage, references, all_attempts)
    if curves:
        return csv_text(_curve_table(storage, summary, trials))
    return csv_text(trials_table(trials, all_columns(summary, trials)))


def _only_form(forms: Mapping[str, object], target: str | None, force: bool) -> str | None:
    """The option that says what is written, or None; those without FILE take no -o."""
    given = [name for name, wanted in forms.items() if wanted not in (None, False)]
    if len(given) > 1:
        raise InputError(f"{' and '.join(given)} together. Write one of them.")
    form = given[0] if given else None
    if form in _WITHOUT_FILE and (target is not None or (force and form != "--model")):
        option = "-o" if target is not None else "--force"
        raise InputError(f"{option}: {form} says where to write. Leave {option} out.")
    return form


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


def _write(text: str, path: Path | None, force: bool) -> None:
    if path is None:
        output.write_raw(text)
        return
    write_target(path, text, "best.yaml", force)
    say(f"Wrote {path}.")
