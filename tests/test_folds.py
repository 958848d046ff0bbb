"""Cross-validation: stratified folds, their mean, their order, and the pruner between them."""

from __future__ import annotations

import json
import re
import statistics
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnnsearch import cli, runner
from cnnsearch.commands.references import Picked, config_of
from cnnsearch.config import load as load_config
from cnnsearch.config.config import Config
from cnnsearch.config.sections import Data, Folds
from cnnsearch.data import load
from cnnsearch.data.split import Split, check_split, split
from cnnsearch.errors import DataError
from cnnsearch.executors import Executor, Lost, Message
from cnnsearch.executors.inline import InlineExecutor
from cnnsearch.objective import fold_values, mean_curve, value
from cnnsearch.plan import remaining
from cnnsearch.records import Ended, EpochResult, Outcome, State, Task, Trial
from cnnsearch.search import Coordinator, Limits
from cnnsearch.study import read
from cnnsearch.study.database import open_storage
from cnnsearch.study.store import Study
from tests.builders import digits_config, write_digits
from tests.test_data_split import images_of
from tests.test_run import ended, start

Capture = pytest.CaptureFixture[str]
DATABASE = "cnnsearch.db"
IN_THREE = Data(name="digits", limit=200, validation=Folds(folds=3))
WRITTEN = "data: {name: digits, limit: 200, validation: {folds: 3}}"


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


class TestSplit:
    @pytest.mark.parametrize("counts", [[40, 40], [50, 7, 33], [5, 4, 3]])
    @pytest.mark.parametrize("folds", [2, 3])
    def test_each_image_is_validated_on_once(self, counts: list[int], folds: int) -> None:
        images = images_of(counts)
        section = Data(name="digits", validation=Folds(folds=folds))
        check_split(images, section)
        seen = []
        for fold in range(folds):
            validation, train = split(images, Split.of(section, fold))
            assert sorted([*validation, *train]) == list(range(sum(counts)))
            classes = np.bincount(images.train_labels[validation], minlength=len(counts))
            assert np.abs(classes - np.array(counts) / folds).max() < 1
            assert abs(len(validation) - sum(counts) / folds) < 1
            seen += list(validation)
        assert sorted(seen) == list(range(sum(counts)))

    def test_a_limit_keeps_what_is_validated_on(self) -> None:
        images = images_of([40, 20])
        whole = Data(name="digits", validation=Folds(folds=4))
        less = whole.model_copy(update={"limit": 15})
        for fold in range(4):
            validation, train = split(images, Split.of(whole, fold))
            same, some = split(images, Split.of(less, fold))
            assert list(validation) == list(same)
            assert set(some) <= set(train)
            assert np.bincount(images.train_labels[some]).tolist() == [10, 5]

    def test_the_seed_deals(self) -> None:
        images = images_of([40, 20])
        parts = [
            split(images, Split.of(Data(name="digits", validation=Folds(folds=4), split_seed=s)))[0]
            for s in (0, 0, 1)
        ]
        assert list(parts[0]) == list(parts[1]) != list(parts[2])

    def test_the_whole_is_both_parts(self) -> None:
        images = images_of([40, 20])
        for section in (
            Data(name="digits", limit=15),
            Data(name="digits", validation=Folds(folds=4)),
        ):
            validation, train = split(images, Split.of(section))
            nothing, whole = split(images, Split.of(section, whole=True))
            assert len(nothing) == 0
            assert sorted(whole) == sorted([*validation, *train])
            assert list(whole) != sorted(whole), "in an order that is drawn"

    @pytest.mark.parametrize(
        ("counts", "folds", "told"),
        [([4, 1], 2, "leaves no training image for class 'b'"), ([1], 2, "a smaller number")],
    )
    def test_too_few_images(self, counts: list[int], folds: int, told: str) -> None:
        section = Data(name="digits", validation=Folds(folds=folds))
        message = rf"^data.validation: {{folds: 2}} of {sum(counts)} training images.*{told}"
        with pytest.raises(DataError, match=message):
            check_split(images_of(counts), section)


@pytest.mark.parametrize("value", ["{folds: 1}", "{folds: 101}", "{fold: 5}", "[5]"])
def test_what_is_no_validation(value: str, tmp_path: Path, capsys: Capture) -> None:
    path = write_digits(tmp_path)
    assert cli.run(["check", str(path), "-S", f"validation={value}"]) == 2
    told = capsys.readouterr().err
    assert "Write a fraction above 0 and below 1, a number of images, or {folds: 5}." in told


