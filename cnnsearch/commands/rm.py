"""`cnnsearch rm`: delete a study."""

from __future__ import annotations

import sys

import click

from cnnsearch.commands.completing import studies
from cnnsearch.commands.options import storage_option
from cnnsearch.errors import InputError, StudyBusyError


@click.command("rm")
@click.argument("study", shell_complete=studies)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@storage_option
def command(study: str, yes: bool, storage: str) -> int:
    """Delete STUDY, named in full, and all its trials.

    \b
    Example:
      cnnsearch rm digits -y
    """
    from cnnsearch.commands.overview import stages_of
    from cnnsearch.render.trials import counts_text
    from cnnsearch.study import read

    name = read.resolve(storage, study)
    stages = stages_of(storage, study, read.stages(storage))
    if stages:
        raise InputError(f"{study} is a chain. Write one of its studies: {', '.join(stages)}.")
    if name != study:
        raise InputError(f"{study!r} is the beginning of a name. Write it in full: {name}.")
    _refuse_running(storage, name)
    before = read.summary_and_trials(storage, name)
    told = counts_text(before[0].counts) or "no trials"
    if not yes:
        if not sys.stdin.isatty():
            raise InputError(
                f"rm {name}: it holds {told}. Write -y to delete it without a question."
            )
        if not click.confirm(f"Delete study {name} ({told})?", err=True):
            click.echo("Nothing was deleted.", err=True)
            return 0
    from cnnsearch.folders import remove_all
    from cnnsearch.records import WEIGHTS
    from cnnsearch.study import store
    from cnnsearch.study.location import study_folder

    # Loading the store and the question take their time: what was told must still hold.
    _refuse_running(storage, name)
    if read.summary_and_trials(storage, name) != before:
        raise StudyBusyError(f"study {name} has changed. See it: cnnsearch list {name}")
    store.remove(storage, name)
    remove_all(name)  # its checkpoints, which are of no use to another study
    click.echo(f"Deleted study {name} ({told}).", err=True)
    folder = study_folder(name)
    if folder.is_dir():
        weights = any(folder.glob(f"*/{WEIGHTS}"))
        what = "logs and weights" if weights else "logs"
        click.echo(f"The {what} of its trials stay in {folder}.", err=True)
    return 0


def _refuse_running(storage: str, name: str) -> None:
    """Refuse a study that is running at once: removing would wait, and delete it when it ends."""
    from cnnsearch.study.lock import is_held

    if is_held(storage, name):
        from cnnsearch.study.store import busy_message

        raise StudyBusyError(busy_message(storage, name))
