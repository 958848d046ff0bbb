"""A study watched without a terminal: a line for each trial that ends."""

from __future__ import annotations

import time
from collections.abc import Callable

from cnnsearch.errors import StorageGoneError
from cnnsearch.records import State, Trial
from cnnsearch.render import output
from cnnsearch.render.display import ended_line
from cnnsearch.render.talk import say
from cnnsearch.render.text import one_line
from cnnsearch.study.following import Follower, Snapshot
from cnnsearch.watch.reader import EVERY_S
from cnnsearch.watch.stages import NextStage, last_stage
from cnnsearch.watch.standing import Standing, standing
from cnnsearch.watch.texts import owner_text


def follow(
    storage: str,
    study: str,
    chain: bool,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Print a line for each ended trial, those of before first, until the search is over.

    Args:
        chain: go on with the next stage of the study's chain.
        clock: seconds, from any moment on.

    Raises:
        InputError: the study is gone.
    """
    lines = _Lines(storage, study)
    gone, following = False, NextStage(clock)
    while True:
        try:
            snapshot = lines.look()
            if chain and not snapshot.held:
                newest = last_stage(storage, snapshot)
                if newest != snapshot.study:
                    say(f"{newest} has begun")
                    lines, following = _Lines(storage, newest), NextStage(clock)
                    continue
            if gone:
                say("the storage is back")
            gone = False
            waits = chain and following.is_expected(lines.now)
            if (not snapshot.held or lines.now.ended) and not waits:
                break
        except StorageGoneError as error:
            if not gone:
                say(f"the storage is tried again: {one_line(str(error))}")
            gone = True
        sleep(EVERY_S)
    say(f"{lines.now.study}: {owner_text(lines.now)}")


class _Lines:
    """Prints each trial of a study once, when it has ended."""

    def __init__(self, storage: str, study: str) -> None:
        self._follower = Follower(storage, study)
        self._printed: set[int] = set()
        self.now: Standing

    def look(self) -> Snapshot:
        """Read, and print what has ended since."""
        snapshot = self._follower.look()
        self.now = standing(snapshot, time.time())
        total = self.now.total
        for trial in sorted(snapshot.trials, key=_end):
            if trial.state is State.RUNNING or trial.number in self._printed:
                continue
            self._printed.add(trial.number)
            done = f"[{len(self._printed):{len(str(total))}}/{total}]"
            output.write(f"{done} {ended_line(trial, snapshot.objective)}")
        return snapshot


def _end(trial: Trial) -> tuple[float, int]:
    return ((trial.started or 0.0) + (trial.seconds or 0.0), trial.number)
