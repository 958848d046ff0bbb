"""What a search kept of a trial, found again in the trial's folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cnnsearch.commands.references import Picked, config_of
from cnnsearch.errors import InputError
from cnnsearch.records import WEIGHTS, State

if TYPE_CHECKING:
    from cnnsearch.config import Config


def kept_weights(picked: Picked) -> Path:
    """The file of a trial's weights.

    Raises:
        InputError: there is none, or it is another trial's.
    """
    from cnnsearch.study.location import trial_folder

    config, label = config_of(picked), picked.label
    if picked.trial.state is not State.COMPLETE:
        raise InputError(f"{label}: {picked.trial.state}. Only complete trials have weights.")
    if config.data.folds > 1:
        raise InputError(f"{label}: with folds a trial is several networks, and none is kept.")
    file = trial_folder(picked.summary.name, picked.trial.number) / WEIGHTS
    if not file.is_file():
        error = picked.trial.facts.get("weights_error")
        if error is not None:
            raise InputError(f"{label}: its weights could not be kept: {error}.")
        if "weights_epoch" in picked.trial.facts:
            raise InputError(f"{label}: no {file}. Call this in the folder where its search ran.")
        raise InputError(
            f"{label}: its weights were not kept. Write checkpoint: {{keep: best}} into the file: "
            "trials that run from then on keep theirs."
        )
    _check_same(config, file, label)
    return file


def _check_same(config: Config, file: Path, label: str) -> None:
    """That a folder is this trial's, and not that of a study of its name in another storage.

    Raises:
        InputError: it is not.
    """
    from cnnsearch.config import load

    beside = file.with_name("config.yaml")
    if not beside.is_file():
        return
    found = load(beside)
    names = ("seed", "model", "train")
    if any(getattr(found, name) != getattr(config, name) for name in names):
        raise InputError(
            f"{label}: {file.parent} is of another trial of that name. Call this in the folder "
            "where its search ran."
        )
