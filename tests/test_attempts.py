"""Trials that are lost, run out of memory or get stuck: what becomes of them."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from cnnsearch import runner
from cnnsearch import search as coordinator
from cnnsearch.config.sections import Data, Folds
from cnnsearch.errors import CnnsearchError, StorageGoneError
from cnnsearch.executors import Lost, Message
from cnnsearch.executors.local import oom_kills
from cnnsearch.records import Ended, Outcome, Start, State, Trial
from cnnsearch.search import Limits
from cnnsearch.study import writer
from cnnsearch.study.store import Study
from tests.builders import digits_config
from tests.test_search import Scripted, epoch, search, trials

NO_MEMORY = Outcome(State.FAILED, "CUDA out of memory", {"out_of_memory": True, "type": "Oom"})


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


class Watched(Scripted):
    """Tells which tasks ran beside each other, and forgets those that are killed."""

    def __init__(self, script: dict[int, list[object]]) -> None:
        super().__init__(script)  # type: ignore[arg-type]
        self.beside: dict[int, set[int]] = {}
        self.killed: list[int] = []

    def wait(self, timeout: float) -> Sequence[Message]:
        for task in self.tasks:
            self.beside.setdefault(task.number, set()).update(one.number for one in self.tasks)
        return super().wait(timeout)

    def kill(self, number: int) -> None:
        self.killed.append(number)
        self.tasks = [task for task in self.tasks if task.number != number]


class OneByOne(Scripted):
    slots = 1


@pytest.mark.parametrize(
    "out", [NO_MEMORY, Lost("its worker was killed by SIGKILL", out_of_memory=True)]
)
def test_out_of_memory_is_tried_again_alone(out: Outcome | Lost) -> None:
    """When all others have ended, and only once more."""
    executor = Watched({1: [out]})
    search(digits_config(trials=5), executor)
    found = trials()
    assert [t.state for t in found] == [*[State.COMPLETE], State.KILLED, *[State.COMPLETE] * 4]
    assert "to be tried again alone" in (found[1].reason or "")
    assert (found[5].key, found[5].attempt) == ("1", 2)
    assert executor.beside[5] == {5}
    assert len(executor.beside[2]) > 1


def test_out_of_memory_alone_is_a_failure() -> None:
    """And the trials after it run."""
    search(digits_config(trials=3), Watched({0: [NO_MEMORY], 3: [NO_MEMORY]}))
    found = trials()
    assert [t.state for t in found] == [
        State.KILLED, State.COMPLETE, State.COMPLETE, State.FAILED
    ]  # fmt: skip
    assert found[3].reason == "alone too: CUDA out of memory"


def test_a_trial_that_tells_nothing_has_failed() -> None:
    """Its worker is ended; what tells something in time goes on."""

    class Stuck(Watched):
        def wait(self, timeout: float) -> Sequence[Message]:
            stuck = [task for task in self.tasks if task.number == 0]
            self.tasks = [task for task in self.tasks if task.number != 0]
            try:
                return super().wait(timeout)
            finally:
                self.tasks += stuck

    executor = Stuck({})
    search(digits_config(trials=3), executor, limits=Limits(trial_timeout_s=0.05))
    found = trials()
    assert [t.state for t in found] == [State.FAILED, State.COMPLETE, State.COMPLETE]
    assert "--trial-timeout" in (found[0].reason or "")
    assert executor.killed == [0]


def test_a_stuck_trial_is_ended_while_others_tell_much() -> None:
    class Stuck(Watched):
        def wait(self, timeout: float) -> Sequence[Message]:
            return [one for one in super().wait(timeout) if one.number]

    events = search(digits_config(trials=40), Stuck({0: [epoch(1)]}), limits=Limits(None, 0.05))
    order = [event.trial.number for event in events if isinstance(event, Ended)]
    assert order[-1] == 39
    assert trials()[0].state is State.FAILED


def test_the_storage_goes_as_a_trial_is_to_be_tried_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not asked again meanwhile, and the trial is not lost."""
    monkeypatch.setattr(writer, "_FIRST_PAUSE_S", 0.0)
    begin, calls = Study.begin, count(1)

    def gone(study: Study, start: Start) -> Trial:
        assert study.gone is None
        if next(calls) in (2, 4):
            raise StorageGoneError("gone")
        return begin(study, start)

    monkeypatch.setattr(Study, "begin", gone)
    search(digits_config(trials=2), OneByOne({0: [NO_MEMORY]}))
    assert [(t.key, t.attempt, t.state) for t in trials()] == [
        ("0", 1, State.KILLED), ("1", 1, State.COMPLETE), ("0", 2, State.COMPLETE)
    ]  # fmt: skip


def test_folds_of_a_trial_that_is_tried_alone_run_one_by_one() -> None:
    class Alone(Watched):
        def wait(self, timeout: float) -> Sequence[Message]:
            again = [task for task in self.tasks if ".1.partial" in task.folder]
            assert len(again) <= 1
            return super().wait(timeout)

    data = Data(name="digits", validation=Folds(folds=3))
    config = replace(digits_config(trials=1), data=data)
    search(config, Alone({0: [NO_MEMORY]}))
    assert [t.state for t in trials()] == [State.KILLED, State.COMPLETE]


def test_no_room_for_the_folder_of_a_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line that names it; nothing is left running, and the next run goes on."""
    write = Path.write_text

    def full(path: Path, *words: str, **options: str) -> int:
        if ".1.partial" in str(path):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(path, *words, **options)

    config = digits_config(trials=3)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        with pytest.raises(CnnsearchError) as caught:
            search(config, Scripted({}), limits=Limits(fused=2))
    file = Path("runs/digits/.1.partial/config.yaml")
    assert f"cannot write {file}: No space left on device." in str(caught.value)
    assert (caught.value.exit_code, len(str(caught.value).splitlines())) == (1, 1)
    assert {t.state for t in trials()} == {State.KILLED}
    search(config, Scripted({}))
    assert {t.state for t in trials() if t.attempt > 1 or t.key == "2"} == {State.COMPLETE}


def test_what_is_fused_with_a_stuck_trial_runs_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Group 0 and 1: trial 1 has told an epoch a moment before."""

    now = 0.0

    class Halting(Watched):
        told = 0

        def wait(self, timeout: float) -> Sequence[Message]:
            if not {0, 1} & {task.number for task in self.tasks}:
                return super().wait(timeout)
            nonlocal now
            now += 0.1
            self.told += 1
            return [Message(1, epoch(self.told))] if self.told % 2 else []

    monkeypatch.setattr(coordinator, "time", SimpleNamespace(monotonic=lambda: now))
    config = digits_config(trials=2)
    limits = Limits(trial_timeout_s=0.35, fused=2)
    search(config, Halting({}), limits=limits)
    found = trials()
    assert found[0].state is State.FAILED
    assert found[1].state is State.KILLED
    assert (found[2].key, found[2].state) == ("1", State.COMPLETE)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory."), True),
        (ValueError("can't allocate memory"), False),
        (RuntimeError("shapes"), False),
    ],
)
def test_what_is_out_of_memory(error: Exception, expected: bool) -> None:
    assert runner.is_out_of_memory(error) is expected


def test_torch_out_of_memory_on_a_cpu() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60)
    assert runner.is_out_of_memory(caught.value)


def test_kills_of_the_system_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events = tmp_path / "memory.events"
    events.write_text("low 0\noom 3\noom_kill 2\n")
    monkeypatch.setattr("cnnsearch.executors.local._OOM_COUNTS", (events, tmp_path / "absent"))
    assert oom_kills() == 2
