"""Searches whose trials are killed and go on from their checkpoints."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest

from cnnsearch import cli, verification
from cnnsearch.config import Config, differences, load, load_with_notes
from cnnsearch.config.sections import Abort, Checkpoint, Data, Folds, Train
from cnnsearch.data import load as load_images
from cnnsearch.executors import Lost, Message
from cnnsearch.executors.local import LocalExecutor
from cnnsearch.plan import planned, remaining
from cnnsearch.records import Ended, Epoch, EpochResult, Event, Notice, Outcome, State, Task, Trial
from cnnsearch.render.display import LineDisplay
from cnnsearch.render.progress import SearchProgress
from cnnsearch.search import Coordinator, Limits
from cnnsearch.space import Choice, Range, Space
from cnnsearch.study import read
from cnnsearch.study.store import Study
from tests.builders import digits_config, write_digits
from tests.waiting import until

DATABASE = "cnnsearch.db"
FINGERPRINT = load_images(Data(name="digits")).fingerprint
EPOCHS = 6
SPACE: Space = {"lr": Range(1e-4, 3e-3, log=True), "batchnorm": Choice((True, False))}


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CNNSEARCH_STORAGE", raising=False)


def keeping(study: str = "digits", every: int | None = 1, **search: Any) -> Config:
    config = digits_config(
        study, epochs=EPOCHS, train={"optimizer": "adam", "batch_size": 2}, **search
    )
    model = config.model.model_copy(update={"conv": [16], "hidden": [512], "dropout": 0.2})
    abort = Abort(loss_ratio=None)
    return replace(config, model=model, abort=abort, checkpoint=Checkpoint(every=every))


def events(config: Config, executor: Any, limits: Limits | None = None) -> Iterator[Event]:
    """What happens as what remains of a study runs."""
    count = planned(config)
    study = Study.claim(DATABASE, config, FINGERPRINT, count)
    try:
        waiting = remaining(config, study.trials(), count)
        yield from Coordinator(study, config, executor, limits or Limits()).run(waiting)
    finally:
        study.release()


class InStep(LocalExecutor):
    """Its worker trains one epoch ahead of what was told, and has not ended when it is killed."""

    ahead: frozenset[int] = frozenset()

    def submit(self, tasks: Sequence[Task]) -> None:
        self.ahead |= {task.number for task in tasks if not task.waits}
        super().submit([replace(task, waits=True) for task in tasks])

    def wait(self, timeout: float) -> Sequence[Message]:
        messages = super().wait(timeout)
        for message in messages:
            if isinstance(message.content, EpochResult) and message.number in self.ahead:
                self.answer(message.number, True)
        return messages


def local(config: Config, *kill_at: tuple[int, int, int]) -> None:
    """Run a search with a worker process, killed at each (point, attempt, epoch)."""
    executor, left = InStep(1, Path("workers")), list(kill_at)
    try:
        for event in events(config, executor):
            if not isinstance(event, Epoch):
                continue
            place = (event.trial.point, event.trial.attempt, event.result.epoch)
            if place in left:
                left.remove(place)
                [worker] = executor._workers
                assert worker.process.pid is not None
                os.kill(worker.process.pid, signal.SIGKILL)
    finally:
        executor.close()
    assert not left, "the trial ended before"


def interrupted(config: Config, executor: Any, number: int) -> None:
    """Run a search that is interrupted when a trial has ended."""
    stop: set[int] = set()
    for event in events(config, executor, Limits(interrupted=lambda: number in stop)):
        if isinstance(event, Ended):
            stop.add(event.trial.number)


def attempts(study: str = "digits") -> list[Trial]:
    return read.trials(DATABASE, study)


def results(study: str) -> list[tuple[Any, ...]]:
    """Each point's result, to the last digit."""
    last = {t.key: t for t in attempts(study)}
    whole = [read.trial(DATABASE, study, t.number) for t in last.values()]
    own = ("continued_after", "earlier_seconds")
    return [
        (
            t.point,
            t.state,
            t.value,
            t.epochs,
            t.best_epoch,
            t.reason,
            t.seed,
            t.diagnosis,
            t.probe,
            [replace(result, seconds=0.0) for result in t.curve],
            [[replace(result, seconds=0.0) for result in fold] for fold in t.folds],
            {k: v for k, v in t.facts.items() if k not in own},
        )
        for t in sorted(whole, key=lambda t: t.point)
    ]


