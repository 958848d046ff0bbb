"""What the numbers were measured on, and how fast it multiplies."""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from cnnsearch import __version__
from cnnsearch.environment import cpu_name

SIZE, PRODUCTS = 1024, 15


def matrix_rate() -> float:
    """FLOP/s of one thread: the median of a few 1024x1024 products in float32."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    left, right = torch.randn(SIZE, SIZE), torch.randn(SIZE, SIZE)
    result = left @ right  # warms up, and so that no product waits for memory
    seconds = []
    for _ in range(PRODUCTS):
        started = time.process_time()  # of one thread; what else the machine does counts less
        torch.mm(left, right, out=result)
        seconds.append(time.process_time() - started)
    torch.set_num_threads(threads)
    return 2 * SIZE**3 / statistics.median(seconds)


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def describe() -> str:
    """The machine in one line, with its load: numbers of a busy machine say little."""
    return (
        f"machine: {cpu_name()}, {cores()} cores, {matrix_rate() / 1e9:.0f} GFLOP/s in a"
        f" {SIZE}x{SIZE} float32 product on one thread; load {os.getloadavg()[0]:.1f};"
        f" {platform.system()}, Python {platform.python_version()}, torch {torch.__version__},"
        f" cnnsearch {__version__}"
    )


def main(arguments: Sequence[str]) -> int:
    """Print it."""
    argparse.ArgumentParser("bench machine", description=__doc__).parse_args(arguments)
    print(describe())
    return 0


def children(pid: int) -> list[int]:
    """Of a process, where there is a /proc; none of one that is gone."""
    try:
        return [*map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split())]
    except OSError:
        return []
