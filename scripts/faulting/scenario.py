"""A search in a folder of its own: started, disturbed, continued and looked at."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from faulting.plans import Plan
from faulting.processes import MARK, FaultError, is_alive, marked, until, workers

CNNSEARCH = [sys.executable, "-m", "cnnsearch"]
ROOT = Path(__file__).resolve().parents[2]
END_S = 300
"""So long an undisturbed end may take on a busy machine."""
BEGIN_S = 120


class Command:
    """One `cnnsearch` that runs, with what it has told so far."""

    def __init__(
        self,
        words: Sequence[str],
        folder: Path,
        environment: Mapping[str, str],
        talk: Path,
        limits: Callable[[], None] | None = None,
    ) -> None:
        self._talk = talk
        self.began = time.time()
        with talk.open("wb") as err, talk.with_suffix(".out").open("wb") as out:
            self.process = subprocess.Popen(
                words,
                cwd=folder,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
                preexec_fn=limits,
            )
        self.pid = self.process.pid

    @property
    def talk(self) -> str:
        """What it has written to stderr."""
        return self._talk.read_text("utf-8", errors="replace")

    @property
    def out(self) -> str:
        """What it has written to stdout."""
        return self._talk.with_suffix(".out").read_text("utf-8", errors="replace")

    @property
    def runs(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    @property
    def ended(self) -> int:
        """Trials that it has told the end of."""
        return sum(line.startswith("[") for line in self.talk.splitlines())

    def workers(self) -> list[int]:
        """Its processes that train."""
        return workers(self.pid)

    def send(self, number: signal.Signals, group: bool = False) -> None:
        """Send a signal, unless it has ended."""
        if self.runs:
            (os.killpg if group else os.kill)(self.pid, number)

    def kill(self) -> None:
        """SIGKILL, and wait for its death; its workers have to notice by themselves."""
        self.send(signal.SIGKILL)
        self.process.wait()

    def code(self, seconds: float = END_S) -> int:
        """Wait for its end.

        Raises:
            FaultError: it did not end in time.
        """
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise FaultError(f"{seconds:.0f} s and no end; last: {self.last}") from None

    def done(self, code: int = 0, seconds: float = END_S) -> None:
        """Wait for its end.

        Raises:
            FaultError: it ended with another exit code.
        """
        found = self.code(seconds)
        if found != code:
            raise FaultError(f"exit code {found} instead of {code}; last: {self.last}")

    def told(self, text: str, seconds: float = END_S) -> None:
        """Wait until it says so, or ends."""
        until(lambda: text in self.talk or not self.runs, seconds, f"{text!r}")
        if text not in self.talk:
            raise FaultError(f"ended without {text!r}; last: {self.last}")

    @property
    def last(self) -> str:
        """Its last word."""
        return (self.talk.strip().splitlines() or ["nothing"])[-1]


@dataclass
class Scenario:
    """One search from its first command to its last.

    Args:
        storage: as its commands reach it; `reached`: as this process does.
        within: what its commands begin with, to run elsewhere.
    """

    plan: Plan
    folder: Path
    storage: str = "cnnsearch.db"
    within: Sequence[str] = ()
    reached: str = ""
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    commands: list[Command] = field(default_factory=list)
    settled: dict[str, str] = field(default_factory=dict)
    changed_files: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "search.yaml").write_text(self.plan.text, encoding="utf-8")
        if "://" not in self.storage:
            self.storage = str(self.folder / self.storage)
        self.reached = self.reached or self.storage

    @property
    def trials(self) -> Path:
        """Where the folders of trials are."""
        return self.folder / "runs" / self.plan.name

    def environment(self) -> dict[str, str]:
        """Of its commands."""
        # One for all scenarios of a run; the folder's parent is that of the bench.
        kept = {name: str(self.folder.parent / name.lower()) for name in _KEPT}
        mine = {MARK: self.mark, "PYTHONPATH": str(ROOT), "CNNSEARCH_STORAGE": self.storage}
        return {**os.environ, **kept, **mine}

    def start(
        self,
        *words: str,
        limits: Callable[[], None] | None = None,
        through: Sequence[str] = (),
    ) -> Command:
        """Start a verb.

        Args:
            through: a command that runs it.
        """
        talk = self.folder / f"command-{len(self.commands)}.txt"
        command = Command(
            [*self.within, *through, *CNNSEARCH, *words],
            self.folder,
            self.environment(),
            talk,
            limits,
        )
        self.commands.append(command)
        return command

    def run(self, *words: str, limits: Callable[[], None] | None = None) -> Command:
        """Start or continue the search, with two workers unless told otherwise."""
        jobs = () if "-j" in words else ("-j", "2")
        return self.start("run", "search.yaml", *jobs, *words, limits=limits)

    def begun(self, command: Command) -> bool:
        """Wait until a trial of this command trains; False where it ended before."""
        logs = self.trials.glob

        def trains() -> bool:
            if command.ended or not command.runs:
                return True
            return any(_newer(log, command.began) for log in logs(".*.partial/log.txt"))

        until(trains, BEGIN_S, "a trial to begin")
        return command.runs

    def moment(self, command: Command, draws: random.Random, most_s: float = 1.5) -> bool:
        """Wait until a trial trains, and then for a random moment; False where it ended."""
        if self.begun(command):
            time.sleep(draws.uniform(0, most_s))
        return command.runs

    def look(self) -> None:
        """Note what the folders of ended trials hold, and which of them are not as they were."""
        found = {path.name: _digest(path) for path in self.trials.glob("[0-9]*") if path.is_dir()}
        self.changed_files |= {
            name for name, digest in self.settled.items() if found.get(name) != digest
        }
        self.settled.update(found)

    def left(self) -> list[int]:
        """Its processes that still live, whatever has become of their parents."""
        return [pid for pid in marked(self.mark) if is_alive(pid)]

    def kill_all(self) -> None:
        """SIGKILL everything of it."""
        for pid in self.left():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        for command in self.commands:
            command.process.wait()
        until(lambda: not self.left(), 10, "the death of all processes")

    def copied(self, folder: Path) -> Scenario:
        """The same search in a copy of the folder: files of the database with its journal."""
        shutil.copytree(self.folder, folder)
        copy = Scenario(self.plan, folder)
        copy.settled = dict(self.settled)
        copy.look()
        return copy


_KEPT = ("XDG_CACHE_HOME", "XDG_STATE_HOME")


def _newer(path: Path, than: float) -> bool:
    try:
        return path.stat().st_mtime > than
    except OSError:
        return False


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            digest.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
