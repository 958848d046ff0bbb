"""What made a number is stored with it."""

from __future__ import annotations

import json
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest

from cnnsearch import __version__, cli, environment
from cnnsearch.config import from_plain
from cnnsearch.config import load as load_config
from cnnsearch.config.sections import Data
from cnnsearch.data import load
from cnnsearch.study import attributes, read
from cnnsearch.study.database import open_storage
from tests.builders import write_digits


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def git(*words: str) -> str:
    author = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    done = subprocess.run(["git", *author, *words], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def committed() -> str:
    git("init", "-q")
    Path("notes.txt").write_text("one\n")
    git("add", "notes.txt")
    git("commit", "-q", "-m", "one")
    return git("rev-parse", "HEAD")


def test_the_commit_of_a_folder(tmp_path: Path) -> None:
    assert environment.commit(tmp_path) is None
    head = committed()
    assert environment.commit(tmp_path) == head
    Path("new.txt").write_text("not tracked\n")
    assert environment.commit(tmp_path) == head
    Path("notes.txt").write_text("two\n")
    assert environment.commit(tmp_path) == f"{head}-dirty"
    assert environment.commit(tmp_path / "gone") is None


def test_no_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    committed()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert environment.commit(tmp_path) is None


@pytest.mark.parametrize("jobs", ["0", "2"])
def test_a_trial_keeps_what_made_it(jobs: str, tmp_path: Path) -> None:
    head = committed()
    path = write_digits(tmp_path, search="search: {trials: 2}")
    assert cli.run(["run", str(path), "-j", jobs]) == 0
    for trial in read.trials("cnnsearch.db", "digits"):
        found = trial.facts["environment"]
        assert found.pop("processor")
        assert found == {
            "cnnsearch": __version__,
            "python": platform.python_version(),
            "torch": version("torch"),
            "device": "cpu",
            "threads": 1,
            "fused": 1,
            "data": load(Data(name="digits")).fingerprint,
            "commit": head,
        }


def test_a_trial_keeps_its_config(tmp_path: Path) -> None:
    path = write_digits(tmp_path, search="search: {trials: 2}")
    assert cli.run(["run", str(path), "-j", "0"]) == 0
    storage = open_storage("cnnsearch.db")
    stored = storage.get_all_trials(storage.get_study_id_from_name("digits"))
    storage.engine.dispose()
    config = load_config(path)
    for trial, row in zip(read.trials("cnnsearch.db", "digits"), stored, strict=True):
        single = from_plain(row.user_attrs[attributes.CONFIG])
        assert single == config.at(trial.params, trial.seed)


def test_a_single_run_tells_it_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    head = committed()
    Path("one.yaml").write_text("data: {name: digits, limit: 100}\ntrain: {epochs: 1}\n")
    assert cli.run(["train", "one.yaml", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)["facts"]
    assert facts["environment"]["commit"] == head
