"""What the view asks of whoever runs the study: the one thing that it does not only read."""

from __future__ import annotations

from dataclasses import dataclass

from cnnsearch.errors import CnnsearchError
from cnnsearch.render.text import counted


@dataclass(frozen=True, slots=True)
class Wanted:
    """A request to stop.

    Args:
        trials: to end now; none: begin no more trials.
    """

    trials: tuple[int, ...] = ()


def stop(storage: str, study: str, wanted: Wanted) -> str:
    """Leave the request that `cnnsearch stop` leaves; what became of it, in one line."""
    from cnnsearch.study import requests

    request = {"verb": "stop", "trials": list(wanted.trials), "now": bool(wanted.trials)}
    try:
        requests.ask(storage, study, request, patience_s=0.0)
    except CnnsearchError as error:
        return str(error)
    if not wanted.trials:
        return "asked: no more trials begin, and those that run are trained to their end"
    numbers = ", ".join(map(str, wanted.trials))
    noun = counted(len(wanted.trials), "trial").partition(" ")[2]
    return f"asked: {noun} {numbers} will be stopped"
