"""What the view asks of whoever runs the study: the one thing that it does not only read."""

from __future__ import annotations

from dataclasses import dataclass

from cnnsearch.errors import CnnsearchError
from cnnsearch.render.stopping import stop_text


@dataclass(frozen=True, slots=True)
class Wanted:
    """A request to stop.

    Args:
        trials: to end after their current epoch; none: begin no more trials.
    """

    trials: tuple[int, ...] = ()


def stop(storage: str, study: str, wanted: Wanted) -> str:
    """Leave the request that `cnnsearch stop` leaves; what becomes of it, in one line."""
    from cnnsearch.study import requests

    request = {"verb": requests.STOP, "trials": list(wanted.trials), "now": False}
    try:
        requests.ask(storage, study, request, patience_s=0.0)
    except CnnsearchError as error:
        return str(error)
    return stop_text(wanted.trials, now=False)
