"""Processes of a scenario, found by a mark in their environment, and waiting for what happens."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

MARK = "CNNSEARCH_FAULT"
_LOOK_S = 0.02
_T = TypeVar("_T")


class FaultError(Exception):
    """Something that must be true is not; the text tells what."""


class SkippedError(Exception):
    """The fault cannot be made here; the text tells why."""


def until(condition: Callable[[], _T], seconds: float, what: str) -> _T:
    """Wait for a condition, and give what it gave.

    Raises:
        FaultError: it did not come true in so many seconds.
    """
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise FaultError(f"waited {seconds:.0f} s in vain for {what}")
        time.sleep(_LOOK_S)
    return found


def marked(mark: str) -> list[int]:
    """All living processes that began with this mark, whoever their parents are by now."""
    wanted = f"{MARK}={mark}".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):  # gone meanwhile; of a dead one that is not waited for it is empty
            if wanted in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
    return found


def children(pid: int) -> list[int]:
    """Of a process's main thread; none of one that is gone."""
    try:
        found = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
    except OSError:
        return []
    return [child for child in map(int, found) if is_alive(child)]


def is_alive(pid: int) -> bool:
    """Whether it can still run: neither gone nor dead and not waited for."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8", errors="replace")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")


def workers(coordinator: int) -> list[int]:
    """The processes that train: they are forked from one that the coordinator has started."""
    return [worker for child in children(coordinator) for worker in children(child)]
