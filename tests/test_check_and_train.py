"""`cnnsearch check` and `cnnsearch train` on real files."""

from __future__ import annotations

import json
import re
import statistics
from pathlib import Path
from typing import Any

import pytest

from cnnsearch import cli
from tests.builders import write_digits

SINGLE = """\
data: {name: digits, limit: 200}
model: {conv: [8], hidden: [16]}
train: {epochs: 3, batch_size: 32, lr: 0.1}
seed: 4
device: cpu
"""

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def single(tmp_path: Path) -> str:
    path = tmp_path / "single.yaml"
    path.write_text(SINGLE, encoding="utf-8")
    return str(path)


def trained(capsys: Capture, *words: str) -> Any:
    capsys.readouterr()
    assert cli.run(["train", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


class TestCheck:
    def test_a_search(self, tmp_path: Path, capsys: Capture) -> None:
        assert cli.run(["check", str(write_digits(tmp_path))]) == 0
        text = capsys.readouterr().out
        assert "6 trials, random over lr, init, batchnorm" in text
        assert "200 to train, 144 to validate, 360 to test" in text
        assert re.search(r"networks +2 by size, of 2,\d{3} to 2,\d{3} parameters", text)
        assert re.search(r"conv1 +Conv2d +8x8x8 +80\n", text)
        assert "batchnorm true" in text

    def test_json(self, tmp_path: Path, capsys: Capture) -> None:
        path = write_digits(tmp_path, search="search: {sampler: grid}")
        assert cli.run(["check", str(path), "--json"]) == 0
        document = json.loads(capsys.readouterr().out)
        assert document["trials"] == 12
        assert document["shape"] == [1, 8, 8]
        assert [len(network["models"]) for network in document["networks"]] == [1, 1]
        for network in document["networks"]:
            assert network["parameters"] == sum(row["parameters"] for row in network["layers"])
        assert document["memory_bytes"] > 0
        assert document["trial_seconds"] > 0

    def test_a_single_run(self, single: str, capsys: Capture) -> None:
        assert cli.run(["check", single]) == 0
        assert "one trial of 3 epochs" in capsys.readouterr().out

    def test_an_overridden_value_is_said(self, tmp_path: Path, capsys: Capture) -> None:
        path = write_digits(tmp_path, train="train: {lr: 0.5, epochs: 1}")
        assert cli.run(["check", str(path)]) == 0
        assert "overrides" in capsys.readouterr().err

    def test_a_network_that_only_one_of_many_choices_makes_is_found(
        self, tmp_path: Path, capsys: Capture
    ) -> None:
        """Above the number of networks that are built one by one, too."""
        lists = ", ".join(f"[{n}]" for n in range(1, 100))
        space = f"space:\n  conv: [{lists}, [4, 4, 4, 4, 4]]\n  kernel: [1, 2, 3, 4, 5, 6, 7]"
        space += "\n  hidden: [[], [8], [9], [10]]"
        path = write_digits(tmp_path, space=space)
        assert cli.run(["run", str(path), "-j", "0", "-n", "1"]) == 2
        assert "[4, 4, 4, 4, 4]" in capsys.readouterr().err
        assert not Path("cnnsearch.db").exists()

    @pytest.mark.parametrize("space", [
        "space:\n  activation: [relu, tanh]\n"
        "  batch_size: {choices: [16], when: {activation: relu}}",
        "space:\n  batch_size: [16, 1024]",
        "space:\n  batch_size: {low: 16, high: 1024}",
    ])  # fmt: skip
    def test_memory_is_that_of_the_largest_batch(
        self, space: str, tmp_path: Path, capsys: Capture
    ) -> None:
        found = []
        for words in (space, "space:\n  batch_size: [1024]", "space:\n  batch_size: [16]"):
            path = write_digits(tmp_path, space=words, train="train: {batch_size: 1024, epochs: 1}")
            assert cli.run(["check", str(path), "--json"]) == 0
            found.append(json.loads(capsys.readouterr().out)["memory_bytes"])
        assert found[0] == found[1] > 4 * found[2]

    def test_small_batches_are_timed_too(self, tmp_path: Path, capsys: Capture) -> None:
        path = write_digits(tmp_path, train="train: {batch_size: 4, epochs: 1}")
        assert cli.run(["check", str(path)]) == 0
        assert "of training" in capsys.readouterr().out

    def test_a_tight_limit_is_timed_too(self, tmp_path: Path) -> None:
        tight = "abort: {loss_ratio: 1.01, check_every: 1}"
        path = write_digits(tmp_path, abort=tight, data="data: {name: digits, pixels: raw}")
        assert cli.run(["check", str(path)]) == 0

    def test_the_time_is_near_what_training_takes(self, single: str, capsys: Capture) -> None:
        words = ["-S", "epochs=20", "-S", "limit=null"]
        assert cli.run(["check", single, "--json", *words]) == 0
        told = json.loads(capsys.readouterr().out)["trial_seconds"]
        curve = trained(capsys, single, *words)["curve"]
        taken = sum(result["seconds"] for result in curve)
        assert taken / 4 < told < taken * 4

    def test_nothing_is_written(self, tmp_path: Path) -> None:
        path = write_digits(tmp_path)
        assert cli.run(["check", str(path)]) == 0
        assert [p.name for p in tmp_path.iterdir() if "xdg" not in p.name] == ["digits.yaml"]

    def test_all_impossible_networks_are_found(self, tmp_path: Path, capsys: Capture) -> None:
        path = write_digits(tmp_path, space="space:\n  conv: [[8], [8, 8, 8, 8], [4, 4, 4, 4, 4]]")
        assert cli.run(["check", str(path)]) == 2
        talk = capsys.readouterr().err
        assert "[8, 8, 8, 8]" in talk
        assert "[4, 4, 4, 4, 4]" in talk
        assert "conv [8]:" not in talk


class TestTrain:
    def test_an_epoch_is_a_line_and_the_result_is_told(self, single: str, capsys: Capture) -> None:
        assert cli.run(["train", single]) == 0
        out, talk = capsys.readouterr()
        assert [line.split()[0] for line in talk.splitlines()] == ["epoch", "1/3", "2/3", "3/3"]
        assert "seed 4: complete, val_accuracy" in out

    def test_epochs_and_settings(self, single: str, capsys: Capture) -> None:
        document = trained(capsys, single, "--epochs", "2", "-S", "lr=0.02", "-S", "seed=9")
        assert document["epochs"] == 2
        assert document["seed"] == 9
        assert document["config"]["train"]["lr"] == 0.02
        assert {result["lr"] for result in document["curve"]} == {0.02}

    def test_seeds_are_the_files_and_those_after_it(self, single: str, capsys: Capture) -> None:
        several = trained(capsys, single, "--seeds", "3")
        assert [document["seed"] for document in several] == [4, 5, 6]
        assert several[1]["value"] == trained(capsys, single, "-S", "seed=5")["value"]
        assert cli.run(["train", single, "--seeds", "3"]) == 0
        mean = statistics.fmean(document["value"] for document in several)
        assert f"mean {mean:.4f}" in capsys.readouterr().out

    def test_the_test_set_is_read_once_and_counted(self, single: str, capsys: Capture) -> None:
        assert "test_accuracy" not in trained(capsys, single)
        first, second = (trained(capsys, single, "--test") for _ in range(2))
        assert (first["test_readings"], second["test_readings"]) == (1, 2)
        assert first["test_accuracy"] == second["test_accuracy"]
        assert 0.3 < first["test_accuracy"] <= 1

    def test_a_diverged_run_is_exit_3(self, single: str, capsys: Capture) -> None:
        assert cli.run(["train", single, "-S", "lr=1e9"]) == 3
        assert "diverged: loss" in capsys.readouterr().out

    def test_a_search_is_refused(self, tmp_path: Path, capsys: Capture) -> None:
        assert cli.run(["train", str(write_digits(tmp_path))]) == 2
        assert "cnnsearch run" in capsys.readouterr().err

    def test_a_single_run_is_refused_by_run(self, single: str, capsys: Capture) -> None:
        assert cli.run(["run", single]) == 2
        assert "cnnsearch train" in capsys.readouterr().err
        assert not Path("cnnsearch.db").exists()
