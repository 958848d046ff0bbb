"""From a verb's arguments (`digits best`, `digits/3 mnist/top:2`) to trials in the storage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from cnnsearch.errors import InputError
from cnnsearch.records import StudySummary, Trial

if TYPE_CHECKING:
    from cnnsearch.config import Config

FORMS = "TRIAL is a number, best, last, top:5, 3,7,9, 4-8, or STUDY/TRIAL."
references_argument = click.argument("references", nargs=-1, required=True, metavar="STUDY TRIAL")


@dataclass(frozen=True, slots=True)
class Picked:
    """A trial with its study; its curve has to be read where it is needed."""

    summary: StudySummary
    trial: Trial

    @property
    def label(self) -> str:
        """`STUDY/NUMBER`."""
        return f"{self.summary.name}/{self.trial.number}"


def study(storage: str, prefix: str) -> tuple[StudySummary, list[Trial]]:
    """A study by an unambiguous prefix, and all its attempts."""
    from cnnsearch.study import read

    name = read.resolve(storage, prefix)
    return read.summary_and_trials(storage, name)


def pick(storage: str, references: Sequence[str]) -> list[Picked]:
    """The trials that `STUDY TRIAL...` or `STUDY/TRIAL...` names, each once.

    Raises:
        InputError: a trial without a study, a study without a trial, or none of that name.
    """
    from cnnsearch.selection import refer, split

    studies: dict[str, tuple[StudySummary, list[Trial]]] = {}
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
            picked = Picked(summary, trial)
            found.setdefault(picked.label, picked)
    if not used and current is not None:
        name = study(storage, current)[0].name
        raise InputError(f"{name}: which trial? Write {name} best, or {name} 3. {FORMS}")
    return list(found.values())


def pick_one(storage: str, references: Sequence[str]) -> Picked:
    """Exactly one trial.

    Raises:
        InputError: see `pick`; or several trials.
    """
    found = pick(storage, references)
    if len(found) > 1:
        names = ", ".join(picked.label for picked in found)
        raise InputError(f"one trial is wanted, not {len(found)} ({names}). Write one of them.")
    return found[0]


def with_curve(storage: str, picked: Picked) -> Picked:
    """The trial with its curve read."""
    from cnnsearch.study import read

    full = read.trial(storage, picked.summary.name, picked.trial.number)
    return Picked(picked.summary, full)


def config_of(picked: Picked) -> Config:
    """The config of a trial as a single run: what `train` reads."""
    from cnnsearch.config import from_plain

    return from_plain(dict(picked.summary.config)).at(picked.trial.params, picked.trial.seed)
