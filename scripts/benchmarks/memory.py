"""What a further worker takes: the memory of each worker while `run -j 2` trains conv 32-64.

Pss, read 20 times a second from /proc: a page that several processes map counts in equal parts.
The decoded images, which all workers map, are not counted. The median is of the readings since a
worker has images; the peak is the worker's whole life. Fails above 450 MB in the median or 800 MB
at the peak.

    scripts/bench memory --root FOLDER
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import yaml

from benchmarks import machine
from benchmarks.contenders import WORKLOADS, Work
from benchmarks.throughput import decode_once
from cnnsearch.render.table import Column, Table, print_table

MEDIAN_MB, PEAK_MB = 450, 800
INTERVAL_S = 0.05
COLUMNS = (
    Column("worker", right=True),
    Column("readings", right=True),
    Column("median MB", lambda mb: f"{mb:.0f}", right=True),
    Column("peak MB", lambda mb: f"{mb:.0f}", right=True),
    Column("shared images MB", lambda mb: f"{mb:.0f}", right=True),
)


@dataclass(frozen=True)
class Reading:
    """Of one process at one moment.

    Args:
        own: Pss without the images, MB of 10^6 bytes.
        shared: Pss of the images.
    """

    own: float
    shared: float


def reading(pid: int) -> Reading:
    """Read a process's mappings.

    Raises:
        OSError: it is gone.
    """
    own, shared, images = 0, 0, False
    for line in Path(f"/proc/{pid}/smaps").read_text(encoding="utf-8").splitlines():
        first, *rest = line.split(maxsplit=5)
        if not first.endswith(":"):  # a mapping: addresses, rights, offset, device, inode, path
            images = "/cnnsearch/decoded/" in rest[-1] if rest else False
        elif first == "Pss:":
            kilobytes = int(rest[0])
            own, shared = own + (not images) * kilobytes, shared + images * kilobytes
    return Reading(own * 1024 / 1e6, shared * 1024 / 1e6)


def workers(coordinator: int) -> Iterator[int]:
    """The processes that were forked for a coordinator from the one that loads torch."""
    for child in machine.children(coordinator):
        with suppress(OSError):
            if b"forkserver" in Path(f"/proc/{child}/cmdline").read_bytes():
                yield from machine.children(child)


def watch(process: subprocess.Popen[bytes]) -> dict[int, list[Reading]]:
    """Read all workers of a coordinator until it ends."""
    found: dict[int, list[Reading]] = defaultdict(list)
    while process.poll() is None:
        started = time.perf_counter()
        for pid in workers(process.pid):
            with suppress(OSError):
                found[pid].append(reading(pid))
        time.sleep(max(0.0, INTERVAL_S - (time.perf_counter() - started)))
    return found


def summary(pid: int, readings: Sequence[Reading]) -> list[float]:
    """A worker's row."""
    training = [one for one in readings if one.shared] or list(readings)
    return [
        pid,
        len(training),
        statistics.median(one.own for one in training),
        max(one.own for one in readings),
        max(one.shared for one in readings),
    ]


def main(arguments: Sequence[str]) -> int:
    """Run a search and watch its workers."""
    parser = argparse.ArgumentParser(
        "bench memory", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", type=Path, required=True, help="the CIFAR-10 images by class")
    parser.add_argument("--images", type=int, default=2000, help="trained on (2000)")
    given = parser.parse_args(arguments)
    if not Path("/proc/self/smaps").exists():
        print("memory is read from /proc, which this system does not have")
        return 1
    print(machine.describe())
    workload = WORKLOADS["cifar10"]
    work = Work(workload, given.root.resolve(), given.images, 1, workload.rates[:1])
    config = work.config()
    config["data"] = {**config["data"], "validation": 0.1}
    print(
        f"work: conv 32-64, {work.trials} trials of one epoch of {given.images} images, batch 128"
    )
    with tempfile.TemporaryDirectory() as place:
        os.environ["XDG_CACHE_HOME"] = f"{place}/cache"
        decode_once(work)
        (Path(place) / "search.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
        command = [sys.executable, "-m", "cnnsearch", "run", "search.yaml", "-j", "2"]
        null = subprocess.DEVNULL
        with subprocess.Popen(command, cwd=place, stdout=null, stderr=null) as process:
            found = watch(process)
    if process.returncode != 0 or not found:
        print(f"run ended with {process.returncode}, {len(found)} workers seen")
        return 1
    rows = [summary(pid, readings) for pid, readings in found.items()]
    print()
    print_table(Table(COLUMNS, rows))
    median, peak = (max(row[place] for row in rows) for place in (2, 3))
    print(f"\nat most {MEDIAN_MB} MB in the median and {PEAK_MB} MB at the peak are allowed")
    return 1 if median > MEDIAN_MB or peak > PEAK_MB else 0
