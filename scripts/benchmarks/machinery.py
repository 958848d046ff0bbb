"""What the machinery costs: the coordinator's CPU time per trial, as its study grows.

Nothing is trained. The real coordinator, storage and display run trials of five epochs with probes
that an executor of this script plays, as pickled as they come from workers: quick ones, all at
once, in lines; and slow ones, whose clock goes on by a second from message to message, in a live
table, so that each report is stored by itself and each epoch drawn. Between the sizes the study is
filled with copies of its trials, by SQL, and the coordinator goes on in it. In turn with it
Optuna's bare ask, four suggests, five reports and tell, in a storage that is opened as ours and
grows alike. Process CPU time in milliseconds a trial.

Fails where a trial costs more than 70 ms, or the dearest size more than 1.5 times the cheapest.
With pruners it is printed only.

    python scripts/benchmarks/machinery.py
    python scripts/benchmarks/machinery.py --thousand

`--thousand` runs 1,000 real trials of one step each with `cnnsearch run -j 2` and tells where the
time goes; it fails above 90 s.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import optuna
from rich.console import Console

from benchmarks import machine
from benchmarks.played import EPOCHS, Clock, Played
from cnnsearch import catalog, records
from cnnsearch.config.config import Config
from cnnsearch.config.sections import Abort, Data, Model, Search, Train
from cnnsearch.plan import remaining
from cnnsearch.render import display as shown
from cnnsearch.render.display import Display, LineDisplay, LiveDisplay
from cnnsearch.render.progress import SearchProgress
from cnnsearch.render.table import Column, Table, print_table
from cnnsearch.search import Coordinator, Limits
from cnnsearch.space import Choice, Range, Space
from cnnsearch.study import store
from cnnsearch.study.database import open_storage
from cnnsearch.study.samplers import optuna_distributions
from cnnsearch.study.store import Study

SIZES = (100, 300, 1_000, 3_000, 10_000)
MOST_MS = 70.0
FLAT = 1.5
THOUSAND_S = 90.0
SPACE: Space = {
    "lr": Range(1e-5, 1.0, log=True),
    "init": Choice(("he", "xavier", "normal:0.01")),
    "activation": Choice(("relu", "tanh", "elu")),
    "batchnorm": Choice((True, False)),
}
THOUSAND = """\
device: cpu
data: {name: digits, limit: 20, validation: 20}
model: {conv: [], hidden: []}
train: {epochs: 1, batch_size: 20}
search: {sampler: random, trials: 1000}
space:
  lr: {low: 1e-4, high: 1e-1, log: true}
  init: [he, xavier]
"""
COLUMNS = (
    Column("display"),
    Column("pace"),
    Column("pruner"),
    Column("trials", lambda n: f"{n:,}", right=True),
    Column("ours ms", lambda ms: f"{ms:.1f}", right=True),
    Column("Optuna ms", lambda ms: f"{ms:.1f}", right=True),
    Column("", lambda ms: "#" * round(ms)),
)
COPY = (
    "INSERT INTO trials (number, study_id, state, datetime_start, datetime_complete) SELECT ?,"
    " study_id, state, datetime_start, datetime_complete FROM trials WHERE trial_id = ?"
)
# What a trial has in each other table.
COPIED = {
    "trial_values": "objective, value, value_type",
    "trial_params": "param_name, param_value, distribution_json",
    "trial_intermediate_values": "step, intermediate_value, intermediate_value_type",
    "trial_user_attributes": "key, value_json",
}
POINT = (
    "UPDATE trial_user_attributes SET value_json = json_set(value_json, '$.key', ?, '$.point', ?)"
    " WHERE trial_id = ? AND key = 'begun'"
)


def config_of(study: str, pruner: str) -> Config:
    """A search of as many trials as the largest size."""
    return Config(
        study=study, seed=0, device="cpu", threads=1,
        data=Data(name="digits"), model=Model(conv=[32, 64], hidden=[128]),
        train=Train(epochs=EPOCHS), abort=Abort(),
        search=Search(trials=2 * SIZES[-1], pruner=pruner), space=SPACE,
    )  # fmt: skip


def fill(storage: Path, wanted: int, starts: deque[records.Start]) -> None:
    """Copy the only study's trials until there are `wanted`; each takes a point of `starts`."""
    with closing(sqlite3.connect(storage, timeout=60)) as connection, connection:
        told = "SELECT trial_id FROM trials WHERE state != 'RUNNING'"
        ids = [row[0] for row in connection.execute(told)]
        (there,) = connection.execute("SELECT count(*) FROM trials").fetchone()
        for number in range(there, wanted):
            source = ids[number % len(ids)]
            copy = connection.execute(COPY, (number, source)).lastrowid
            for table, columns in COPIED.items():
                copied = f"SELECT ?, {columns} FROM {table} WHERE trial_id = ?"
                insert = f"INSERT INTO {table} (trial_id, {columns}) {copied}"
                connection.execute(insert, (copy, source))
            if starts:
                start = starts.popleft()
                connection.execute(POINT, (start.key, start.point, copy))


