"""How long a search will still take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pace:
    """How far a running trial is.

    Args:
        seconds: since it began.
        done: epochs that it has trained, of `of`.
    """

    seconds: float
    done: int
    of: int

    def whole(self) -> float | None:
        """Seconds that it takes at this pace; None before its first epoch."""
        return self.seconds * self.of / self.done if self.done and self.of else None


def seconds_left(
    ended: Sequence[float], running: Sequence[Pace], waiting: int, at_once: float
) -> float | None:
    """Expected seconds to the end of a search; None before there is anything to judge by.

    The mean is over trials that have ended, early ones included, and over those that run, which are
    taken to go on at their pace to their last epoch: without them a search whose first trials
    diverge at once would seem to be over soon.

    Args:
        ended: seconds that each took.
        waiting: trials that have not begun.
        at_once: how many run at a time.
    """
    known = [*ended, *(whole for pace in running if (whole := pace.whole()) is not None)]
    if not known or not at_once:
        return None
    mean = sum(known) / len(known)
    rests = [max(0.0, (pace.whole() or mean) - pace.seconds) for pace in running]
    # Not shorter than the longest that runs, however many workers are idle beside it.
    return max([(max(0, waiting) * mean + sum(rests)) / at_once, *rests])
