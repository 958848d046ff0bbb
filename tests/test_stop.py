"""`stop`: a search, or trials of it, ended from another shell."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cnnsearch import cli
from cnnsearch.records import State, Trial
from cnnsearch.study import read, requests
from cnnsearch.study.database import open_storage
from cnnsearch.study.store import Study
from tests.builders import write_digits
from tests.studies import write_study
from tests.waiting import until

ROOT = Path(__file__).parents[1]
DATABASE = "cnnsearch.db"
# A trial ends only if something ends it.
ENDLESS = {"train": "train: {epochs: 100000, batch_size: 32}", "  lr": "  lr: [1e-4]"}
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    # A search that starts is busy: loading torch takes many seconds on a loaded machine.
    monkeypatch.setattr(requests, "PATIENCE_S", 120.0)


@contextmanager
def running(file: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """A search in a process of its own, from the moment that its trials have told an epoch."""
    command = [sys.executable, "-m", "cnnsearch", "run", str(file), *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        try:
            yield process
        finally:
            process.kill()


def trials(state: State) -> list[Trial]:
    return [trial for trial in read.trials(DATABASE, "digits") if trial.state is state]


def begun(count: int) -> list[Trial]:
    """So many trials that run, from their worker's first word on."""
    until(lambda: list(Path().glob("runs/digits/.*.partial/log.txt")), "a worker")
    return until(lambda: found if len(found := trials(State.RUNNING)) == count else [], "trials")


def ended(process: subprocess.Popen[str]) -> str:
    """What it said, once it has ended by itself."""
    said = process.communicate(timeout=200)[1]
    assert "Traceback" not in said
    return said


def fused(folder: Path) -> Path:
    """A search of two endless trials that are trained together."""
    lines = {
        "search": "search: {sampler: random, trials: 2, retries: 0}",
        "  init": "  init: [he]",
        "  batchnorm": "  batchnorm: [false]",
        **ENDLESS,
    }
    file = write_digits(folder, **lines)
    file.write_text(file.read_text() + "fuse: 2\n")
    return file


def test_a_trial_and_then_the_search(tmp_path: Path, capsys: Capture) -> None:
    file = write_digits(tmp_path, **ENDLESS)
    with running(file, "-n", "3", "-j", "1", "-S", "loss_ratio=null") as process:
        begun(1)
        assert cli.run(["stop", "digits", "0"]) == 0
        assert capsys.readouterr().err == "digits: trial 0 ends after its current epoch\n"
        until(lambda: trials(State.PRUNED), "the trial's end")
        until(lambda: any(t.number == 1 for t in trials(State.RUNNING)), "the next trial")
        begun(1)
        assert cli.run(["stop", "digits", "--now"]) == 0
        assert capsys.readouterr().err == "digits: the search ends\n"
        said = ended(process)
    assert process.returncode == 3  # none is complete
    assert "stop was asked for: no trial begins any more, what runs is ended" in said
    assert "2 trials left. To continue: cnnsearch run" in said
    [stopped] = trials(State.PRUNED)
    assert stopped.epochs >= 1
    assert stopped.reason == f"stopped by the user after epoch {stopped.epochs}"
    [killed] = trials(State.KILLED)
    assert killed.reason == "stopped by the user"


def test_the_search_when_its_trials_have_ended(tmp_path: Path, capsys: Capture) -> None:
    file = write_digits(tmp_path, train="train: {epochs: 200, batch_size: 32}")
    with running(file, "-n", "60", "-j", "2", "-S", "loss_ratio=null") as process:
        running_now = {trial.number for trial in begun(2)}
        assert cli.run(["stop", "digits"]) == 0
        told = "digits: the search ends when its running trials have ended\n"
        assert capsys.readouterr().err == told
        ended(process)
    found = read.trials(DATABASE, "digits")
    assert running_now <= {trial.number for trial in found}
    assert len(found) < 60  # a quick one may have ended before it was asked for
    assert {trial.state for trial in found} <= {State.COMPLETE, State.DIVERGED}


def test_a_pruned_search(tmp_path: Path) -> None:
    """Its workers wait for a word after each epoch; a trial that is stopped frees its own."""
    lines = {"search": "search: {sampler: random, trials: 2, pruner: median}", **ENDLESS}
    file = write_digits(tmp_path, **lines)
    with running(file, "-j", "2") as process:
        begun(2)
        assert cli.run(["stop", "digits", "0,1", "--now"]) == 0
        ended(process)
    assert [trial.state for trial in read.trials(DATABASE, "digits")] == [State.PRUNED] * 2


