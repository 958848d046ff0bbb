"""A chain that is watched: which of its stages is shown, and whether another is to be expected."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable

from cnnsearch.study import read
from cnnsearch.study.following import Coordinator, Snapshot
from cnnsearch.watch.standing import Standing

# Between two stages nobody holds a study: the next is narrowed, and its folder made.
_NEXT_STAGE_S = 60.0


def last_stage(storage: str, snapshot: Snapshot) -> str:
    """The stage of a study's chain that was begun last; the study itself where it is no stage."""
    if snapshot.family is None:
        return snapshot.study
    stages = [
        (place["stage"], name)
        for name, place in read.stages(storage).items()
        if place["family"] == snapshot.family
    ]
    return max(stages, default=(0, snapshot.study))[1]


class NextStage:
    """Whether the stage after one that is done is to be expected: for a minute, and no longer."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Of one stage.

        Args:
            clock: seconds, from any moment on.
        """
        self._clock = clock
        self._since: float | None = None

    def is_expected(self, now: Standing) -> bool:
        """Ask it at each look at the stage: it counts from the first at which that was done."""
        if not now.goes_on:
            self._since = None
            return False
        if self._since is None:
            self._since = self._clock()
        return self._clock() - self._since < _NEXT_STAGE_S and not _is_gone(now.coordinator)


def _is_gone(coordinator: Coordinator | None) -> bool:
    """Whether the process that ran a study was on this machine, and is there no more."""
    if coordinator is None or coordinator.host != socket.gethostname():
        return False
    try:
        os.kill(coordinator.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass  # it is there, and another user's
    return False
