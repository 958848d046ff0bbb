"""`cnnsearch run` as a user starts it: real processes, real signals."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cnnsearch import cli, runner
from cnnsearch.records import EpochResult, State
from cnnsearch.study import read
from cnnsearch.study.store import Study
from tests.builders import digits_config, write_digits
from tests.waiting import until

DATABASE = "cnnsearch.db"
CNNSEARCH = [sys.executable, "-m", "cnnsearch"]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CNNSEARCH_STORAGE", raising=False)


def start(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*CNNSEARCH, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        start_new_session=True,
    )


def ended(process: subprocess.Popen[str]) -> Iterator[str]:
    """The lines of ended trials, as they come."""
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("["):
            yield line


def results(study: str) -> list[tuple[Any, ...]]:
    """Each point's result, by point."""
    points = {t.key: t for t in read.trials(DATABASE, study)}
    return [
        (t.point, t.state, t.value, t.params, t.epochs, t.best_epoch, t.reason, t.seed)
        for t in sorted(points.values(), key=lambda t: t.point)
    ]


def test_one_worker_two_workers_and_killed_twice_give_equal_results(tmp_path: Path) -> None:
    """The short form of scripts/kill_and_continue.py."""
    path = write_digits(
        tmp_path, train="train: {epochs: 3, batch_size: 32}", search="search: {trials: 10}"
    )
    for study, jobs in (("one", "1"), ("two", "2")):
        with start("run", str(path), "-j", jobs, "--name", study) as process:
            assert len(list(ended(process))) == 10
        assert process.returncode == 0
    for trials_before_the_end in (2, 2, None):
        with start("run", str(path), "-j", "2", "--name", "killed") as process:
            lines = ended(process)
            for _ in range(trials_before_the_end or 99):
                next(lines, None)
            if trials_before_the_end:
                process.kill()
    assert process.returncode == 0
    assert len(results("one")) == 10
    assert results("one") == results("two") == results("killed")
    states = {t.state for t in read.trials(DATABASE, "killed")}
    assert State.RUNNING not in states


@pytest.mark.parametrize("group", [False, True], ids=["pid", "group"])
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_in_order(
    sent: signal.Signals, code: int, group: bool, tmp_path: Path
) -> None:
    """To the coordinator alone, or to its group, as Ctrl-C and `timeout` send it."""
    path = write_digits(tmp_path, train="train: {epochs: 100000, batch_size: 32}")
    process = start("run", str(path), "-j", "1", "-S", "loss_ratio=null", "-S", "retries=0")
    with process:
        _wait_for_a_running_trial()
        (os.killpg if group else os.kill)(process.pid, sent)
        _, talk = process.communicate(timeout=120)
    assert process.returncode == code
    assert "To continue: cnnsearch run" in talk
    assert "Traceback" not in talk
    assert [t.state for t in read.trials(DATABASE, "digits")] == [State.KILLED]


def test_a_signal_while_workers_start_costs_no_attempt(tmp_path: Path) -> None:
    path = write_digits(tmp_path, train="train: {epochs: 100000, batch_size: 32}")
    process = start("run", str(path), "-j", "2", "-S", "loss_ratio=null", "-S", "retries=0")
    with process:
        _wait_for("runs/*/.*.partial")  # the task is sent; the worker has not loaded torch
        os.killpg(process.pid, signal.SIGINT)
        _, talk = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Traceback" not in talk
    assert {t.state for t in read.trials(DATABASE, "digits")} == {State.KILLED}


