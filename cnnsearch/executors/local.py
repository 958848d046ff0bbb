"""Trials in spawned processes of this machine, which live on from trial to trial."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Sequence
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path

from cnnsearch.errors import CnnsearchError
from cnnsearch.executors import Lost, Message
from cnnsearch.executors.worker import LOG, READY, STOP_SIGNALS, serve
from cnnsearch.records import Outcome, State, Task

_TAIL_LINES = 5
_GIVE_UP_STARTS = 3


class _Worker:
    """One process with its pipe and its task."""

    def __init__(self, log: Path) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        self.log = log
        self.connection: Connection = ours
        self.process: SpawnProcess = context.Process(
            target=serve, args=(theirs, str(log)), daemon=True
        )
        # Blocked until the worker ignores them: a Ctrl-C while it starts would look like its death.
        # The tracker first: its start, which would come with the first worker's, unblocks them.
        resource_tracker.ensure_running()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        try:
            self.process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
        self.ready = False
        self.task: Task | None = None

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.connection.close()


class LocalExecutor:
    """`jobs` worker processes; one that dies is replaced, and so is one whose trial failed."""

    def __init__(self, jobs: int, folder: Path) -> None:
        """Start the workers at once, so that they load torch while the caller goes on.

        Args:
            folder: where workers log what they print while they run no trial.
        """
        self.slots = jobs
        self._folder = folder
        self._started = 0
        self._dead_starts = 0
        self._workers = [self._start() for _ in range(jobs)]

    def submit(self, task: Task) -> None:
        """See `Executor`."""
        worker = next(worker for worker in self._workers if worker.task is None)
        worker.task = task
        try:
            worker.connection.send(task)
        except OSError:
            return  # it has just died, which `wait` will tell

    def wait(self, timeout: float) -> Sequence[Message]:
        """See `Executor`.

        Raises:
            CnnsearchError: a worker cannot start; the text ends with what it printed.
        """
        sources = {worker.connection: worker for worker in self._workers}
        messages = []
        for source in wait(list(sources), timeout):
            assert isinstance(source, Connection)
            message = self._receive(sources[source])
            if message is not None:
                messages.append(message)
        return messages

    def answer(self, number: int, go_on: bool) -> None:
        """See `Executor`."""
        worker = self._running(number)
        if worker is None:
            return
        if not go_on:
            worker.task = None
        try:
            worker.connection.send(go_on)
        except OSError:
            return

    def kill(self, number: int) -> None:
        """See `Executor`."""
        worker = self._running(number)
        if worker is not None:
            self._replace(worker)

    def close(self) -> None:
        """See `Executor`."""
        for worker in self._workers:
            worker.process.kill()  # all first: joining one by one would add up
        for worker in self._workers:
            worker.end()
        self._workers = []

    def _receive(self, worker: _Worker) -> Message | None:
        """One message of a worker; the end of its pipe is its death."""
        try:
            content = worker.connection.recv()
        except (EOFError, OSError):
            return self._bury(worker)
        if content == READY:
            worker.ready, self._dead_starts = True, 0
            return None
        task = worker.task
        assert task is not None, "a task is ended while it waits, or with its worker"
        if isinstance(content, Outcome):
            worker.task = None
            if content.state is State.FAILED:
                self._replace(worker)  # whatever it left behind in that process
        return Message(task.number, content)

    def _bury(self, worker: _Worker) -> Message | None:
        worker.process.join()
        code = worker.process.exitcode or 0
        task = worker.task
        if not worker.ready:
            self._dead_starts += 1
            if code > 0 or self._dead_starts >= _GIVE_UP_STARTS:
                raise CnnsearchError(f"a worker {_death(code)} on start:\n{_tail(worker.log)}")
        self._replace(worker)
        if task is None:
            return None
        printed = _tail(Path(task.folder) / LOG).splitlines()
        said = f": {printed[-1]}" if printed else ""
        return Message(task.number, Lost(f"its worker {_death(code)}{said}"))

    def _replace(self, worker: _Worker) -> None:
        worker.end()
        self._workers[self._workers.index(worker)] = self._start()

    def _start(self) -> _Worker:
        self._started += 1
        return _Worker(self._folder / f"worker-{self._started}.log")

    def _running(self, number: int) -> _Worker | None:
        for worker in self._workers:
            if worker.task is not None and worker.task.number == number:
                return worker
        return None


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
