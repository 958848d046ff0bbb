"""What becomes of a trial that was lost or failed: tried again, tried again alone, or failed."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from cnnsearch.errors import CnnsearchError
from cnnsearch.executors import Lost
from cnnsearch.records import Outcome, Start, State

# So many failures in a row, with one exception at one line, are a defect of the set-up.
FAILURES_IN_A_ROW = 5


class Attempts:
    """Decides for one search; what is tried again it puts where the search takes it from.

    Args:
        waiting: what is to be run, in order.
        retries: how often a trial is tried again that lost its worker.
    """

    def __init__(self, waiting: deque[Start], retries: int) -> None:
        self._waiting = waiting
        self._retries = retries
        self.alone: deque[Start] = deque()
        """What ran out of memory: to be run when nothing else does."""
        self._losses: dict[str, int] = {}
        self._were_alone: set[str] = set()
        self._failures: deque[tuple[str | None, str | None]] = deque(maxlen=FAILURES_IN_A_ROW)
        self._defect: Outcome | None = None

    def is_alone(self, start: Start) -> bool:
        """Whether a trial is being tried alone."""
        return start.key in self._were_alone

    def after_loss(self, start: Start, lost: Lost) -> Outcome:
        """Killed and to be tried again, or failed where the retries are used up."""
        if lost.out_of_memory:
            return self._alone_or(start, lost.reason, Outcome(State.FAILED, lost.reason))
        self._losses[start.key] = self._losses.get(start.key, 0) + 1
        losses = self._losses[start.key]
        if losses > self._retries:
            times = "once" if losses == 1 else f"{losses} times"
            return Outcome(State.FAILED, f"lost its worker {times}; {lost.reason}")
        return self.again(start, lost.reason)

    def again(self, start: Start, reason: str) -> Outcome:
        """Killed and to be tried again, at no cost."""
        self._waiting.appendleft(replace(start, attempt=start.attempt + 1))
        return Outcome(State.KILLED, reason)

    def after_failure(self, start: Start, outcome: Outcome) -> Outcome:
        """Killed and to be tried again alone where memory ran out; else as it is."""
        if not outcome.facts.get("out_of_memory"):
            return outcome
        return self._alone_or(start, outcome.reason or "out of memory", outcome)

    def _alone_or(self, start: Start, reason: str, outcome: Outcome) -> Outcome:
        if self.is_alone(start):
            return replace(outcome, reason=f"alone too: {reason}")
        self._were_alone.add(start.key)
        self.alone.append(replace(start, attempt=start.attempt + 1))
        return Outcome(State.KILLED, f"{reason}; to be tried again alone")

    def count(self, outcome: Outcome) -> None:
        """Take note of how a trial ended, for good."""
        kind = (outcome.facts.get("type"), outcome.facts.get("where"))
        if outcome.state is not State.FAILED:
            self._failures.clear()
        else:
            self._failures.append(kind)
        if self._failures.count(kind) == FAILURES_IN_A_ROW:
            self._defect = outcome

    def stop_on_failures(self) -> None:
        """End the search where one failure came five times in a row.

        Raises:
            CnnsearchError: it did.
        """
        if self._defect is not None:
            raise CnnsearchError(
                f"{FAILURES_IN_A_ROW} trials in a row failed in the same way, the search stops: "
                f"{self._defect.reason} ({self._defect.facts.get('where', 'worker')})\n"
                "Once mended: cnnsearch run FILE --retry failed"
            )
