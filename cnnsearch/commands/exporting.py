"""Trials for other programs: TensorBoard, MLflow."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from cnnsearch import ranking
from cnnsearch.commands.options import has_password
from cnnsearch.commands.references import is_study, pick, study
from cnnsearch.errors import CnnsearchError, InputError
from cnnsearch.records import StudySummary, Trial
from cnnsearch.render.talk import say
from cnnsearch.render.text import counted


def trials_of(
    storage: str, references: Sequence[str], all_attempts: bool
) -> tuple[StudySummary, list[Trial]]:
    """All trials of a study named alone, else the trials picked, which must be of one study."""
    if is_study(references):
        summary, attempts = study(storage, references[0])
        return summary, attempts if all_attempts else ranking.last_attempts(attempts)
    picked = pick(storage, references)
    if len({one.summary.name for one in picked}) > 1:
        raise InputError(
            "the trials of one study are exported at a time. Write cnnsearch export STUDY."
        )
    return picked[0].summary, [one.trial for one in picked]


def to_tensorboard(
    storage: str, references: Sequence[str], folder: Path, all_attempts: bool
) -> None:
    """Write trials into FOLDER/STUDY for TensorBoard."""
    from cnnsearch.exports import tensorboard

    tensorboard.check_installed()
    summary, trials, lost = _with_curves(storage, references, all_attempts)
    into = folder / summary.name
    for place in (folder, into):
        if place.exists() and not place.is_dir():
            raise InputError(f"--tensorboard {folder}: {place} is a file. Write another folder.")
    try:
        tensorboard.write(into, summary, trials, lost)
    except OSError as error:
        told = f"--tensorboard {folder}: {error.strerror}. Write another path."
        raise CnnsearchError(told) from error
    wrote = f"Wrote {counted(len(trials), 'trial')} into {into}"
    say(f"{wrote}. See them: tensorboard --logdir {shlex.quote(str(folder))}")


def to_mlflow(storage: str, references: Sequence[str], uri: str, all_attempts: bool) -> None:
    """Write trials to a tracking server or database of MLflow.

    Args:
        uri: as given; auto: $MLFLOW_TRACKING_URI.
    """
    from cnnsearch.exports import mlflow

    if has_password(uri):
        raise InputError(
            "--mlflow: a password on the command line is seen by all who are on this machine. "
            "Put the URI into $MLFLOW_TRACKING_URI and write --mlflow auto."
        )
    if uri == "auto":
        uri = os.environ.get("MLFLOW_TRACKING_URI", "")
        if not uri:
            raise InputError("--mlflow auto: $MLFLOW_TRACKING_URI is not set. Write a URI.")
    with mlflow.connected(uri) as client:
        summary, trials, lost = _with_curves(storage, references, all_attempts)
        new, old = mlflow.write(client, summary, trials, lost)
    there = f", {old} were there already" if old else ""
    wrote = f"Wrote {counted(new, 'run')} to {mlflow.shown(uri)}"
    say(f"{wrote}, below the run {summary.name} of its experiment{there}.")


def _with_curves(
    storage: str, references: Sequence[str], all_attempts: bool
) -> tuple[StudySummary, list[Trial], list[Trial]]:
    """Trials with their curves: those to be written, and attempts that were run again since.

    Of the latter an export may have written some while they ran.

    Raises:
        InputError: there are none yet.
    """
    from cnnsearch.study import read

    whole = is_study(references)
    summary, trials = trials_of(storage, references, all_attempts or whole)
    if not trials:
        name = summary.name
        raise InputError(f"study {name} has no trials yet. Look: cnnsearch list {name}.")
    curves = read.curves(storage, summary.name)
    trials = [replace(one, curve=curves.get(one.number, ())) for one in trials]
    if all_attempts or not whole:
        return summary, trials, []
    last = ranking.last_attempts(trials)
    numbers = {one.number for one in last}
    return summary, last, [one for one in trials if one.number not in numbers]
