"""Processes of this machine that train: how they begin, and what they begin with.

On Linux they are forked from one that has loaded torch, and does nothing else: a worker is there at
once instead of after 2 s, and what torch takes of memory is shared. That one holds no threads, no
CUDA context and no files, so that a fork of it is as good as a new process. Elsewhere they are
spawned: macOS's libraries do not bear a fork.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import ForkServerContext, SpawnContext
from types import ModuleType

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_FORKS = sys.platform == "linux"
_TUNABLES = "GLIBC_TUNABLES"
MEMORY = (
    "glibc.malloc.hugetlb=1"
    ":glibc.malloc.mmap_threshold=1073741824:glibc.malloc.trim_threshold=1073741824"
)
# The database is the coordinator's alone.
_SECRETS = {"CNNSEARCH_STORAGE", "PGPASSWORD", "PGPASSFILE", "PGSERVICE", "PGSERVICEFILE"}


def prepare() -> None:
    """Begin to load what the processes need, if that was not begun; returns at once."""
    if _FORKS:
        context()
        with beginning():
            forkserver.ensure_running()


def context() -> ForkServerContext | SpawnContext:
    """What starts the processes; call `start` within `beginning`."""
    if not _FORKS:
        return multiprocessing.get_context("spawn")
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(["cnnsearch.executors.preload"])
    return found


@contextmanager
def beginning() -> Iterator[None]:
    """Processes that start meanwhile have the stop signals blocked, huge pages, and no passwords.

    Nor do they know the program that they are of.

    Blocked until they ignore them: a Ctrl-C while one starts would look like its death.
    """
    # The tracker first: its start, which would come with the first process, unblocks them.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    # Python would run the program's file in each process once more: a script that runs a search
    # without asking for its own `__name__` would run another in each.
    program = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        with _environment():
            yield
    finally:
        sys.modules["__main__"] = program
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def settle_in(environment: Mapping[str, str]) -> None:
    """Ignore the stop signals, which reach the whole process group: the coordinator decides.

    Args:
        environment: of the coordinator as it is now; a forked process has that of its beginning.
    """
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    os.environ.clear()
    os.environ.update(environment)


def forget_secrets() -> None:
    """Take what leads to the database out of this process's environment."""
    for name in _SECRETS:
        os.environ.pop(name, None)


def environment() -> dict[str, str]:
    """What a process is to have of this one's environment: what a worker needs not it gets not."""
    return {name: value for name, value in os.environ.items() if name not in _SECRETS}


@contextmanager
def _environment() -> Iterator[None]:
    """That; and memory that a process keeps, in pages of 2 MB, where it is glibc's.

    Large tensors are otherwise given back to the system as soon as they are freed, and with pages
    of 4 KB each step pays for 4,096 page faults a tensor of 16 MB. A step of conv 32-64 on 32x32x3,
    batch 128, one thread, with large pages: relu 45 instead of 48 ms, with batch norm 59 instead of
    65, prelu 70 instead of 77, maxout 105 instead of 112. To keep what is freed, up to 1 GiB, gains
    2 to 7 % more, and takes 50 to 80 MB. It can be set only before a process begins.
    """
    before = dict(os.environ)
    forget_secrets()
    os.environ.setdefault(_TUNABLES, MEMORY)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
