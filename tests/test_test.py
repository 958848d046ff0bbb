"""`cnnsearch test`: trained on everything, read once, counted and kept."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from cnnsearch import cli, runner
from cnnsearch.config import load as load_config
from cnnsearch.config.sections import Data
from cnnsearch.data import load, prepare
from cnnsearch.data.readings import readings
from cnnsearch.errors import CnnsearchError
from cnnsearch.records import EpochResult, Outcome, Prepared
from cnnsearch.study import read, requests
from tests.builders import write_digits

Capture = pytest.CaptureFixture[str]
DIGITS = Data(name="digits", limit=200)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def searched(tmp_path: Path, **lines: str) -> None:
    path = write_digits(tmp_path, **{"search": "search: {trials: 3}", **lines})
    assert cli.run(["run", str(path), "-j", "0"]) == 0


def final(capsys: Capture, *words: str) -> Any:
    capsys.readouterr()
    assert cli.run(["test", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_validation_images_are_trained_on_and_the_test_set_is_read(
    tmp_path: Path, capsys: Capture
) -> None:
    searched(tmp_path)
    told = final(capsys, "digits", "best")
    best = read.trials("cnnsearch.db", "digits")[told["trial"]]
    config = load_config(tmp_path / "digits.yaml").at(best.params, best.seed)
    images = load(DIGITS)
    # What the verb should have done, by hand.
    section = replace(config, diagnose=False)
    *_, outcome = runner.run(section, test=True, whole=True)
    assert isinstance(outcome, Outcome)
    assert told["test_accuracy"] == outcome.facts["test_accuracy"]
    assert (
        told["training_images"]
        == 200 + prepare(images, DIGITS, torch.device("cpu")).validation_size
    )
    assert told["test_images"] == 360
    alone = list(runner.run(section, test=True))
    assert isinstance(alone[-1], Outcome)
    assert alone[-1].facts["test_loss"] != told["test_loss"], "trained on less"


def test_each_reading_is_counted_and_kept(tmp_path: Path, capsys: Capture) -> None:
    searched(tmp_path)
    fingerprint = load(DIGITS).fingerprint
    assert readings(fingerprint) == 0
    first = final(capsys, "digits", "best")
    assert first["test_readings"] == readings(fingerprint) == 1
    assert cli.run(["test", "digits/best"]) == 0
    said = capsys.readouterr()
    assert "its test set was read 1 time before" in said.err
    assert "the test set was read 2 times so far" in said.out
    assert cli.run(["export", "digits", "best", "-o", "best.yaml"]) == 0
    assert cli.run(["train", "best.yaml", "--test"]) == 0
    assert readings(fingerprint) == 3
    kept = read.trial("cnnsearch.db", "digits", first["trial"]).tests
    assert [one["test_readings"] for one in kept] == [1, 2]
    assert kept[0]["test_accuracy"] == kept[1]["test_accuracy"] == first["test_accuracy"]
    assert kept[0]["environment"]["data"] == fingerprint


def test_nothing_is_measured_on_no_validation_images(tmp_path: Path) -> None:
    config = load_config(write_digits(tmp_path)).at({"lr": 0.05}, 1)
    prepared, *epochs, outcome = runner.run(config, whole=True)
    assert isinstance(prepared, Prepared)
    assert prepared.validation_images == 0
    assert isinstance(outcome, Outcome)
    assert outcome.state == "complete"
    for epoch in epochs:
        assert isinstance(epoch, EpochResult)
        assert epoch.val_accuracy != epoch.val_accuracy
        assert epoch.train_accuracy > 0


def test_folds_are_no_hindrance(tmp_path: Path, capsys: Capture) -> None:
    searched(tmp_path, data="data: {name: digits, limit: 200, validation: {folds: 3}}")
    told = final(capsys, "digits", "best")
    assert told["training_images"] == 200 + 1437 // 3
    assert told["test_readings"] == 1


def test_what_cannot_be_tested(tmp_path: Path, capsys: Capture) -> None:
    head = write_digits(tmp_path).read_text().partition("search:")[0]
    (tmp_path / "lost.yaml").write_text(
        f"{head}search: {{sampler: grid}}\nspace: {{lr: [1e9, 0.05]}}\n"
    )
    assert cli.run(["run", "lost.yaml", "-j", "0"]) == 0
    trials = read.trials("cnnsearch.db", "lost")
    lost = next(t.number for t in trials if t.params["lr"] == 1e9)
    capsys.readouterr()
    assert cli.run(["test", "lost", str(lost)]) == 2
    assert f"lost/{lost}: diverged. Choose a complete trial." in capsys.readouterr().err
    assert cli.run(["test", "lost", "0-1"]) == 2
    assert "one trial is wanted" in capsys.readouterr().err
    assert not (tmp_path / "state").exists()


def test_other_images_are_refused_before_the_test_set_is_read(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched(tmp_path)
    other = replace(load(DIGITS), fingerprint="other")
    monkeypatch.setattr(runner, "_found", {})  # another process would run it
    monkeypatch.setattr(runner, "load", lambda section, expected: other)
    assert cli.run(["test", "digits", "best"]) == 2
    assert "others than when the study began" in capsys.readouterr().err
    assert not (tmp_path / "state").exists()


def test_a_storage_that_fails_hides_no_result(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched(tmp_path)

    def gone(*_: object) -> bool:
        raise CnnsearchError("--storage: disk full")

    monkeypatch.setattr(requests, "ask", gone)
    capsys.readouterr()
    assert cli.run(["test", "digits", "best"]) == 1
    said = capsys.readouterr()
    assert "test accuracy" in said.out
    assert "disk full" in said.err