def logs(study: str = "digits") -> dict[int, str]:
    return {
        int(log.parent.name): log.read_text()
        for log in Path("runs", study).glob("*/log.txt")
        if log.parent.name != "workers"
    }


def checkpoints() -> list[str]:
    return sorted(str(path) for path in Path("runs").glob("*/*/checkpoint*"))


def test_a_killed_worker_costs_no_epoch() -> None:
    """Twice; what was seen is not trained again, and all numbers are those of a quiet run."""
    local(keeping(trials=2), (0, 1, 3), (0, 2, 5))
    local(keeping("quiet", every=None, trials=2))
    assert results("digits") == results("quiet")
    of_point = [t for t in attempts() if t.point == 0]
    assert [t.state for t in of_point] == [State.KILLED, State.KILLED, State.COMPLETE]
    assert "SIGKILL" in (of_point[1].reason or "")
    assert "checkpoint" not in (of_point[1].reason or "")  # which its log's last line is about
    told = logs()
    for before, after, least in zip(of_point, of_point[1:], (3, 5), strict=False):
        [line] = [x for x in told[after.number].splitlines() if "continues after" in x]
        epoch = int(line.split("epoch ")[1].split(",")[0])
        assert least <= epoch < EPOCHS
        assert line.endswith(f"from runs/digits/{before.number}/checkpoint.pt")
    last = of_point[-1]
    assert last.facts["continued_after"] == epoch
    curve = read.trial(DATABASE, "digits", last.number).curve
    earlier = sum(result.seconds for result in curve[:epoch])
    assert last.facts["earlier_seconds"] == pytest.approx(earlier)
    assert last.seconds is not None
    assert last.seconds > sum(result.seconds for result in curve)
    assert checkpoints() == []


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT])
def test_a_dead_or_interrupted_coordinator(sent: signal.Signals, tmp_path: Path) -> None:
    section = "checkpoint: {every: 1}\n"
    path = write_digits(
        tmp_path,
        model="model: {conv: [16], hidden: [512], dropout: 0.2, batchnorm: true}",
        train=f"train: {{epochs: {EPOCHS}, batch_size: 8}}",
        search="search: {trials: 2}",
        abort="abort: {loss_ratio: null}",
        **{"  lr": "  lr: [1e-3, 3e-3]", "  batchnorm": "  activation: [relu, prelu]"},
    )
    command = [sys.executable, "-m", "cnnsearch", "run", str(path)]
    quiet = [*command, "-j", "1", "--name", "quiet"]
    subprocess.run(quiet, check=True, capture_output=True, env=environment())
    path.write_text(section + path.read_text())
    with subprocess.Popen(
        [*command, "-j", "2"],
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        start_new_session=True,
    ) as process:
        until(Path("runs/digits/.0.partial/checkpoint.pt").exists, "a checkpoint")
        process.send_signal(sent)
        process.wait(timeout=120)
    assert {t.state for t in attempts()} == {State.KILLED}
    done = subprocess.run(
        [*command, "-j", "2"], check=True, capture_output=True, text=True, env=environment()
    )
    assert results("digits") == results("quiet")
    of_point = [t for t in attempts() if t.point == 0]
    assert len(of_point) == 2
    assert of_point[1].facts["continued_after"] >= 1
    assert "continues after epoch" in logs()[of_point[1].number]
    assert checkpoints() == []
    assert "checkpoint" not in done.stderr


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}