def test_a_signal_after_the_end_changes_no_exit_code() -> None:
    """While Python takes itself down it would end the process by itself."""
    code = (
        "import atexit, os, signal; from cnnsearch import cli; cli.run = lambda _: 130;"
        "told = lambda: print(signal.getsignal(2) == signal.getsignal(15) == signal.SIG_IGN);"
        "atexit.register(told); cli.main([])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (130, "True\n")


def test_the_second_signal_ends_at_once(tmp_path: Path) -> None:
    """Here the orderly end waits for a database that another program has locked."""
    path = write_digits(tmp_path, train="train: {epochs: 100000, batch_size: 32}")
    process = start("run", str(path), "-j", "1", "-S", "loss_ratio=null")
    with process, sqlite3.connect(DATABASE) as locked:
        _wait_for_a_running_trial()
        locked.execute("BEGIN EXCLUSIVE")
        process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=2)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=120) == 130
        locked.rollback()
    # Its end in order would have kept the trial's in a file, as the database stays locked.
    assert not list(Path().glob("runs/digits/unstored-*"))
    assert [t.state for t in read.trials(DATABASE, "digits")] == [State.KILLED]
    assert read.trials(DATABASE, "digits")[0].reason == read.COORDINATOR_DIED


@pytest.mark.parametrize(
    ("jobs", "pruner"), [("0", "median"), ("1", "asha"), ("2", "median"), ("2", "asha")]
)
def test_a_pruner_with_real_workers(jobs: str, pruner: str, tmp_path: Path) -> None:
    """Curves up to the pruned epoch do not depend on the workers."""
    path = write_digits(
        tmp_path,
        search=f"search: {{trials: 14, pruner: {pruner}}}",
        train="train: {epochs: 3}",
    )
    assert cli.run(["run", str(path), "-j", jobs]) == 0
    found = read.trials(DATABASE, "digits")
    assert State.PRUNED in {t.state for t in found}
    for trial in found:
        curve = read.trial(DATABASE, "digits", trial.number).curve
        config = read_config(path).at(trial.params, trial.seed)
        alone = [r for r in runner.run(config) if isinstance(r, EpochResult)]
        assert [r.val_loss for r in curve] == [r.val_loss for r in alone[: len(curve)]]
        assert trial.epochs == len(curve)


def _wait_for_a_running_trial() -> None:
    """Wait for the trial's log, which its worker opens when it has loaded torch."""
    _wait_for("runs/*/.*.partial/log.txt")


def _wait_for(pattern: str) -> None:
    until(lambda: list(Path().glob(pattern)), pattern)


def test_a_busy_study_is_refused_with_exit_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_digits(tmp_path)
    assert cli.run(["run", str(path), "-j", "0", "-n", "1"]) in (0, 3)
    study = Study.claim(DATABASE, read_config(path), _fingerprint(), 6)
    try:
        capsys.readouterr()
        assert cli.run(["run", str(path), "-j", "0"]) == 1
        assert f"process {os.getpid()}" in capsys.readouterr().err
    finally:
        study.release()


def read_config(path: Path) -> Any:
    from cnnsearch.config import load

    return load(path)


def _fingerprint() -> str:
    attrs = read.study_attributes(DATABASE, "digits")
    assert attrs is not None
    return str(attrs["fingerprint"])


def test_nothing_complete_is_exit_3(tmp_path: Path) -> None:
    path = write_digits(tmp_path, space="space: {lr: [1e9, 1e8]}",
                        **{"  lr": "", "  init": "", "  batchnorm": ""})  # fmt: skip
    assert cli.run(["run", str(path), "-j", "0", "-n", "2"]) == 3


def test_dry_run_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_digits(tmp_path)
    assert cli.run(["run", str(path), "--dry-run"]) == 0
    assert capsys.readouterr().out.count("attempt 1") == 6
    assert sorted(p.name for p in tmp_path.iterdir() if "xdg" not in p.name) == ["digits.yaml"]


