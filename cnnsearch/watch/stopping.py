"""What the view asks of whoever runs the study: the one thing that it does not only read."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass

from cnnsearch.errors import CnnsearchError
from cnnsearch.render.stopping import stop_text


@dataclass(frozen=True, slots=True)
class Wanted:
    """A request to stop.

    Args:
        study: of which it was asked; in a chain another may be shown by the time it is sent.
        trials: to end after their current epoch; none: begin no more trials.
    """

    study: str
    trials: tuple[int, ...] = ()

    @property
    def what(self) -> str:
        """For the one who asked."""
        numbers = " and ".join(map(str, self.trials))
        return f"stop trial {numbers}" if self.trials else "end the search"


class Sender(threading.Thread):
    """Leaves requests one after the other, beside the view and its reader.

    Whoever leaves one waits for the storage, which may be locked for ten seconds or hang; a daemon,
    so that it does not keep the view from closing.
    """

    def __init__(self, storage: str, tell: Callable[[str | Exception], None]) -> None:
        """Send to a storage.

        Args:
            tell: is called in this thread, with what became of a request, or a defect.
        """
        super().__init__(name="sender", daemon=True)
        self._storage = storage
        self._tell = tell
        self._asked: queue.SimpleQueue[Wanted] = queue.SimpleQueue()

    def ask(self, wanted: Wanted) -> None:
        """Leave a request with whoever runs the study."""
        self._asked.put(wanted)

    def run(self) -> None:
        """Send whatever is asked for."""
        while True:
            wanted = self._asked.get()
            try:
                self._tell(stop(self._storage, wanted))
            except Exception as error:  # told where a person sees it
                self._tell(error)


def stop(storage: str, wanted: Wanted) -> str:
    """Leave the request that `cnnsearch stop` leaves; what becomes of it, in one line."""
    from cnnsearch.study import requests

    request = {"verb": requests.STOP, "trials": list(wanted.trials), "now": False}
    try:
        requests.ask(storage, wanted.study, request, patience_s=0.0)
    except (CnnsearchError, OSError) as error:
        return str(error)
    return stop_text(wanted.trials, now=False)