@dataclass
class Ours:
    """A search under way, that can be let run so many trials further."""

    storage: Path
    study: Study
    events: Generator[records.Event]
    display: Display
    progress: SearchProgress
    starts: deque[records.Start]
    ended: int = 0
    last: records.Ended | None = None

    def run(self, count: int) -> float:
        """CPU time in ms per trial, of the next `count`."""
        until = self.ended + count
        started = time.process_time()
        for event in self.events:
            self.display.show(event)
            if isinstance(event, records.Ended):
                self.ended, self.last = self.ended + 1, event
                if self.ended == until:
                    break
        return 1000 * (time.process_time() - started) / count

    def grow(self, wanted: int) -> None:
        """Fill the storage, and tell the display of as many trials."""
        assert self.last is not None
        before = list(self.starts)
        fill(self.storage, wanted, self.starts)
        for start in before[: len(before) - len(self.starts)]:
            self.ended += 1
            trial = replace(self.last.trial, key=start.key, number=-self.ended)
            self.progress.take(records.Began(trial))
            self.progress.take(records.Ended(trial))


@contextmanager
def ours(folder: Path, show: str, pace: str, pruner: str) -> Iterator[Ours]:
    """A new study of its own storage."""
    name = f"{show}-{pace}-{pruner}"
    storage, config, count = folder / f"{name}.db", config_of(name, pruner), 2 * SIZES[-1]
    study = Study.claim(str(storage), config, "0" * 64, count)
    starts = remaining(config, [], count)
    clock = Clock() if pace == "slow" else None
    events = Coordinator(study, config, Played(clock), Limits()).run(starts)
    assert isinstance(events, Generator)
    progress = SearchProgress([], len(starts), "maximize", 2)
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        console = Console(file=nowhere, force_terminal=show == "live", width=120, height=40)
        display: Display = (
            LiveDisplay(console, progress, "val_accuracy", EPOCHS)
            if show == "live"
            else LineDisplay(console, progress, "val_accuracy")
        )
        with ExitStack() as stack:
            for module in (store, shown) if clock else ():
                stack.enter_context(mock.patch.object(module, "time", clock))
            stack.enter_context(display)
            stack.enter_context(closing(events))
            yield Ours(storage, study, events, display, progress, starts)
    study.release()


class Bare:
    """Optuna's own loop, in a storage that is opened as ours."""

    def __init__(self, storage: Path) -> None:
        self.storage = storage
        self.study = optuna.create_study(
            storage=open_storage(str(storage)),
            sampler=optuna.samplers.RandomSampler(seed=0),
            pruner=optuna.pruners.NopPruner(),
            direction="maximize",
        )

    def run(self, count: int) -> float:
        """CPU time in ms per trial of the next `count`."""
        started = time.process_time()
        for _ in range(count):
            trial = self.study.ask(dict(optuna_distributions(SPACE)))  # which suggests all of them
            for step in range(1, EPOCHS + 1):
                trial.report(step / 10, step)
            self.study.tell(trial, 0.5)
        return 1000 * (time.process_time() - started) / count

    def grow(self, wanted: int) -> None:
        """Fill the storage."""
        fill(self.storage, wanted, deque())


