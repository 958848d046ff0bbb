"""Trials in processes of this machine, which live on from trial to trial."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path

from cnnsearch.errors import CnnsearchError
from cnnsearch.executors import Lost, Message, processes
from cnnsearch.executors.worker import LOG, READY, serve
from cnnsearch.records import CHECKPOINT_LINE, Outcome, State, Task

_TAIL_LINES = 5
_GIVE_UP_STARTS = 3
# Of the machine, and of the container that this is.
_OOM_COUNTS = (Path("/proc/vmstat"), Path("/sys/fs/cgroup/memory.events"))


class _Worker:
    """One process with its pipe and its tasks that have not ended."""

    def __init__(self, log: Path) -> None:
        context = processes.context()
        ours, theirs = context.Pipe()
        self.log = log
        self.connection: Connection = ours
        self.process = context.Process(
            target=serve, args=(theirs, str(log), processes.environment()), daemon=True
        )
        with processes.beginning():
            self.process.start()
        theirs.close()
        self.ready = False
        self.tasks: dict[int, Task] = {}
        self.task_log: Path | None = None
        self.failed = False

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.connection.close()


class LocalExecutor:
    """`jobs` worker processes; one that dies is replaced, and so is one whose trial failed."""

    def __init__(self, jobs: int, folder: Path) -> None:
        """Start the workers at once.

        Args:
            folder: where workers log what they print while they run no trial.
        """
        self.slots = jobs
        self._folder = folder
        self._started = 0
        self._dead_starts = 0
        self._oom_kills = oom_kills()
        self._workers = [self._start() for _ in range(jobs)]

    def submit(self, tasks: Sequence[Task]) -> None:
        """See `Executor`."""
        worker = next(worker for worker in self._workers if not worker.tasks)
        worker.tasks = {task.number: task for task in tasks}
        worker.task_log = Path(tasks[0].folder) / LOG
        try:
            worker.connection.send(tasks)
        except OSError:
            return  # it has just died, which `wait` will tell

    def wait(self, timeout: float) -> Sequence[Message]:
        """See `Executor`.

        Raises:
            CnnsearchError: a worker cannot start; the text ends with what it printed.
        """
        sources = {worker.connection: worker for worker in self._workers}
        messages: list[Message] = []
        for source in wait(list(sources), timeout):
            assert isinstance(source, Connection)
            messages += self._receive(sources[source])
        return messages

    def answer(self, number: int, go_on: bool) -> None:
        """See `Executor`."""
        worker = self._running(number)
        if worker is None:
            return
        if not go_on:
            del worker.tasks[number]
        try:
            worker.connection.send((number, go_on))
        except OSError:
            return

    def kill(self, number: int) -> None:
        """See `Executor`."""
        worker = self._running(number)
        if worker is not None:
            self._replace(worker)

    def notices(self) -> Sequence[str]:
        """See `Executor`: none."""
        return ()

    def close(self) -> None:
        """See `Executor`."""
        for worker in self._workers:
            worker.process.kill()  # all first: joining one by one would add up
        for worker in self._workers:
            worker.end()
        self._workers = []

    def _receive(self, worker: _Worker) -> list[Message]:
        """What a worker has sent; the end of its pipe is its death."""
        try:
            messages = worker.connection.recv()
        except (EOFError, OSError):
            return self._bury(worker)
        if messages == READY:
            worker.ready, self._dead_starts = True, 0
            return []
        assert worker.tasks, "a task is ended while it waits, or with its worker"
        for message in messages:
            if isinstance(message.content, Outcome):
                del worker.tasks[message.number]
                worker.failed |= message.content.state is State.FAILED
        if not worker.tasks and worker.failed:
            self._replace(worker)  # whatever it left behind in that process
        return list(messages)

    def _bury(self, worker: _Worker) -> list[Message]:
        worker.process.join()
        code = worker.process.exitcode or 0
        if not worker.ready:
            self._dead_starts += 1
            if code > 0 or self._dead_starts >= _GIVE_UP_STARTS:
                raise CnnsearchError(f"a worker {_death(code)} on start:\n{_tail(worker.log)}")
        self._replace(worker)
        out_of_memory = code == -signal.SIGKILL and oom_kills() > self._oom_kills
        self._oom_kills = oom_kills()
        printed = _tail(worker.task_log).splitlines() if worker.task_log else []
        printed = [line for line in printed if not line.startswith(CHECKPOINT_LINE)]
        said = f": {printed[-1]}" if printed else ""
        why = ", as memory ran out" if out_of_memory else ""
        return [
            Message(number, Lost(f"its worker {_death(code)}{why}{said}", out_of_memory))
            for number in worker.tasks
        ]

    def _replace(self, worker: _Worker) -> None:
        worker.end()
        self._workers[self._workers.index(worker)] = self._start()

    def _start(self) -> _Worker:
        self._started += 1
        return _Worker(self._folder / f"worker-{self._started}.log")

    def _running(self, number: int) -> _Worker | None:
        for worker in self._workers:
            if number in worker.tasks:
                return worker
        return None


def oom_kills() -> int:
    """How many processes Linux has killed so far to have their memory; 0 where it does not say."""
    count = 0
    for place in _OOM_COUNTS:
        with suppress(OSError, ValueError):
            for line in place.read_text(encoding="ascii").splitlines():
                name, number = line.split()
                count += int(number) if name == "oom_kill" else 0
    return count


def _death(code: int) -> str:
    if code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"


def _tail(log: Path) -> str:
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join(lines[-_TAIL_LINES:])
