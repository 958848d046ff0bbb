"""From a verb's arguments (`digits best`, `digits/3 mnist/top:2`) to trials in the storage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import click

from cnnsearch.commands.completing import references as complete
from cnnsearch.errors import InputError
from cnnsearch.records import StudySummary, Trial

if TYPE_CHECKING:
    from cnnsearch.config import Config

FORMS = "TRIAL is a number, best, last, top:5, 3,7,9, 4-8, or STUDY/TRIAL."

# Studies by the prefixes they were asked for with, and all their attempts.
Studies = dict[str, tuple[StudySummary, list[Trial]]]


@dataclass(frozen=True, slots=True)
class Picked:
    """A trial with its study; its curve has to be read where it is needed.

    Args:
        attempts: all attempts of the study, this one included.
    """

    summary: StudySummary
    trial: Trial
    attempts: Sequence[Trial]

    @property
    def label(self) -> str:
        """`STUDY/NUMBER`."""
        return f"{self.summary.name}/{self.trial.number}"


def references_argument(metavar: str) -> Callable[[Any], Any]:
    """The argument of a verb that takes references: all words, for `pick`."""
    return click.argument(
        "references", nargs=-1, required=True, metavar=metavar, shell_complete=complete
    )


def is_study(references: Sequence[str]) -> bool:
    """Whether a study is named alone."""
    return len(references) == 1 and "/" not in references[0]


def study(storage: str, prefix: str) -> tuple[StudySummary, list[Trial]]:
    """A study by an unambiguous prefix, and all its attempts."""
    from cnnsearch.study import read

    name = read.resolve(storage, prefix)
    return read.summary_and_trials(storage, name)


def pick(storage: str, references: Sequence[str], studies: Studies | None = None) -> list[Picked]:
    """The trials that `STUDY TRIAL...` or `STUDY/TRIAL...` names, each once.

    Args:
        studies: those read already, by their prefixes; what is read now is added.

    Raises:
        InputError: a trial without a study, a study without a trial, or none of that name.
    """
    from cnnsearch.selection import refer, split

    studies = {} if studies is None else studies
    found: dict[str, Picked] = {}
    current, used = None, True
    for reference in references:
        prefix, wanted = split(reference)
        if prefix is None and current is None:
            current, used = reference, False
            continue
        if prefix is None:
            prefix, used = current, True
        assert prefix is not None
        if prefix not in studies:
            studies[prefix] = study(storage, prefix)
        summary, trials = studies[prefix]
        for trial in refer(trials, wanted, summary.direction, summary.name):
            picked = Picked(summary, trial, trials)
            found.setdefault(picked.label, picked)
    if not used and current is not None:
        name = study(storage, current)[0].name
        raise InputError(f"{name}: which trial? Write {name} best, or {name} 3. {FORMS}")
    return list(found.values())


def pick_one(storage: str, references: Sequence[str], studies: Studies | None = None) -> Picked:
    """Exactly one trial.

    Raises:
        InputError: see `pick`; or several trials.
    """
    found = pick(storage, references, studies)
    if len(found) > 1:
        names = ", ".join(picked.label for picked in found)
        raise InputError(f"one trial is wanted, not {len(found)} ({names}). Write one of them.")
    return found[0]


def with_curve(storage: str, picked: Picked) -> Picked:
    """The trial with its curve and its config read."""
    from cnnsearch.study import read

    full = read.trial(storage, picked.summary.name, picked.trial.number)
    return replace(picked, trial=full)


def config_of(picked: Picked) -> Config:
    """The config of a trial as a single run: what `train` reads.

    What was stored with the trial, where that was read (see `with_curve`); a trial of cnnsearch 0.1
    has none. The study's config may have changed since in what changes no value: threads, folders.
    """
    from cnnsearch.config import from_plain

    if picked.trial.config is not None:
        return from_plain(picked.trial.config, f"the config of {picked.label}")
    return from_plain(dict(picked.summary.config)).at(picked.trial.params, picked.trial.seed)