def test_folds(tmp_path: Path) -> None:
    lines = {"data": "data: {name: digits, limit: 200, validation: {folds: 2}}", **ENDLESS}
    file = write_digits(tmp_path, **lines)
    with running(file, "-n", "1", "-j", "2", "-S", "loss_ratio=null") as process:
        begun(1)
        assert cli.run(["stop", "digits", "0"]) == 0
        ended(process)
    [trial] = read.trials(DATABASE, "digits")
    assert trial.state is State.PRUNED


def test_what_was_trained_with_it_runs_again(tmp_path: Path) -> None:
    """On the same batched network, at no cost of a retry."""
    with running(fused(tmp_path), "-j", "1", "-S", "loss_ratio=null") as process:
        begun(2)
        assert cli.run(["stop", "digits", "0", "--now"]) == 0
        until(lambda: [t for t in trials(State.RUNNING) if t.attempt == 2], "another attempt")
        assert cli.run(["stop", "digits", "--now"]) == 0
        ended(process)
    found = read.trials(DATABASE, "digits")
    assert [trial.state for trial in found] == [State.PRUNED, State.KILLED, State.KILLED]
    assert found[1].reason == "was trained together with trial 0, which was stopped"
    assert found[2].point == found[1].point


def test_all_that_are_trained_together(tmp_path: Path) -> None:
    with running(fused(tmp_path), "-j", "1", "-S", "loss_ratio=null") as process:
        begun(2)
        assert cli.run(["stop", "digits", "0,1", "--now"]) == 0
        ended(process)
    assert [trial.state for trial in read.trials(DATABASE, "digits")] == [State.PRUNED] * 2


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["digits", "1"], "digits/1 is complete. Only a running trial can be stopped; none runs."),
        (["digits", "99"], "study digits has no trial 99"),
        (["digits/1"], "write the study and its trials as two words: cnnsearch stop digits 1."),
        (["nothing"], "no study 'nothing'"),
    ],
)
def test_what_cannot_be_stopped(words: list[str], told: str, capsys: Capture) -> None:
    write_study(Path(DATABASE))
    before = Path(DATABASE).read_bytes()
    assert cli.run(["stop", *words]) == 2
    assert told in capsys.readouterr().err
    assert Path(DATABASE).read_bytes() == before


def test_nobody_runs_it(capsys: Capture) -> None:
    write_study(Path(DATABASE))
    before = Path(DATABASE).read_bytes()
    assert cli.run(["stop", "digits"]) == 0
    said = capsys.readouterr().err
    assert said == "digits: nobody runs it, so there is nothing to stop\n"
    assert Path(DATABASE).read_bytes() == before


def test_no_further_stage_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """Also where the last trial of a stage is what runs."""
    asked = [{"verb": requests.STOP, "trials": [], "now": False}]
    monkeypatch.setattr(Study, "stops", lambda self: asked if len(self.trials()) == 6 else [])
    file = write_digits(tmp_path, search="search: {sampler: random}")
    stages = "stages: [{epochs: 1, trials: 6}, {epochs: 1, trials: 2, top: 5}]\n"
    file.write_text(file.read_text() + stages)
    assert cli.run(["run", str(file), "-j", "0"]) == 0
    assert "stopped at stage 2 of 2. To continue: cnnsearch run" in capsys.readouterr().err
    assert read.study_names(DATABASE) == ["digits.1"]


def test_what_was_asked_of_a_dead_search_does_not_stop_the_next(tmp_path: Path) -> None:
    file = write_digits(tmp_path)
    assert cli.run(["run", str(file), "-j", "0", "-n", "1"]) in (0, 3)
    database = open_storage(DATABASE)
    study_id = database.get_study_id_from_name("digits")
    request = {"verb": requests.STOP, "trials": [], "now": True}
    requests.leave(database, DATABASE, study_id, request)
    database.engine.dispose()
    assert cli.run(["run", str(file), "-j", "0", "-n", "2"]) in (0, 3)
    assert len(read.trials(DATABASE, "digits")) == 2
