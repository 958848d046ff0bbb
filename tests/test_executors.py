"""One contract for all executors, and what only processes can do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from cnnsearch.errors import CnnsearchError
from cnnsearch.executors import Executor, Lost, Message, processes
from cnnsearch.executors.cluster import Cluster
from cnnsearch.executors.inline import InlineExecutor
from cnnsearch.executors.local import LocalExecutor
from cnnsearch.executors.ray import RayExecutor
from cnnsearch.records import (
    Checkpointing,
    EpochResult,
    KeptWeights,
    Outcome,
    Prepared,
    State,
    Task,
)
from tests.builders import digits_config
from tests.clusters import on_ray
from tests.waiting import until

ROOT = Path(__file__).parents[1]


def task(folder: Path, number: int, waits: bool = False, **train: object) -> Task:
    config = digits_config(train=train).at({}, seed=number)
    place = folder / str(number)
    place.mkdir()
    return Task(number, config.plain(), str(place), waits)


def drain(executor: Executor, count: int = 1) -> list[Message]:
    """Messages until `count` trials have ended."""
    messages: list[Message] = []
    deadline = time.monotonic() + 200
    while sum(isinstance(m.content, Outcome | Lost) for m in messages) < count:
        assert time.monotonic() < deadline, messages
        messages.extend(executor.wait(1))
    return messages


def first_epoch(executor: Executor) -> Message:
    """The next message that is no beginning."""
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline:
        for message in executor.wait(1):
            if not isinstance(message.content, Prepared):
                return message
    raise AssertionError("no message")


@pytest.fixture(
    params=["inline", "local", pytest.param("ray", marks=pytest.mark.xdist_group("ray"))]
)
def executor(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Executor]:
    if request.param == "ray":
        yield request.getfixturevalue("ray_executor")
        return
    made: Executor = (
        InlineExecutor() if request.param == "inline" else LocalExecutor(1, tmp_path / "workers")
    )
    yield made
    made.close()


@pytest.fixture(scope="module")
def ray_executor(cluster: Cluster) -> Iterator[RayExecutor]:
    """One for all tests: its workers need seconds to begin."""
    made = on_ray(cluster)
    yield made
    made.close()


def submit(executor: Executor, *tasks: Task) -> None:
    """As soon as there is a worker for it."""
    deadline = time.monotonic() + 200
    while not executor.slots:
        assert time.monotonic() < deadline, "no worker"
        assert not executor.wait(0.1)
    executor.submit(tasks)


class TestContract:
    def test_the_beginning_then_epochs_then_the_outcome(
        self, executor: Executor, tmp_path: Path
    ) -> None:
        submit(executor, task(tmp_path, 3, epochs=3))
        messages = drain(executor)
        assert {message.number for message in messages} == {3}
        first, *epochs, last = (message.content for message in messages)
        assert isinstance(first, Prepared)
        assert (first.device, first.classes) == ("cpu", 10)
        assert first.probe is not None
        assert [isinstance(e, EpochResult) and e.epoch for e in epochs] == [1, 2, 3]
        assert isinstance(last, Outcome)
        assert last.state is State.COMPLETE

    def test_weights_come_before_the_outcome(self, executor: Executor, tmp_path: Path) -> None:
        """Wherever the trial ran; of two tasks each has its own."""
        held = []
        for number in (0, 1):
            one = task(tmp_path, number, epochs=3)
            file = Path(one.folder) / "weights.pt"
            kept = KeptWeights(str(file), "val_loss")
            plan = Checkpointing(None, f"{one.folder}/checkpoint.pt", weights=kept)
            submit(executor, replace(one, checkpoints=plan))
            outcome = drain(executor)[-1].content
            assert isinstance(outcome, Outcome)
            assert outcome.facts["weights_epoch"] in (1, 2, 3)
            held.append(file.read_bytes())
        assert held[0] != held[1]

    def test_a_second_task_follows(self, executor: Executor, tmp_path: Path) -> None:
        for number in (0, 1):
            submit(executor, task(tmp_path, number))
            assert drain(executor)[-1].number == number

    def test_divergence_is_an_outcome(self, executor: Executor, tmp_path: Path) -> None:
        submit(executor, task(tmp_path, 0, lr=1e9))
        first, outcome = (message.content for message in drain(executor))
        assert isinstance(first, Prepared)
        assert isinstance(outcome, Outcome)
        assert outcome.state is State.DIVERGED
        assert outcome.reason

    def test_a_failure_is_an_outcome_and_the_next_trial_runs(
        self, executor: Executor, tmp_path: Path
    ) -> None:
        bad = task(tmp_path, 0)
        gone = {**bad.config, "data": {**bad.config["data"], "name": "image_folder", "root": "/no"}}
        submit(executor, Task(0, gone, bad.folder))
        [outcome] = (message.content for message in drain(executor))
        assert isinstance(outcome, Outcome)
        assert outcome.state is State.FAILED
        assert "/no" in (outcome.reason or "")
        submit(executor, task(tmp_path, 1))
        outcome = drain(executor)[-1].content
        assert isinstance(outcome, Outcome)
        assert outcome.state is State.COMPLETE

    def test_a_task_that_waits_stops_when_told(self, executor: Executor, tmp_path: Path) -> None:
        submit(executor, task(tmp_path, 0, waits=True, epochs=50))
        assert isinstance(first_epoch(executor).content, EpochResult)
        executor.answer(0, True)
        assert isinstance(first_epoch(executor).content, EpochResult)
        executor.answer(0, False)
        submit(executor, task(tmp_path, 1))
        messages = drain(executor)
        assert {message.number for message in messages} == {1}

    def test_a_group_is_one_submission(self, executor: Executor, tmp_path: Path) -> None:
        """Messages of each of its tasks in order; then there is room for another."""
        submit(executor, *[task(tmp_path, number, epochs=2 + number) for number in range(3)])
        messages = drain(executor, 3)
        for number in range(3):
            first, *epochs, last = (m.content for m in messages if m.number == number)
            assert isinstance(first, Prepared)
            assert len(epochs) == 2 + number
            assert isinstance(last, Outcome)
            assert last.state is State.COMPLETE
            assert last.seconds is not None
        submit(executor, task(tmp_path, 3))
        assert drain(executor)[-1].number == 3

    def test_one_of_a_group_stops_when_told(self, executor: Executor, tmp_path: Path) -> None:
        submit(executor, *[task(tmp_path, number, waits=True, epochs=2) for number in range(3)])
        messages: list[Message] = []
        while sum(isinstance(m.content, Outcome) for m in messages) < 2:
            for message in executor.wait(1):
                messages.append(message)
                if isinstance(message.content, EpochResult):
                    executor.answer(message.number, message.number != 1)
        told = [m.number for m in messages if isinstance(m.content, EpochResult)]
        assert sorted(told) == [0, 0, 1, 2, 2]
        submit(executor, task(tmp_path, 3))
        assert {message.number for message in drain(executor)} == {3}

    def test_a_killed_group_says_nothing_more(self, executor: Executor, tmp_path: Path) -> None:
        submit(executor, *[task(tmp_path, number, epochs=10_000) for number in range(2)])
        first_epoch(executor)
        executor.kill(1)
        submit(executor, task(tmp_path, 2))
        assert {message.number for message in drain(executor)} == {2}

    def test_a_killed_task_says_nothing_more(self, executor: Executor, tmp_path: Path) -> None:
        submit(executor, task(tmp_path, 0, epochs=10_000))
        first_epoch(executor)
        executor.kill(0)
        submit(executor, task(tmp_path, 1))
        assert {message.number for message in drain(executor)} == {1}

    def test_equal_tasks_give_equal_numbers(self, executor: Executor, tmp_path: Path) -> None:
        runs = []
        for number in (0, 1):
            made = task(tmp_path, number)
            submit(executor, Task(number, {**made.config, "seed": 5}, made.folder))
            curve = [m.content for m in drain(executor) if isinstance(m.content, EpochResult)]
            runs.append([(r.train_loss, r.val_loss, r.val_accuracy) for r in curve])
        assert runs[0] == runs[1]


def test_a_dead_worker_is_told_and_replaced(tmp_path: Path) -> None:
    executor = LocalExecutor(2, tmp_path / "workers")
    try:
        executor.submit([task(tmp_path, 0, epochs=100_000)])
        executor.submit([task(tmp_path, 1, epochs=100_000)])
        first_epoch(executor)
        victim = executor._running(0)
        assert victim is not None
        assert victim.process.pid is not None
        os.kill(victim.process.pid, signal.SIGKILL)
        lost = next(m for m in drain(executor) if isinstance(m.content, Lost))
        assert lost.number == 0
        assert isinstance(lost.content, Lost)
        assert "SIGKILL" in lost.content.reason
        executor.submit([task(tmp_path, 2)])
        assert drain(executor)[-1].number == 2
    finally:
        executor.close()


def test_a_worker_that_cannot_start_is_an_error_with_its_log(tmp_path: Path) -> None:
    broken = tmp_path / "path" / "torch"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise ImportError('no such luck')\n")
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            """
            from pathlib import Path
            from cnnsearch.executors.local import LocalExecutor

            if __name__ == "__main__":
                executor = LocalExecutor(1, Path("workers"))
                while True:
                    executor.wait(10)
            """
        )
    )
    done = subprocess.run(
        [sys.executable, script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{broken.parent}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert CnnsearchError.__name__ in done.stderr
    assert "no such luck" in done.stderr


def test_workers_end_with_their_coordinator(tmp_path: Path) -> None:
    """One that waits for a task, and one in the middle of a long epoch."""
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            """
            from pathlib import Path
            from cnnsearch.executors.local import LocalExecutor
            from cnnsearch.records import Task
            from tests.builders import digits_config

            if __name__ == "__main__":
                executor = LocalExecutor(2, Path("workers"))
                large = {"hidden": [4096] * 3, "batch_size": 1, "lr": 1e-6}
                config = digits_config().at(large, 0)
                plain = config.plain() | {"data": {"name": "digits"}}
                executor.submit([Task(0, plain, "busy")])  # an epoch of a minute or so
                while not Path("busy/log.txt").exists():
                    executor.wait(0.1)
                print(*(worker.process.pid for worker in executor._workers), flush=True)
                while True:
                    executor.wait(10)
            """
        )
    )
    with subprocess.Popen(
        [sys.executable, script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    ) as coordinator:
        assert coordinator.stdout is not None
        workers = [int(pid) for pid in coordinator.stdout.readline().split()]
        assert len(workers) == 2
        coordinator.kill()
    until(lambda: not any(map(_lives, workers)), "the end of its workers", seconds=40)


def _lives(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rsplit(")", 1)[1].split()[0] != "Z"


def test_what_a_failed_trial_says_is_in_its_log(tmp_path: Path) -> None:
    executor = LocalExecutor(1, tmp_path / "workers")
    try:
        bad = task(tmp_path, 0)
        # More weights than any machine holds.
        config = {**bad.config, "model": {**bad.config["model"], "hidden": [10**6, 10**6]}}
        executor.submit([Task(0, config, bad.folder)])
        outcome = drain(executor)[-1].content
        assert isinstance(outcome, Outcome)
        assert outcome.state is State.FAILED
        assert outcome.reason
        assert outcome.reason in Path(bad.folder, "log.txt").read_text()
    finally:
        executor.close()


BEGIN_ONE = """
import os, sys
from pathlib import Path
from cnnsearch.executors.local import LocalExecutor
executor = LocalExecutor(1, Path(sys.argv[1]))
[worker] = executor._workers
while not worker.ready:
    executor.wait(1)