def test_the_file_reads_back(tmp_path: Path) -> None:
    from cnnsearch.config import from_plain, to_yaml

    config = load_config(write_digits(tmp_path, data=WRITTEN))
    assert config.data.validation == Folds(folds=3)
    assert from_plain(json.loads(json.dumps(config.plain()))) == config
    again = tmp_path / "again.yaml"
    again.write_text(to_yaml(config))
    assert "  validation: {folds: 3}\n" in again.read_text()
    assert load_config(again) == config


def searched(config: Config, executor: Executor) -> list[Trial]:
    study = Study.claim(DATABASE, config, load(config.data).fingerprint, 9)
    try:
        assert config.search is not None
        waiting = remaining(config, study.trials(), config.search.trials or 0)
        events = list(Coordinator(study, config, executor, Limits()).run(waiting))
    finally:
        study.release()
        executor.close()
    return [event.trial for event in events if isinstance(event, Ended)]


def in_folds(study: str = "folds", **search: Any) -> Config:
    from dataclasses import replace

    return replace(digits_config(study, **search), data=IN_THREE)


def test_a_trial_is_the_mean_of_its_folds() -> None:
    config = in_folds(trials=2, train={"lr": 0.05})
    for trial in searched(config, InlineExecutor()):
        single = config.at(trial.params, trial.seed)
        runs = [list(runner.run(single, fold=fold)) for fold in range(3)]
        curves = [[item for item in run if isinstance(item, EpochResult)] for run in runs]
        assert [[(e.train_loss, e.val_accuracy) for e in fold] for fold in trial.folds] == [
            [(e.train_loss, e.val_accuracy) for e in fold] for fold in curves
        ]
        at_best = [curve[(trial.best_epoch or 0) - 1].val_accuracy for curve in curves]
        assert trial.facts["fold_values"] == at_best
        assert trial.value == pytest.approx(statistics.fmean(at_best), abs=1e-15)
        assert trial.facts["fold_deviation"] == pytest.approx(statistics.stdev(at_best))
        assert trial.curve[-1].val_loss == pytest.approx(
            statistics.fmean(curve[-1].val_loss for curve in curves)
        )
        losses = {run[-1].facts["first_loss"] for run in runs if isinstance(run[-1], Outcome)}
        assert len(losses) == 3, "each fold has a seed of its own"
        stored = read.trial(DATABASE, "folds", trial.number)
        assert [[e.val_loss for e in fold] for fold in stored.folds] == [
            [e.val_loss for e in fold] for fold in trial.folds
        ]


def test_workers_share_the_folds_and_change_nothing(tmp_path: Path, capsys: Capture) -> None:
    path = write_digits(tmp_path, data=WRITTEN, search="search: {trials: 3}")
    for jobs in ("0", "2"):
        assert cli.run(["run", str(path), "-j", jobs, "--name", f"by{jobs}"]) == 0
    capsys.readouterr()
    found = []
    for study in ("by0", "by2"):
        assert cli.run(["list", study, "--json"]) == 0
        trials = json.loads(capsys.readouterr().out)
        found.append([{k: v for k, v in t.items() if k != "seconds"} for t in trials])
    assert found[0] == found[1]
    # A lone trial would keep one worker busy; its folds were shared out.
    log = [path.name for path in (tmp_path / "runs" / "by2").iterdir()]
    assert sorted(name for name in log if name.isdigit()) == ["0", "1", "2"]


def test_a_killed_search_loses_no_fold(tmp_path: Path) -> None:
    path = write_digits(tmp_path, data=WRITTEN, search="search: {trials: 4}")
    with start("run", str(path), "-j", "2", "--name", "killed") as process:
        next(ended(process))
        process.kill()
    for study in ("killed", "whole"):
        with start("run", str(path), "-j", "2", "--name", study) as process:
            process.communicate(timeout=120)
        assert process.returncode == 0
    killed, whole = (
        {t.key: (t.state, t.value, t.facts["fold_values"]) for t in read.trials(DATABASE, s)
         if t.state is not State.KILLED}
        for s in ("killed", "whole")
    )  # fmt: skip
    assert killed == whole
    assert len(whole) == 4


