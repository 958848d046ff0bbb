"""What `tag`, `note` and `hide` share: ask for marks on trials, and say what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cnnsearch.commands.references import Picked
from cnnsearch.records import Trial
from cnnsearch.render.talk import say
from cnnsearch.render.text import counted

# So many trials are named in a line.
_NAMED = 8


def mark(storage: str, picked: Sequence[Picked], request: Mapping[str, Any], done: str) -> None:
    """Leave the request with each study that trials were picked of; a line each on stderr.

    Args:
        request: without its trials; see `cnnsearch.study.requests`.
        done: what is true of the trials when it is applied: "hidden".

    Raises:
        CnnsearchError: the storage cannot be written.
    """
    from cnnsearch.study import requests

    studies: dict[str, list[Trial]] = {}
    for one in picked:
        studies.setdefault(one.summary.name, []).append(one.trial)
    for study, trials in studies.items():
        numbers = [trial.number for trial in trials]
        applied = requests.ask(storage, study, {**request, "trials": numbers})
        before = sum(not requests.changes(trial, request) for trial in trials)
        already = f" ({'as' if before == len(trials) else f'{before} of them'} before)"
        later = "" if applied else "; the running search is busy and stores it when it can"
        say(f"{study}: {done}: {_named(numbers)}{already if before else ''}{later}")


def _named(numbers: Sequence[int]) -> str:
    if len(numbers) > _NAMED:
        return counted(len(numbers), "trial")
    return f"trial{'' if len(numbers) == 1 else 's'} {', '.join(map(str, numbers))}"
