"""The SQLite file locked, copied while it is written, and without room."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from faulting.invariants import Found, rerun
from faulting.plans import PLAN
from faulting.processes import FaultError, SkippedError
from faulting.scenario import Command, Scenario
from faulting.setting import Setting

# One copy in so many is opened and continued, which takes a whole search.
_SAMPLE = 50
_PAGES = (-1, 16, 64)
# Room for the database of an empty study and a few trials; what is left is taken away.
_DISK_KB = 4096
_GONE = "the storage is back"


def is_whole(path: str | Path) -> bool:
    """Whether SQLite finds nothing wrong with a database."""
    with closing(sqlite3.connect(path)) as connection:
        return [row[0] for row in connection.execute("PRAGMA integrity_check")] == ["ok"]


def locked_shortly(setting: Setting, times: int) -> Found:
    """Another program locks the database for 8 s: the search waits."""
    found = Found()
    setting.undisturbed(PLAN)
    for _ in range(times):
        scenario = setting.scenario(PLAN)
        command = scenario.run()
        scenario.moment(command, setting.draws)
        with locked(scenario.storage):
            time.sleep(8 * setting.scale)
            found.expect(command.runs, f"ended while locked: {command.last}")
        command.done()
        found.tried += 1
        found.add(_with_nothing_rerun(setting, scenario))
    return found


def locked_long(setting: Setting, times: int) -> Found:
    """For 90 s: results wait for it; or, where patience is short, a message, and it continues."""
    found = Found()
    setting.undisturbed(PLAN)
    for number in range(times):
        scenario = setting.scenario(PLAN)
        patient = number % 2 == 0
        command = scenario.run("--storage-patience", "10m" if patient else "5s")
        scenario.moment(command, setting.draws)
        with locked(scenario.storage):
            if patient:
                time.sleep(90)
            else:
                began = time.monotonic()
                command.done(4)
                found.notes.append(f"stopped after {time.monotonic() - began:.0f} s")
        if patient:
            command.told(_GONE)
            command.done()
        else:
            found.expect("database is locked" in command.talk, f"no reason told: {command.last}")
            scenario.look()
            scenario.run().done()
        found.tried += 1
        found.add(_with_nothing_rerun(setting, scenario, running=0 if patient else 2))
    return found


@contextmanager
def locked(path: str) -> Iterator[None]:
    """Nobody else can read or write a database meanwhile."""
    with closing(sqlite3.connect(path, isolation_level=None, timeout=30)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield
        connection.execute("ROLLBACK")


def _with_nothing_rerun(setting: Setting, scenario: Scenario, running: int = 0) -> Found:
    """Check a search in which nothing but what ran at its early end may have run again."""
    found = setting.check(scenario)
    again = rerun(scenario)
    found.expect(again <= running, f"{again} trials were run again")
    return found


def backups(setting: Setting, times: int) -> Found:
    """Copies by SQLite's own backup while trials are written; some are continued."""
    found = Found()
    setting.undisturbed(PLAN)
    kept: list[Path] = []
    while found.tried < times:
        scenario = setting.scenario(PLAN)
        command = scenario.run()
        scenario.begun(command)
        while command.runs and found.tried < times:
            copy = setting.folder("backup") / "cnnsearch.db"
            copy.parent.mkdir()
            backup(scenario.storage, copy, setting.draws.choice(_PAGES))
            found.expect(is_whole(copy), "integrity_check of a copy")
            if setting.draws.random() < 1 / _SAMPLE or (not kept and found.tried == times - 1):
                kept.append(copy)
            else:
                shutil.rmtree(copy.parent)
            found.tried += 1
        command.done()
        found.add(setting.check(scenario))
    for copy in kept:
        continued = setting.scenario(PLAN)
        copy.rename(continued.storage)
        found.add(setting.complete(continued))
    found.notes.append(f"{len(kept)} copies continued")
    return found


def backup(path: str, copy: Path, pages: int) -> None:
    """Copy a database with SQLite's backup, so many pages at a time."""
    with closing(sqlite3.connect(path, timeout=60)) as source, closing(sqlite3.connect(copy)) as to:
        source.backup(to, pages=pages, sleep=0.001)


def disk_full(setting: Setting, times: int) -> Found:
    """No room for the database: results wait until there is some."""
    found = Found()
    setting.undisturbed(PLAN)
    for _ in range(times):
        folder = setting.folder("disk")
        with disk(folder):
            scenario = setting.scenario(PLAN, str(folder / "cnnsearch.db"))
            command = scenario.run()
            scenario.moment(command, setting.draws, 0.3)  # a quick machine ends within a second
            ballast = fill(folder)
            command.told("full")
            ballast.unlink()
            command.told(_GONE)
            command.done()
            found.tried += 1
            found.add(_with_nothing_rerun(setting, scenario))
    return found


def disk_full_runs(setting: Setting, times: int) -> Found:
    """No room for the trials' folders: a clear message, and it continues."""
    found = Found()
    setting.undisturbed(PLAN)
    for _ in range(times):
        scenario = setting.scenario(PLAN)
        runs = scenario.folder / "runs"
        with disk(runs):
            found.add(_until_there_is_room(setting, scenario, runs))
    return found


def disk_full_both(setting: Setting, times: int) -> Found:
    """No room for anything, and no patience: a clear message, and it continues."""
    found = Found()
    setting.undisturbed(PLAN)
    for _ in range(times):
        folder = setting.folder("disk")
        with disk(folder):
            scenario = setting.scenario(PLAN, str(folder / "cnnsearch.db"))
            (folder / "runs").mkdir()
            (scenario.folder / "runs").symlink_to(folder / "runs")
            found.add(_until_there_is_room(setting, scenario, folder))
    return found


def _until_there_is_room(setting: Setting, scenario: Scenario, folder: Path) -> Found:
    """Fill the disk of a search, which ends; make room, and complete it."""
    found = Found(tried=1)
    command = scenario.run("--storage-patience", "3s")
    scenario.moment(command, setting.draws)
    ballast = fill(folder)
    code = command.code(90)
    found.expect(code in (1, 4), f"exit code {code} without room")
    found.expect(_tells_of_room(command), f"no word of the disk: {command.last}")
    ballast.unlink()
    found.notes.append(f"{code}: {command.last}")
    found.add(setting.complete(scenario))
    return found


def _tells_of_room(command: Command) -> bool:
    return any(word in command.talk for word in ("No space left", "disk is full", "disk I/O"))


@contextmanager
def disk(folder: Path) -> Iterator[None]:
    """A small disk of its own at a folder; needs root.

    Raises:
        SkippedError: it cannot be had.
    """
    folder.mkdir(parents=True)
    size = f"size={_DISK_KB}k"
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(folder)], capture_output=True, text=True
    )
    if done.returncode:
        raise SkippedError(f"no small disk: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Take all room of a disk; the file that does."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (65536, 4096, 1):
            try:
                while file.write(b"x" * size):
                    pass
            except OSError:
                continue
    if not ballast.stat().st_size:
        raise FaultError("the disk was full already")
    return ballast