def test_folds_that_were_complete_are_not_trained_again() -> None:
    def folded(name: str, every: int | None) -> Config:
        config = keeping(name, every, trials=1)
        return replace(config, data=config.data.model_copy(update={"validation": Folds(folds=3)}))

    local(folded("digits", 2), (0, 1, EPOCHS + 3))  # in its second fold
    local(folded("quiet", None))
    assert results("digits") == results("quiet")
    told = logs()[1]
    assert f"continues after epoch {EPOCHS}, from runs/digits/0/checkpoint-fold1.pt" in told
    assert "from runs/digits/0/checkpoint-fold2.pt" in told
    assert "fold3" not in told
    assert checkpoints() == []


@pytest.mark.parametrize("pruner", ["median", "asha"])
def test_a_pruner_sees_the_epochs_again(pruner: str) -> None:
    """They are reported for the new trial, which is judged at each as if it had trained it."""

    def pruned(name: str, every: int | None) -> Config:
        return replace(
            keeping(name, every, trials=12, pruner=pruner),
            train=Train(optimizer="adam", epochs=EPOCHS, batch_size=32),
        )

    local(pruned("quiet", None))
    states = {t.point: (t.state, t.epochs) for t in attempts("quiet")}
    assert {state for state, _ in states.values()} == {State.COMPLETE, State.PRUNED}
    # Killed one epoch before it was judged too bad, and before the end of a good one.
    late = max((k for k, (s, _) in states.items() if s is State.PRUNED), key=lambda k: states[k][1])
    complete = max(k for k, (s, _) in states.items() if s is State.COMPLETE)
    before = states[late][1] - 1
    of_late = [(late, 1, before)] if before else []  # the median ends trials after their first
    local(pruned("digits", 1), *of_late, (complete, 1, 1), (complete, 2, EPOCHS - 1))
    assert results("digits") == results("quiet")
    study = optuna.load_study(study_name="digits", storage=f"sqlite:///{DATABASE}")
    for trial in attempts():
        curve = read.trial(DATABASE, "digits", trial.number).curve
        reported = study.trials[trial.number].intermediate_values
        assert reported == {r.epoch: r.val_accuracy for r in curve}
    last = {t.point: t for t in attempts()}
    continued = {k: t.facts.get("continued_after") for k, t in last.items()}
    # A pruned trial was ended from outside, so that its worker told nothing of itself.
    assert {k: after for k, after in continued.items() if after} == {complete: EPOCHS - 1}
    if before:
        assert f"continues after epoch {before}," in logs()[last[late].number]
    assert checkpoints() == []


# What the coordinator decides, with an executor that only tells.


class Scripted:
    """Trials that end as they are told, once their checkpoint is written."""

    slots = 1

    def __init__(self, *script: Outcome | Lost, write: bool = True) -> None:
        self.script = list(script)
        self.tasks: list[Task] = []
        self._waiting: list[Task] = []
        self._write = write

    def submit(self, tasks: Sequence[Task]) -> None:
        self.tasks += tasks
        self._waiting += tasks

    def wait(self, timeout: float) -> Sequence[Message]:
        messages = []
        for task in self._waiting:
            if task.checkpoints is not None and self._write:
                Path(task.checkpoints.file).write_bytes(b"of " + str(task.number).encode())
                Path(f"{task.checkpoints.file}.partial").write_bytes(b"cut short")
            end = self.script.pop(0) if self.script else Outcome(State.COMPLETE)
            result = EpochResult(1, 0.1, 1.0, 0.5, 1.0, 0.5, 0.01)
            messages += [Message(task.number, result), Message(task.number, end)]
        self._waiting = []
        return messages

    def answer(self, number: int, go_on: bool) -> None:
        pass

    def kill(self, number: int) -> None:
        pass

    def notices(self) -> Sequence[str]:
        return ()

    def close(self) -> None:
        pass