environment = Path(f"/proc/{worker.process.pid}/environ").read_bytes().decode().split("\\0")
print(*[line for line in environment if "glibc.malloc." in line and "PYTEST" not in line])
print(os.environ.get("GLIBC_TUNABLES"))
executor.close()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc")
@pytest.mark.parametrize("tuned", [None, "glibc.malloc.check=0"])
def test_workers_begin_with_huge_pages(tuned: str | None, tmp_path: Path) -> None:
    """Unless the user has tuned glibc otherwise; the process that starts them stays as it was."""
    own = {} if tuned is None else {"GLIBC_TUNABLES": tuned}
    others = {k: v for k, v in os.environ.items() if k != "GLIBC_TUNABLES"}
    command = [sys.executable, "-c", BEGIN_ONE, str(tmp_path)]
    done = subprocess.run(command, env=others | own, check=True, capture_output=True, text=True)
    begun, here = done.stdout.splitlines()
    # glibc ends each of its settings with a zero byte as it reads them.
    assert begun.removeprefix("GLIBC_TUNABLES=").replace(" ", ":") == (tuned or processes.MEMORY)
    assert here == str(tuned)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere processes are spawned")
def test_a_worker_has_the_environment_of_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not that of when the process was begun which it is forked from."""
    processes.prepare()
    monkeypatch.setenv("CNNSEARCH_DATA", str(tmp_path))
    context = processes.context()
    ours, theirs = context.Pipe()
    worker = context.Process(target=tell_environment, args=(theirs, dict(os.environ)))
    with processes.beginning():
        worker.start()
    assert ours.recv() == os.environ
    worker.join()


def tell_environment(connection: Connection, environment: dict[str, str]) -> None:
    processes.settle_in(environment)
    connection.send(dict(os.environ))
