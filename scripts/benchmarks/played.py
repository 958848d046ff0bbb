"""An executor that trains nothing: its trials are played, as pickled as they come from workers."""

from __future__ import annotations

import pickle
import time
from collections import deque
from collections.abc import Sequence

from cnnsearch import records
from cnnsearch.executors import Message

EPOCHS = 5


class Clock:
    """Stands in for the module `time`: a second from message to message, without waiting for it."""

    def __init__(self) -> None:
        self.now = time.time()

    def monotonic(self) -> float:
        """As `time.monotonic`."""
        return self.now

    time = monotonic


class Played:
    """An executor whose trials come ready, epoch by epoch, from two workers in turn."""

    slots = 2

    def __init__(self, clock: Clock | None) -> None:
        """Play at once, or with a `clock` a message a second, half of it waited for in vain."""
        self._tasks: deque[tuple[records.Task, deque[bytes]]] = deque()
        self._asked: dict[int, tuple[records.Task, deque[bytes]]] = {}
        self._clock = clock
        self._waited = False

    def submit(self, tasks: Sequence[records.Task]) -> None:
        """See `Executor`."""
        [task] = tasks
        pickle.dumps(tasks)
        # Accuracies climb to one that differs from trial to trial, so that pruners have a choice.
        best = 0.5 + (task.number * 7919 % 100) / 250
        epochs = [epoch(e, best * e / EPOCHS) for e in range(1, EPOCHS + 1)]
        end = records.Outcome(records.State.COMPLETE, None, {"first_loss": 2.3}, 0.1)
        items = [PREPARED, *epochs, end]
        self._tasks.append((task, deque(pickle.dumps(item) for item in items)))

    def wait(self, timeout: float) -> Sequence[Message]:  # noqa: ARG002
        """See `Executor`."""
        if self._clock is not None:
            self._clock.now += 0.5
            self._waited = not self._waited
            if self._waited:
                return []
        task, items = self._tasks.popleft()
        content = pickle.loads(items.popleft())
        if isinstance(content, records.EpochResult) and task.waits:
            self._asked[task.number] = (task, items)
        elif items:
            self._tasks.append((task, items))
        return [Message(task.number, content)]

    def answer(self, number: int, go_on: bool) -> None:
        """See `Executor`."""
        asked = self._asked.pop(number)
        if go_on:
            self._tasks.append(asked)

    def kill(self, number: int) -> None:
        """See `Executor`."""
        self._tasks = deque(one for one in self._tasks if one[0].number != number)

    def notices(self) -> Sequence[str]:
        """See `Executor`."""
        return ()

    def close(self) -> None:
        """See `Executor`."""


def probe(after: bool) -> records.Probe:
    """What four layers look like, before the first step or after an epoch."""
    layers = tuple(
        records.LayerProbe(
            name, units, 0.123456789, 1.23456789, 0.03125, None, 0.0123456789,
            0.123456789 if after else None, 0.00123456789 if after else None,
        )
        for name, units in (("conv1", 32), ("conv2", 64), ("hidden1", 128), ("classifier", 10))
    )  # fmt: skip
    return records.Probe(1.23456789, layers, *((2.5, 0.1) if after else ()))


def epoch(number: int, accuracy: float) -> records.EpochResult:
    """A trial's epoch."""
    return records.EpochResult(
        number, 0.01, 1 / number, accuracy, 1.1 / number, accuracy, 0.02, probe(after=True)
    )


PREPARED = records.Prepared(
    "cpu", 10, 123456, 5000, 500, 0.102, probe(after=False),
    {"cnnsearch": "0", "python": "3.12.0", "torch": "2.13.0", "device": "cpu",
     "processor": "a CPU, AVX2", "threads": 1, "data": "0" * 64},
)  # fmt: skip
