"""What runs on a node of a Ray cluster: a worker, as an actor, and what the node says of itself."""

from __future__ import annotations

import os
import platform
import shutil
import signal
import socket
import tempfile
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cnnsearch import __version__
from cnnsearch.errors import CnnsearchError, InputError
from cnnsearch.executors import Message
from cnnsearch.executors.attempt import attempt, print_failures
from cnnsearch.executors.processes import STOP_SIGNALS, forget_secrets
from cnnsearch.executors.worker import LOG
from cnnsearch.own import digests
from cnnsearch.records import CHECKPOINT, WEIGHTS, Task


@dataclass(frozen=True, slots=True)
class Told:
    """What came of some tasks.

    Args:
        messages: none once all have ended.
        printed: meanwhile.
        checkpoint: the file's content, where one was kept meanwhile.
        weights: likewise.
    """

    messages: list[Message]
    printed: str = ""
    checkpoint: bytes | None = None
    weights: bytes | None = None


@dataclass(frozen=True, slots=True)
class Needs:
    """What a node has to have for the trials of a search.

    Args:
        config: of the search, plain.
        folder: of the command, from which relative paths are taken where a node has it.
        images: their fingerprint.
        files: digests of the user's own files, see `cnnsearch.own.digests`.
    """

    config: Mapping[str, Any]
    folder: str
    images: str
    files: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Node:
    """What decides a trial's numbers on a node, beside its processor.

    Args:
        id: Ray's; `host`: its name.
        versions: of Python, torch and cnnsearch, without what tells a build (`+cu126`).
        images: their fingerprint, or why there are none.
        files: digests of those of the user's own files that are there.
    """

    id: str
    host: str
    versions: Mapping[str, str]
    images: str
    files: Mapping[str, str]


def versions() -> dict[str, str]:
    """Of this process, as nodes are compared by them."""
    return {
        "Python": platform.python_version(),
        "torch": version("torch").partition("+")[0],
        "cnnsearch": __version__,
    }


def look(needs: Needs) -> Node:
    """What the node is where this runs, of what a search needs."""
    import ray

    from cnnsearch.config import from_plain
    from cnnsearch.data import load

    config = from_plain(needs.config)
    files: dict[str, str] = {}
    _go_to(needs.folder)
    for name in config.own_names():
        with suppress(InputError):  # it is not there
            files |= digests([name])
    try:
        images = load(config.data).fingerprint
    except CnnsearchError as error:
        images = str(error)
    node = ray.get_runtime_context().get_node_id()
    return Node(node, socket.gethostname(), versions(), images, files)


def _go_to(folder: str) -> None:
    """Take relative paths from there, as the command does, where this node has such a folder."""
    with suppress(OSError):
        os.chdir(folder)


class Worker:
    """Runs one submission at a time, from one call to the next."""

    def __init__(self, gpus: bool, folder: str) -> None:
        """Load what trials need.

        Args:
            gpus: whether it was given some; else it is to see none.
            folder: see `Needs`.
        """
        for number in STOP_SIGNALS:  # of a terminal's process group; the coordinator decides
            with suppress(ValueError):  # not in the main thread: they do not come here
                signal.signal(number, signal.SIG_IGN)
        forget_secrets()  # of the shell where Ray was started
        if not gpus:
            os.environ["CUDA_VISIBLE_DEVICES"] = ""
        _go_to(folder)
        from cnnsearch import runner  # noqa: F401

        self._running: Generator[list[Message], Collection[int] | None, None] | None = None
        self._folder: Path | None = None
        self._printed = 0
        self._kept: dict[str, object] = {}

    def look(self, needs: Needs) -> Node:
        """See `look`."""
        return look(needs)

    def advance(
        self, stopped: Collection[int], tasks: Sequence[Task] = (), earlier: Sequence[bytes] = ()
    ) -> Told:
        """Run until something has come of the tasks.

        Args:
            stopped: numbers of tasks of which nothing more is wanted.
            tasks: a new submission, instead of the one before.
            earlier: contents of the checkpoints that its only task may go on from.
        """
        if tasks:
            self._begin(tasks, earlier)
        if self._running is None or self._folder is None:
            return Told([])
        log = self._folder / LOG
        messages: list[Message] = []
        with _printed_to(log):
            try:
                messages = self._running.send(stopped or None)
            except StopIteration:
                self._running = None
            print_failures(messages)
        kept = (self._new_file(name) for name in (CHECKPOINT, WEIGHTS))
        return Told(messages, self._new_lines(log), *kept)

    def leave(self) -> None:
        """Leave nothing on the node."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _begin(self, tasks: Sequence[Task], earlier: Sequence[bytes]) -> None:
        self.leave()
        folder = Path(tempfile.mkdtemp(prefix="cnnsearch-"))
        self._folder, self._printed, self._kept = folder, 0, {}
        files = [folder / f"earlier-{place}.pt" for place in range(len(earlier))]
        for file, content in zip(files, earlier, strict=True):
            file.write_bytes(content)
        self._running = attempt([_moved(task, folder, files) for task in tasks])

    def _new_lines(self, log: Path) -> str:
        with log.open(encoding="utf-8", errors="replace") as file:
            file.seek(self._printed)
            text = file.read()
            self._printed = file.tell()
        return text

    def _new_file(self, name: str) -> bytes | None:
        """What a file holds that was written since the last call."""
        assert self._folder is not None
        file = self._folder / name
        try:
            status = file.stat()
            which = (status.st_ino, status.st_mtime_ns)
            if which == self._kept.get(name):
                return None
            self._kept[name] = which
            return file.read_bytes()
        except FileNotFoundError:
            return None


def _moved(task: Task, folder: Path, earlier: Sequence[Path]) -> Task:
    """A task whose files are in a folder of this node."""
    kept = task.checkpoints
    if kept is not None:
        weights = kept.weights and replace(kept.weights, file=str(folder / WEIGHTS))
        file, before = str(folder / CHECKPOINT), tuple(map(str, earlier))
        kept = replace(kept, file=file, earlier=before, weights=weights)
    return replace(task, folder=str(folder), checkpoints=kept)


@contextmanager
def _printed_to(log: Path) -> Iterator[None]:
    """What is printed meanwhile goes to the end of a file, what C libraries print too."""
    kept = [(number, os.dup(number)) for number in (1, 2)]
    with log.open("a", encoding="utf-8", buffering=1) as file:
        for number, _ in kept:
            os.dup2(file.fileno(), number)
        try:
            with redirect_stdout(file), redirect_stderr(file):
                yield
        finally:
            for number, before in kept:
                os.dup2(before, number)
                os.close(before)
