"""What is asked of whoever runs a study: the one thing for which the view does not only read."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cnnsearch.errors import CnnsearchError
from cnnsearch.render.stopping import stop_text
from cnnsearch.study.following import Follower
from cnnsearch.watch.reader import Defect
from cnnsearch.watch.standing import standing


@dataclass(frozen=True, slots=True)
class Wanted:
    """A request to stop.

    Args:
        study: of which it was asked; in a chain another may be shown by the time it is sent.
        trials: to end after their current epoch; none: begin no more trials.
        now: wait for no epoch, and for no trial to end.
    """

    study: str
    trials: Sequence[int] = ()
    now: bool = False

    @property
    def what(self) -> str:
        """For the one who asked."""
        return f"stop {self.named}" if self.trials else "end the search"

    @property
    def named(self) -> str:
        """Its trials."""
        noun = "trial" if len(self.trials) == 1 else "trials"
        return f"{noun} {' and '.join(map(str, self.trials))}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a request to stop something."""

    text: str


class Sender(threading.Thread):
    """Leaves requests one after the other, beside the view and its reader.

    Whoever leaves one waits for the storage, which may be locked for ten seconds or hang; a daemon,
    so that it does not keep the view from closing.
    """

    def __init__(self, storage: str, tell: Callable[[Answer | Defect], None]) -> None:
        """Send to a storage.

        Args:
            tell: is called in this thread.
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
                self._tell(Answer(stop(self._storage, wanted)))
            except (CnnsearchError, OSError) as error:
                self._tell(Answer(str(error)))
            except Exception as error:  # told where a person sees it
                self._tell(Defect(error))


def stop(storage: str, wanted: Wanted) -> str:
    """Leave a request with whoever runs the study; what becomes of it, in one line.

    Raises:
        InputError: the study is gone.
        CnnsearchError: the storage cannot be written.
    """
    from cnnsearch.study import requests

    seen = standing(Follower(storage, wanted.study).look(), time.time())
    if not seen.held and seen.goes_on and seen.stage is not None:
        ended = f"stage {seen.stage[0]} of {seen.stage[1]} has ended"
        return f"{ended}, so there is nothing to stop in it; ask again to stop the next"
    if not seen.held:
        return "nobody runs it, so there is nothing to stop"
    if wanted.trials and not {one.trial.number for one in seen.running} & {*wanted.trials}:
        return f"{wanted.named} ended before that, so there is nothing to stop"
    request = {"verb": requests.STOP, "trials": list(wanted.trials), "now": wanted.now}
    taken = requests.ask(storage, wanted.study, request)
    later = "" if taken else "; it is busy, and does so when it can"
    return stop_text(wanted.trials, wanted.now) + later