def test_json_is_the_summary(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_digits(tmp_path)
    assert cli.run(["run", str(path), "-j", "0", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["study"] == "digits"
    assert sum(document["counts"].values()) == 6
    assert document["best"]["state"] == "complete"


def test_n_is_the_total(tmp_path: Path) -> None:
    path = write_digits(tmp_path)
    for total in (2, 4, 4, 3):
        assert cli.run(["run", str(path), "-j", "0", "-n", str(total)]) in (0, 3)
    assert len(read.trials(DATABASE, "digits")) == 4


def test_timeout_reached_is_exit_0_or_3_and_continued(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`list` tells with which command."""
    path = write_digits(tmp_path, train="train: {epochs: 30, batch_size: 32}")
    assert cli.run(["run", str(path), "-j", "0", "--timeout", "1s", "-n", "500"]) == 0
    first = results("digits")
    assert 0 < len(first) < 500
    assert cli.run(["list", "digits"]) == 0
    left = 500 - len(first)
    told = f"next: cnnsearch run {path} -j 0 --timeout 1s -n 500 (runs the {left} points left)"
    assert told in capsys.readouterr().err
    assert cli.run(["run", str(path), "-j", "0", "-n", str(len(first) + 2)]) == 0
    command = read.summary(DATABASE, "digits").command
    assert command == f"cnnsearch run {path} -j 0 -n {len(first) + 2}", "as it was continued last"
    assert results("digits")[: len(first)] == first
    assert len(results("digits")) == len(first) + 2


def test_the_command_that_goes_on_names_the_storage_of_the_shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another shell would begin a new study in the default one."""
    path = write_digits(tmp_path)
    monkeypatch.setenv("CNNSEARCH_STORAGE", "shared.db")
    assert cli.run(["run", str(path), "-j", "0", "-n", "1"]) in (0, 3)
    command = read.summary("shared.db", "digits").command
    assert command == f"cnnsearch run {path} -j 0 -n 1 --storage shared.db"


def test_a_grid_says_its_size_and_time_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_digits(tmp_path, search="search: {sampler: grid}")
    assert cli.run(["run", str(path), "-j", "0", "-n", "2"]) in (0, 3)
    assert cli.run(["run", str(path), "-j", "0"]) == 0
    talk = capsys.readouterr().err
    assert "12 trials (grid, 2 already done)" in talk
    assert ", about " in talk
    assert len(read.trials(DATABASE, "digits")) == 12


def test_training_an_exported_trial_gives_its_numbers_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_digits(tmp_path)
    with start("run", str(path), "-j", "2") as process:
        process.communicate()
    assert cli.run(["show", "digits", "best", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert cli.run(["export", "digits", "best", "-o", "best.yaml"]) == 0
    capsys.readouterr()
    with start("train", "best.yaml", "--json") as process:
        out, _ = process.communicate()
    trained = json.loads(out)
    assert trained.keys() == shown.keys()
    for one, other in zip(shown["curve"], trained["curve"], strict=True):
        assert {**one, "seconds": 0} == {**other, "seconds": 0}
    assert trained["value"] == shown["value"]
    assert trained["config"] == shown["config"]


def test_the_study_of_a_config_built_in_python_equals_that_of_the_file(tmp_path: Path) -> None:
    assert read_config(write_digits(tmp_path)) == digits_config()


@pytest.mark.parametrize("spoilt", ["runs", "cnnsearch.db", "cnnsearch.db-digits.lock"])
def test_what_cannot_be_written_is_one_line(
    spoilt: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_digits(tmp_path)
    if spoilt == "runs":
        (tmp_path / spoilt).write_text("a file where a folder belongs")
    else:
        (tmp_path / spoilt).mkdir()
    assert cli.run(["run", str(path), "-j", "0"]) in (1, 2)
    talk = capsys.readouterr().err.splitlines()
    assert spoilt in talk[-1]
    assert not any("Traceback" in line for line in talk)


def test_small_batches_are_timed_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The time estimate needs no image of each class."""
    path = write_digits(tmp_path, search="search: {sampler: grid}",
                        train="train: {batch_size: 4, epochs: 1}")  # fmt: skip
    assert cli.run(["run", str(path), "-j", "0", "-n", "1"]) in (0, 3)
    assert ", about " in capsys.readouterr().err