def test_an_exported_trial_gives_its_value_again(tmp_path: Path, capsys: Capture) -> None:
    path = write_digits(tmp_path, data=WRITTEN, search="search: {trials: 2}")
    assert cli.run(["run", str(path), "-j", "0"]) == 0
    assert cli.run(["export", "digits", "best", "-o", "best.yaml"]) == 0
    assert cli.run(["list", "digits", "--json"]) == 0
    best = json.loads(capsys.readouterr().out)[0]
    assert cli.run(["train", "best.yaml", "--json"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["value"] == best["value"]
    assert "fold 3 of 3" in told.err
    assert cli.run(["train", "best.yaml", "--test"]) == 2
    assert "with folds there is no one network to test" in capsys.readouterr().err


def test_the_plan_is_told(tmp_path: Path, capsys: Capture) -> None:
    path = write_digits(tmp_path, data=WRITTEN)
    assert cli.run(["check", str(path), "--json"]) == 0
    folds = json.loads(capsys.readouterr().out)["trial_seconds"]
    assert cli.run(["check", str(path)]) == 0
    told = capsys.readouterr().out
    assert re.search(r"200 to train, 479 to validate, 360 to test; 3 folds, each", told)
    assert folds > 0


Script = list[EpochResult | Outcome | Lost]


class ByFold:
    """An executor whose folds end as they are told, the last one given first."""

    slots = 3

    def __init__(self, script: dict[int, Script], otherwise: Script) -> None:
        self.script, self.otherwise = script, otherwise
        self.tasks: list[Task] = []
        self.killed: list[int] = []

    def submit(self, tasks: Sequence[Task]) -> None:
        self.tasks.extend(tasks)

    def wait(self, timeout: float) -> Sequence[Message]:
        task = self.tasks.pop()
        content = self.script.get(task.fold, self.otherwise)
        return [Message(task.number, item) for item in content]

    def answer(self, number: int, go_on: bool) -> None:
        raise AssertionError("folds do not wait")

    def kill(self, number: int) -> None:
        self.killed.append(number)
        self.tasks = [task for task in self.tasks if task.number != number]

    def notices(self) -> Sequence[str]:
        return ()

    def close(self) -> None:
        pass


def epoch(accuracy: float) -> EpochResult:
    return EpochResult(1, 0.1, 1.0, accuracy, 1.0, accuracy, 0.01)


def done(accuracy: float) -> Script:
    return [epoch(accuracy), Outcome(State.COMPLETE, None, {}, 1.0)]


LOST = Outcome(State.DIVERGED, "loss nan", {"step": 3}, 0.5)


class TestOrder:
    def test_the_first_fold_that_is_lost_ends_the_trial(self) -> None:
        """Whichever a worker told first: the same trial in any order."""
        executor = ByFold({1: [epoch(0.3), LOST], 2: [LOST]}, done(0.5))
        [trial] = searched(in_folds(trials=1), executor)
        assert trial.state is State.DIVERGED
        assert trial.reason == "fold 2 of 3: loss nan"
        assert trial.facts["fold"] == 2
        assert [e.val_accuracy for e in trial.curve] == [0.3]
        assert [len(fold) for fold in trial.folds] == [1, 1]

    def test_later_folds_are_not_begun_or_ended(self) -> None:
        executor = ByFold({0: [LOST]}, done(0.5))
        executor.slots = 1
        [trial] = searched(in_folds(trials=1), executor)
        assert trial.facts["fold"] == 1
        executor = ByFold({0: [LOST]}, done(0.5))
        executor.slots = 2
        executor.wait = lambda timeout: ByFold.wait(_first_first(executor), timeout)  # type: ignore[method-assign]
        [trial] = searched(in_folds("two", trials=1), executor)
        assert trial.facts["fold"] == 1
        assert len(executor.killed) == 1

    def test_a_lost_worker_costs_one_attempt(self) -> None:
        executor = ByFold({2: [Lost("its worker was killed")]}, done(0.5))
        found = searched(in_folds(trials=1, retries=1), executor)
        assert [t.state for t in found] == [State.KILLED, State.FAILED]
        assert found[-1].attempt == 2

    def test_a_lost_trial_counts_what_was_trained(self) -> None:
        executor = ByFold({2: [epoch(0.3), LOST]}, done(0.5))
        [trial] = searched(in_folds(trials=1), executor)
        assert trial.reason == "fold 3 of 3: loss nan"
        assert trial.facts["fold_epochs"] == 3
        assert trial.seconds == 2.5
        assert "fold_values" not in trial.facts, "no mean of what was lost on the way"

    def test_the_seconds_are_those_of_all_folds(self) -> None:
        [trial] = searched(in_folds(trials=1), ByFold({}, done(0.5)))
        assert trial.seconds == 3.0


def _first_first(executor: ByFold) -> ByFold:
    executor.tasks.reverse()
    return executor


class TestPruner:
    def test_folds_are_its_steps(self) -> None:
        """The median pruner waits for five trials; then one below the median after a fold goes."""
        good = [done(0.8), done(0.9), done(0.85)]
        bad = [done(0.82), done(0.2), done(0.9)]
        executor = _Counting([good] * 5 + [bad])
        found = searched(in_folds(trials=6, pruner="median"), executor)
        assert [t.state for t in found] == [State.COMPLETE] * 5 + [State.PRUNED]
        assert found[-1].reason == "val_accuracy 0.51 after 2 folds: not promising"
        assert found[-1].facts["fold_values"] == [0.82, 0.2]
        assert found[0].value == pytest.approx(0.85)
        storage = open_storage(DATABASE)
        steps = [
            t.intermediate_values
            for t in storage.get_all_trials(storage.get_study_id_from_name("folds"))
        ]
        assert steps[0] == pytest.approx({1: 0.8, 2: 0.85, 3: 0.85})
        assert steps[-1] == pytest.approx({1: 0.82, 2: 0.51})
        storage.engine.dispose()

    def test_another_trial_goes_before_a_fold_that_may_be_in_vain(self) -> None:
        executor = _Counting([[done(0.5)] * 3] * 3)
        executor.slots = 3
        searched(in_folds(trials=3, pruner="median"), executor)
        assert executor.folds[:3] == [0, 0, 0]
        executor = _Counting([[done(0.5)] * 3] * 3)
        executor.slots = 3
        searched(in_folds("plain", trials=3), executor)
        assert executor.folds[:3] == [0, 1, 2]


class _Counting:
    """Tells for each trial, in the order they begin, the folds of a script; oldest task first."""

    slots = 1

    def __init__(self, script: list[list[Script]]) -> None:
        self.script = script
        self.tasks: deque[Task] = deque()
        self.trials: list[str] = []
        self.folds: list[int] = []

    def submit(self, tasks: Sequence[Task]) -> None:
        [task] = tasks
        self.folds.append(task.fold)
        if task.folder not in self.trials:
            self.trials.append(task.folder)
        self.tasks.append(task)

    def wait(self, timeout: float) -> Sequence[Message]:
        task = self.tasks.popleft()
        content = self.script[self.trials.index(task.folder)][task.fold]
        return [Message(task.number, item) for item in content]

    def answer(self, number: int, go_on: bool) -> None:
        raise AssertionError("folds do not wait")

    def kill(self, number: int) -> None:
        self.tasks = deque(task for task in self.tasks if task.number != number)

    def notices(self) -> Sequence[str]:
        return ()

    def close(self) -> None:
        pass


def test_a_config_of_a_trial_keeps_the_folds() -> None:
    [trial] = searched(in_folds(trials=1), ByFold({}, done(0.5)))
    summary, trials = read.summary_and_trials(DATABASE, "folds")
    assert config_of(Picked(summary, trial, trials)).data == IN_THREE


def test_values_of_folds_are_those_of_one_epoch() -> None:
    """That where their mean is best; each at its own best epoch, they would be too good."""
    curves = [
        [EpochResult(k + 1, 0.1, 1.0, a, 1.0, a, 0.5) for k, a in enumerate(accuracies)]
        for accuracies in ((0.5, 0.7, 0.8), (0.9, 0.9, 0.6))
    ]
    assert fold_values(curves, "val_accuracy", "best") == [0.7, 0.9]
    assert fold_values(curves, "val_accuracy", "last") == [0.8, 0.6]
    assert value(mean_curve(curves), "val_accuracy", "best") == pytest.approx(0.8)
    assert [result.seconds for result in mean_curve(curves)] == [1.0] * 3
    assert mean_curve(curves[:1]) == curves[0]
    assert fold_values([], "val_loss", "best") == []