LOST = Lost("its worker was killed by SIGKILL")


def test_a_task_knows_the_files_of_earlier_attempts() -> None:
    """The latest first; of its own point only."""
    executor = Scripted(LOST, Outcome(State.COMPLETE), LOST, LOST)
    list(events(keeping(trials=2, every=3), Scripted(LOST, LOST, LOST)))
    list(events(keeping("other", trials=2, every=3), executor))
    plans = [task.checkpoints for task in executor.tasks]
    assert all(plan is not None for plan in plans)
    told = [(p.every, p.file, p.earlier, p.after_last) for p in plans if p is not None]
    folder = "runs/other"
    assert told == [
        (3, f"{folder}/.0.partial/checkpoint.pt", (), False),
        (3, f"{folder}/.1.partial/checkpoint.pt", (f"{folder}/0/checkpoint.pt",), False),
        (3, f"{folder}/.2.partial/checkpoint.pt", (), False),
        (3, f"{folder}/.3.partial/checkpoint.pt", (f"{folder}/2/checkpoint.pt",), False),
        (
            3,
            f"{folder}/.4.partial/checkpoint.pt",
            (f"{folder}/3/checkpoint.pt", f"{folder}/2/checkpoint.pt"),
            False,
        ),
    ]


@pytest.mark.parametrize(
    "end",
    [
        Outcome(State.COMPLETE),
        Outcome(State.DIVERGED, "loss inf"),
        Outcome(State.FAILED, "KeyError: 'x'", {"type": "KeyError", "where": "a.py:1"}),
    ],
    ids=lambda end: str(end.state),
)
def test_checkpoints_go_when_the_point_has_a_result(end: Outcome) -> None:
    seen = [
        (event.trial.point, len(checkpoints()))
        for event in events(keeping(trials=2), Scripted(LOST, LOST, end))
        if isinstance(event, Ended)
    ]
    # Each is a file, and what was left of another.
    assert seen == [(0, 2), (0, 4), (0, 0), (1, 0)]


def test_what_a_dead_coordinator_left_goes_with_the_next_run() -> None:
    """It died between storing a result and deleting the file; others are kept for their points."""
    config = keeping(trials=3)
    interrupted(config, Scripted(Outcome(State.COMPLETE), LOST), 1)
    left = Path("runs/digits/0/checkpoint.pt")
    left.write_bytes(b"left")
    kept = [path for path in checkpoints() if "/1/" in path]
    assert kept
    executor = Scripted(write=False)
    run = events(config, executor)
    while not executor.tasks:
        next(run)
    assert not left.exists()
    assert [path for path in checkpoints() if "/1/" in path] == kept
    [first, *_] = executor.tasks
    assert first.checkpoints is not None
    assert "runs/digits/1/checkpoint.pt" in first.checkpoints.earlier
    list(run)
    assert checkpoints() == []


def test_the_section_may_change_between_runs() -> None:
    """Taken out, nothing is kept or used any more, and what was there goes with its point."""
    interrupted(keeping(trials=1), Scripted(LOST), 0)
    assert checkpoints()
    assert differences(keeping(every=1), keeping(every=None)) == []
    assert differences(keeping(every=1), keeping(every=7)) == []
    executor = Scripted()
    list(events(keeping(trials=1, every=None), executor))
    assert [task.checkpoints for task in executor.tasks] == [None]
    assert checkpoints() == []


def test_a_smaller_n_keeps_what_it_does_not_run() -> None:
    interrupted(keeping(trials=2), Scripted(Outcome(State.COMPLETE), LOST), 1)
    before = checkpoints()
    assert before
    list(events(keeping(trials=1), Scripted()))
    assert checkpoints() == before


