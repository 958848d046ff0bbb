"""Reading the storage beside the view: a thread, so that keys never wait for a disk or a server."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from cnnsearch.errors import CnnsearchError
from cnnsearch.records import State
from cnnsearch.study.following import Follower, Points, Snapshot
from cnnsearch.watch.stages import NextStage, last_stage
from cnnsearch.watch.standing import Standing, Tally, standing

EVERY_S = 1.0
# Of a storage where a look takes long, so that looking is at most a fifth of what it does.
_PAUSES = 4
_OVER = (State.COMPLETE, State.PRUNED, State.DIVERGED)


@dataclass(frozen=True, slots=True)
class Seen:
    """The storage was read.

    Args:
        curves: of trials that have ended, those wanted so far.
    """

    snapshot: Snapshot
    standing: Standing
    curves: Mapping[int, Points] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Unread:
    """The storage could not be read; it is tried again."""

    reason: str


@dataclass(frozen=True, slots=True)
class Defect:
    """A thread met an error of the program."""

    error: Exception


News = Seen | Unread | Defect


class Reader(threading.Thread):
    """Looks at a study about once a second and tells what it saw.

    A daemon: a storage that hangs does not keep the view from closing.
    """

    def __init__(
        self,
        storage: str,
        study: str,
        tell: Callable[[News], None],
        chain: bool = False,
    ) -> None:
        """Read `study`.

        Args:
            tell: is called in this thread.
            chain: of a stage that is over, go on with the stage that was begun last.
        """
        super().__init__(name="reader", daemon=True)
        self._storage = storage
        self._follower = Follower(storage, study)
        self._tell = tell
        self._chain = chain
        self._following = NextStage()
        self._wake = threading.Event()
        self._closed = False
        self._wanted: frozenset[int] = frozenset()
        self._curves: dict[int, Points] = {}
        self._tally: Tally | None = None

    def want(self, numbers: Iterable[int]) -> None:
        """Ask for the curves of trials; those that run are read with each look anyway."""
        wanted = frozenset(numbers)
        if wanted - self._curves.keys() and wanted != self._wanted:
            self._wake.set()
        self._wanted = wanted

    def look_now(self) -> None:
        """Look before it is time."""
        self._wake.set()

    def close(self) -> None:
        """Look no more."""
        self._closed = True
        self._wake.set()

    def run(self) -> None:
        """Look until `close`."""
        while not self._closed:
            began = time.monotonic()
            try:
                self._tell(self._look())
            except (CnnsearchError, OSError) as error:
                self._tell(Unread(str(error)))
            except Exception as error:  # told where a person sees it
                self._tell(Defect(error))
                return
            took = time.monotonic() - began
            self._wake.wait(max(EVERY_S, _PAUSES * took))
            self._wake.clear()

    def _look(self) -> Seen:
        snapshot = self._follower.look()
        if self._chain and not snapshot.held:
            snapshot = self._next_stage(snapshot)
        now = standing(snapshot, time.time(), self._tally)
        self._tally = now.tally
        if self._chain and self._following.is_expected(now):
            now = replace(now, next_expected=True)
        over = {trial.number for trial in snapshot.trials if trial.state in _OVER}
        best = {now.tally.best.number} if now.tally.best else set()
        missing = ((self._wanted | best) & over) - self._curves.keys()
        if missing:
            # A new object: the view holds the one before.
            self._curves = {**self._curves, **self._follower.curves(missing)}
        return Seen(snapshot, now, self._curves)

    def _next_stage(self, snapshot: Snapshot) -> Snapshot:
        newest = last_stage(self._storage, snapshot)
        if newest == snapshot.study:
            return snapshot
        self._follower = Follower(self._storage, newest)
        self._curves, self._tally, self._following = {}, None, NextStage()
        return self._follower.look()
