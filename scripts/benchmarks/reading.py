"""How long `cnnsearch list` takes with 10,000 trials, and `cnnsearch --help`.

Each is the wall time of the whole command, the median of a few. Fails above 2.5 s and 0.3 s.

    scripts/bench reading
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import machine
from cnnsearch.render.table import Column, Table, print_table
from tests.studies import multiply, write_study

TRIALS = 10_000
MOST_S = {("list", "digits"): 2.5, ("--help",): 0.3}
COLUMNS = (
    Column("command"),
    Column("seconds", lambda s: f"{s:.2f}", right=True),
    Column("CPU seconds", lambda s: f"{s:.2f}", right=True),
    Column("at most", right=True),
)


def timed(words: Sequence[str], folder: Path, times: int) -> tuple[float, float]:
    """Median wall and CPU seconds of `cnnsearch WORDS` in a folder."""
    walls, used = [], []
    for _ in range(times):
        before, started = os.times(), time.perf_counter()
        command = [sys.executable, "-m", "cnnsearch", *words]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        walls.append(time.perf_counter() - started)
        # Of children: their user and their system time.
        used.append(sum(os.times()[2:4]) - sum(before[2:4]))
    return statistics.median(walls), statistics.median(used)


def main(arguments: Sequence[str]) -> int:
    """Write a study of 10,000 trials and read it."""
    parser = argparse.ArgumentParser(
        "bench reading", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--trials", type=int, default=TRIALS)
    given = parser.parse_args(arguments)
    print(machine.describe())
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_study(folder / "cnnsearch.db")
        multiply(folder / "cnnsearch.db", given.trials)
        found = {words: timed(words, folder, given.times) for words in MOST_S}
    rows = [[f"cnnsearch {' '.join(words)}", *found[words], MOST_S[words]] for words in MOST_S]
    print(f"work: a study of {given.trials} trials; medians of {given.times}\n")
    print_table(Table(COLUMNS, rows))
    return 1 if any(found[words][0] > MOST_S[words] for words in MOST_S) else 0
