"""Trials in this process, one at a time: for debugging, and the simplest case of the contract."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cnnsearch.executors import Message
from cnnsearch.executors.attempt import attempt
from cnnsearch.records import EpochResult, Outcome, Prepared, Task


class InlineExecutor:
    """Advances the one running trial by a message at each `wait`."""

    slots = 1

    def __init__(self) -> None:
        self._task: Task | None = None
        self._trial: Iterator[Prepared | EpochResult | Outcome] | None = None
        self._may_go_on = True

    def submit(self, task: Task) -> None:
        """See `Executor`."""
        assert self._trial is None, "one task at a time"
        self._task, self._may_go_on = task, True
        self._trial = attempt(task)

    def wait(self, timeout: float) -> Sequence[Message]:  # noqa: ARG002
        """See `Executor`."""
        if self._trial is None or self._task is None or not self._may_go_on:
            return []
        message = Message(self._task.number, next(self._trial))
        if isinstance(message.content, Outcome):
            self._end()
        elif isinstance(message.content, EpochResult):
            self._may_go_on = not self._task.waits
        return [message]

    def answer(self, number: int, go_on: bool) -> None:
        """See `Executor`."""
        if self._task is not None and self._task.number == number:
            self._may_go_on = go_on
            if not go_on:
                self._end()

    def kill(self, number: int) -> None:
        """See `Executor`."""
        if self._task is not None and self._task.number == number:
            self._end()

    def close(self) -> None:
        """See `Executor`."""
        self._end()

    def _end(self) -> None:
        self._task = self._trial = None