def test_trials_with_checkpoints_are_not_fused() -> None:
    executor = Scripted()
    list(events(keeping(trials=3), executor, Limits(fused=3)))
    assert len(executor.tasks) == 3
    submitted: list[int] = []

    class Counting(Scripted):
        def submit(self, tasks: Sequence[Task]) -> None:
            submitted.append(len(tasks))
            super().submit(tasks)

    list(events(keeping("alone", trials=3), Counting(), Limits(fused=3)))
    assert submitted == [1, 1, 1]


def test_a_disk_that_is_full_is_told_once() -> None:
    from rich.console import Console

    full = Outcome(State.COMPLETE, None, {"checkpoint_error": "No space left on device"})
    found = list(events(keeping(trials=3), Scripted(full, full, full)))
    [notice] = [event for event in found if isinstance(event, Notice)]
    assert "No space left on device" in notice.text
    console = Console(width=200, file=io.StringIO())
    display = LineDisplay(console, SearchProgress([], 3, "maximize", 1), "val_accuracy")
    for event in found:
        display.show(event)
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().count("No space left on device") == 1


# What the verbs say.


def with_section(path: Path, *lines: str) -> Path:
    path.write_text("\n".join([*lines, path.read_text()]))
    return path


def test_a_fixed_fuse_beside_it_is_noted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = with_section(write_digits(tmp_path), "fuse: 4", "checkpoint: {every: 2}")
    assert load_with_notes(path)[1] == [
        f"{path}:1: fuse: has no effect beside checkpoint: trials that keep checkpoints are "
        "trained alone."
    ]
    assert cli.run(["run", str(path), "-j", "0", "-n", "1"]) == 0
    assert "digits: trials are not fused, as they keep checkpoints" in capsys.readouterr().err
    assert cli.run(["run", str(path), "-j", "0", "-n", "2", "-S", "fuse=auto"]) == 0
    assert "not fused" not in capsys.readouterr().err


def test_a_single_run_says_that_it_keeps_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = with_section(write_digits(tmp_path), "checkpoint: {every: 2}")
    assert cli.run(["run", str(path), "-j", "0", "-n", "1"]) == 0
    assert cli.run(["export", "digits", "best", "-o", "best.yaml"]) == 0
    assert load("best.yaml").checkpoint.every is None  # it is a single run's
    with_section(Path("best.yaml"), "checkpoint: {every: 2}")
    for verb in ("train", "check"):
        capsys.readouterr()
        assert not cli.run([verb, "best.yaml"])
        told = capsys.readouterr().err
        assert "best.yaml:1: checkpoint: is not used by a single run" in told
    assert not list(Path().rglob("checkpoint*"))


def test_rm_deletes_them(tmp_path: Path) -> None:
    interrupted(keeping(trials=1), Scripted(LOST), 0)
    assert checkpoints()
    assert cli.run(["rm", "digits", "-y"]) == 0
    assert checkpoints() == []
    assert Path("runs/digits/0/config.yaml").exists()


def test_show_tells_where_it_went_on(capsys: pytest.CaptureFixture[str]) -> None:
    told = Outcome(State.COMPLETE, None, {"continued_after": 3, "earlier_seconds": 1.5})
    list(events(keeping(trials=1), Scripted(LOST, told)))
    assert cli.run(["show", "digits", "1"]) == 0
    assert "continued after epoch 3 of an earlier attempt" in capsys.readouterr().out
    assert cli.run(["show", "digits", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["facts"]["continued_after"] == 3


def test_a_continued_trial_is_verified() -> None:
    """What it was is what its config gives, without a word of checkpoints."""
    local(keeping(trials=1), (0, 1, 2))
    stored = read.trial(DATABASE, "digits", attempts()[-1].number)
    local(keeping("quiet", every=None, trials=1))
    assert verification.departure(stored, read.trial(DATABASE, "quiet", 0)) is None
    assert cli.run(["rerun", "digits", "best", "--verify"]) == 0
    assert cli.run(["rerun", "digits", "best", "--seeds", "1"]) == 0
    assert checkpoints() == []
