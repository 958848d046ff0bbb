"""Where trials run: here (inline), in processes of this machine (local), or on a cluster (ray).

One contract for all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from cnnsearch.records import EpochResult, Outcome, Prepared, Task


@dataclass(frozen=True, slots=True)
class Lost:
    """The worker of a trial died; nothing more comes from that trial.

    Args:
        out_of_memory: the system killed it to have its memory.
    """

    reason: str
    out_of_memory: bool = False


@dataclass(frozen=True, slots=True)
class Message:
    """What came from the trial `number`: its beginning, an epoch, its end, or its loss."""

    number: int
    content: Prepared | EpochResult | Outcome | Lost


class Executor(Protocol):
    """Runs tasks and tells what comes of them; knows no study and no storage."""

    @property
    def slots(self) -> int:
        """How many submissions run at a time; where workers come and go, now."""
        ...

    def submit(self, tasks: Sequence[Task]) -> None:
        """Start a task, or several that are trained as one batched network (`cnnsearch.fused`).

        The caller keeps to `slots`; a submission has ended when its last task has.
        """

    def wait(self, timeout: float) -> Sequence[Message]:
        """What has come by now, waiting at most `timeout` seconds for the first message.

        Messages of a trial come in order: what it begins with, epochs, its outcome or its loss.
        """

    def answer(self, number: int, go_on: bool) -> None:
        """Let a task that waits after an epoch go on, or end it without another message."""

    def kill(self, number: int) -> None:
        """End a task at once, and those submitted with it; no message of them comes after this."""

    def notices(self) -> Sequence[str]:
        """What the user should know, once: lines since it was asked last."""
        ...

    def close(self) -> None:
        """End everything that runs."""