def curve(kind: tuple[str, str, str], given: argparse.Namespace) -> Iterator[list[Any]]:
    """Rows of the table for a display, pace and pruner: ours and Optuna's cost at each size.

    Least of three windows each, in turns: what others do on the machine only adds.
    """
    bare = Bare(Path("-".join((*kind, "optuna.db"))))
    with ours(Path(), *kind) as search:
        both = (search, bare)
        for one in both:
            one.run(given.window)  # what is loaded once
        for size in given.sizes:
            for one in both:
                one.grow(size - 3 * given.window // 2)  # the windows' middle is the size
            costs = [[one.run(given.window) for one in both] for _ in range(3)]
            yield [*kind, size, *map(min, zip(*costs, strict=True))]


def measure(given: argparse.Namespace) -> int:
    """Print the curves; 1 where a search without a pruner is too dear."""
    rows = []
    pruners = ["none", *(name for name in ("median", "asha") if name in catalog.PRUNERS)]
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        for kind in [("line", "quick", "none"), *(("live", "slow", name) for name in pruners)]:
            rows += [[*row, row[4]] for row in curve(kind, given)]
    print_table(Table(COLUMNS, rows))
    return max(
        judged(f"{show}, {pace}", [row[4] for row in rows if row[:3] == [show, pace, "none"]])
        for show, pace in (("line", "quick"), ("live", "slow"))
    )


def judged(kind: str, costs: Sequence[float]) -> int:
    """Say how a curve stands to its limits; 1 where it is above one."""
    growth = max(costs) / min(costs)
    print(f"{kind}: at most {max(costs):.1f} ms (limit {MOST_MS:.0f}), "
          f"largest over smallest {growth:.2f} (limit {FLAT})")  # fmt: skip
    return int(max(costs) > MOST_MS or growth > FLAT)


def thousand(trials: int) -> int:
    """Run real trials of one step and tell where the time goes; 1 where it takes too long."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "thousand.yaml").write_text(THOUSAND, encoding="utf-8")
        words = ["run", "thousand.yaml", "-j", "2", "-n", str(trials)]
        started = time.monotonic()
        command = [sys.executable, "-m", "cnnsearch", *words]
        cpu: dict[int, float] = {}
        with subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL) as process:
            while process.poll() is None:
                cpu |= cpu_seconds(process.pid)
                time.sleep(0.1)
        seconds = time.monotonic() - started
    allowed = THOUSAND_S * trials / 1000
    print(f"{trials} trials in {seconds:.1f} s (limit {allowed:.0f}), exit {process.returncode}")
    for pid, used in cpu.items():
        who = "coordinator" if pid == process.pid else f"process {pid}"
        print(f"  {who}: CPU {used:.1f} s, {1000 * used / trials:.1f} ms a trial of the search")
    return int(seconds > allowed or process.returncode != 0)


def cpu_seconds(pid: int) -> dict[int, float]:
    """CPU time so far of a process and of those below it (Linux: from /proc)."""
    tick, found = os.sysconf("SC_CLK_TCK"), {}
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        found[pid] = (int(fields[11]) + int(fields[12])) / tick
    for child in machine.children(pid):
        found |= cpu_seconds(child)
    return found


def main(arguments: Sequence[str]) -> int:
    """Measure; 1 where it is too dear."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--window", type=int, default=25, help="trials measured at a time")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--thousand", action="store_true")
    parser.add_argument("--trials", type=int, default=1000, help="of --thousand")
    given = parser.parse_args(arguments)
    return thousand(given.trials) if given.thousand else measure(given)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
