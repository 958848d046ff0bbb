"""Trials in this process, one or one group at a time: for debugging, and the contract's simplest
case."""

from __future__ import annotations

from collections.abc import Collection, Generator, Sequence

from cnnsearch.executors import Message
from cnnsearch.executors.attempt import asked, attempt
from cnnsearch.records import Outcome, Task


class InlineExecutor:
    """Advances what runs by a few messages at each `wait`."""

    slots = 1

    def __init__(self) -> None:
        self._tasks: Sequence[Task] = ()
        self._running: Generator[list[Message], Collection[int] | None, None] | None = None
        self._left: set[int] = set()
        self._asked: set[int] = set()
        self._stopped: set[int] = set()

    def submit(self, tasks: Sequence[Task]) -> None:
        """See `Executor`."""
        assert self._running is None, "one submission at a time"
        self._tasks = tasks
        self._running = attempt(tasks)
        self._left = {task.number for task in tasks}

    def wait(self, timeout: float) -> Sequence[Message]:  # noqa: ARG002
        """See `Executor`."""
        if self._running is None or self._asked:
            return []
        stopped, self._stopped = self._stopped, set()
        messages = self._running.send(stopped or None)
        self._asked = set(asked(self._tasks, messages))
        self._end({m.number for m in messages if isinstance(m.content, Outcome)})
        return messages

    def answer(self, number: int, go_on: bool) -> None:
        """See `Executor`."""
        self._asked.discard(number)
        if not go_on and number in self._left:
            self._stopped.add(number)
            self._end({number})

    def kill(self, number: int) -> None:
        """See `Executor`."""
        if number in self._left:
            self.close()

    def notices(self) -> Sequence[str]:
        """See `Executor`: none."""
        return ()

    def close(self) -> None:
        """See `Executor`."""
        self._end(set(self._left))

    def _end(self, numbers: set[int]) -> None:
        self._left -= numbers
        if not self._left:
            self._tasks, self._running = (), None
            self._asked, self._stopped = set(), set()
