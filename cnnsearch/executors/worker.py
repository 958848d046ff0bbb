"""A worker process: gets tasks over a pipe and sends back what the runner yields."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from pathlib import Path

from cnnsearch.executors.attempt import asked, attempt, print_failures
from cnnsearch.executors.processes import settle_in
from cnnsearch.records import Task

READY = "ready"
LOG = "log.txt"


def serve(connection: Connection, log: str, environment: Mapping[str, str]) -> None:
    """Run tasks until the coordinator closes the pipe or dies.

    Args:
        log: file for what is printed while no task runs, such as an error on import.
        environment: the coordinator's.
    """
    settle_in(environment)
    threading.Thread(target=end_with_parent, daemon=True).start()
    _redirect(Path(log))
    from cnnsearch import runner  # noqa: F401  loads torch before the first task

    connection.send(READY)
    while True:
        try:
            tasks = connection.recv()
        except EOFError:
            return
        with _logged(Path(tasks[0].folder) / LOG, Path(log)):
            _run(connection, tasks)


def _run(connection: Connection, tasks: Sequence[Task]) -> None:
    running, stopped = attempt(tasks), set[int]()
    while True:
        try:
            messages = running.send(stopped or None)
        except StopIteration:
            return
        print_failures(messages)
        connection.send(messages)
        answers = [connection.recv() for _ in asked(tasks, messages)]
        stopped = {number for number, go_on in answers if not go_on}


def end_with_parent() -> None:
    """A worker whose coordinator is gone has nobody to report to."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


@contextmanager
def _logged(log: Path, idle_log: Path) -> Iterator[None]:
    _redirect(log)
    try:
        yield
    finally:
        _redirect(idle_log)


def _redirect(log: Path) -> None:
    """Send stdout and stderr, those of C libraries too, to the end of a file."""
    sys.stdout.flush()
    sys.stderr.flush()
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab", buffering=0) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
