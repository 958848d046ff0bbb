"""`cnnsearch stop`: end a running search, or some of its trials, from another shell."""

from __future__ import annotations

from collections.abc import Sequence

import click

from cnnsearch.commands.completing import studies, trials
from cnnsearch.commands.options import storage_option
from cnnsearch.commands.references import pick, study
from cnnsearch.errors import InputError
from cnnsearch.records import State, Trial
from cnnsearch.render.talk import say


@click.command("stop")
@click.argument("name", metavar="STUDY", shell_complete=studies)
@click.argument("references", metavar="[TRIAL]...", nargs=-1, shell_complete=trials)
@click.option("--now", is_flag=True, help="Wait for no epoch, and for no trial to end.")
@storage_option
def command(name: str, references: tuple[str, ...], now: bool, storage: str) -> None:
    """End a search that runs in another shell, or some of its trials.

    Without TRIAL no trial of the search begins any more, and it ends when those that run have
    ended; with --now they are ended too, and count as killed: the next run makes them again, as
    after Ctrl-C. What is left is continued with the same cnnsearch run.

    A TRIAL is ended after its current epoch, with --now at once. It counts as pruned, "stopped by
    the user": it is not run again, and the search goes on with the next. Trials that are trained
    together with it as one network run again.

    \b
    Examples:
      cnnsearch stop digits
      cnnsearch stop digits 7 --now
    """
    from cnnsearch.watch.stopping import Wanted, stop

    if "/" in name:
        raise InputError(f"{name}: write the study and its trials as two words: {_words(name)}.")
    summary, trials = study(storage, name)
    found = [one.trial for one in pick(storage, [name, *references])] if references else []
    ended = [trial for trial in found if trial.state is not State.RUNNING]
    if ended:
        states = ", ".join(f"{summary.name}/{trial.number} is {trial.state}" for trial in ended)
        raise InputError(f"{states}. Only a running trial can be stopped{_running(trials)}.")
    wanted = Wanted(summary.name, [trial.number for trial in found], now)
    say(f"{summary.name}: {stop(storage, wanted)}")


def _running(trials: Sequence[Trial]) -> str:
    numbers = [str(trial.number) for trial in trials if trial.state is State.RUNNING]
    return f", such as {numbers[0]}" if numbers else "; none runs"


def _words(name: str) -> str:
    return f"cnnsearch stop {name.replace('/', ' ')}"
