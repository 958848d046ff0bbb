"""The weights of trials that are kept, and the networks that are exported with them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from cnnsearch import catalog, cli, exported, runner, weights
from cnnsearch.config import from_plain, load_with_notes
from cnnsearch.data import load, prepare
from cnnsearch.errors import CnnsearchError, InputError
from cnnsearch.objective import best_epoch
from cnnsearch.records import Checkpointing, EpochResult, KeptWeights, Outcome, State
from cnnsearch.study import read
from cnnsearch.train import evaluate
from tests.builders import digits_config, write_digits
from tests.test_checkpoint import EPOCHS, all_of_it, attempt, timeless, whole

Capture = pytest.CaptureFixture[str]
CPU = torch.device("cpu")


def keeping(file: Path, objective: str | None = "val_accuracy", **plan: Any) -> Checkpointing:
    told = {"every": None, "file": str(file.with_name("checkpoint.pt")), **plan}
    return Checkpointing(**told, weights=KeptWeights(str(file), objective))


def scores(network: exported.Network, images: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        found: torch.Tensor = network(images)
    return found


class TestWhileTraining:
    @pytest.mark.parametrize("objective", ["val_accuracy", "val_loss", None])
    def test_they_are_those_of_the_epoch(self, objective: str | None, tmp_path: Path) -> None:
        """They give its numbers again, and change none of the training."""
        config, file = all_of_it(), tmp_path / "weights.pt"
        told = list(runner.run(config, checkpoints=keeping(file, objective)))
        last = told[-1]
        assert isinstance(last, Outcome)
        curve = [item for item in told if isinstance(item, EpochResult)]
        epoch = EPOCHS if objective is None else best_epoch(curve, objective)
        assert last.facts["weights_epoch"] == epoch
        facts = {k: v for k, v in last.facts.items() if k != "weights_epoch"}
        assert timeless([*told[:-1], replace(last, facts=facts)]) == whole()
        network = exported.of_trial(config, file, None)
        data = prepare(load(config.data), config.data, CPU)
        again = evaluate(network.layers, data.validation_batches())
        assert epoch is not None
        wanted = curve[epoch - 1]
        assert again == pytest.approx((wanted.val_loss, wanted.val_accuracy), rel=1e-6)
        assert [one.name for one in tmp_path.iterdir()] == ["weights.pt"]

    def test_they_survive_a_death(self, tmp_path: Path) -> None:
        """The best epoch was before it: they come from the checkpoint."""
        config = all_of_it(lr=0.3, schedule="step", step_every=1, step_factor=0.01)
        told = list(runner.run(config, checkpoints=keeping(tmp_path / "whole.pt", "val_loss")))
        curve = [item for item in told if isinstance(item, EpochResult)]
        best = best_epoch(curve, "val_loss")
        assert best is not None
        assert best < EPOCHS, "else this test says nothing"
        kept = keeping(tmp_path / "w.pt", "val_loss", every=1)
        first = replace(kept, file=str(tmp_path / "0.pt"))
        running = runner.run(config, checkpoints=first)
        for _ in range(1 + best):
            next(running)
        running.close()  # type: ignore[attr-defined]
        assert not (tmp_path / "w.pt").exists()
        again = replace(kept, file=str(tmp_path / "1.pt"), earlier=(first.file,))
        last = list(runner.run(config, checkpoints=again))[-1]
        assert isinstance(last, Outcome)
        assert (last.facts["continued_after"], last.facts["weights_epoch"]) == (best, best)
        one, other = (weights.read(tmp_path / name) for name in ("whole.pt", "w.pt"))
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)

    def test_a_checkpoint_without_them(self, tmp_path: Path) -> None:
        """Where the best epoch was trained while none were kept, none are written."""
        config = all_of_it(lr=0.3, schedule="step", step_every=1, step_factor=0.01)
        attempt(config, 0, tmp_path, until=4)
        earlier = (str(tmp_path / "0.pt"),)
        plan = keeping(tmp_path / "w.pt", "val_loss", every=1, earlier=earlier)
        last = list(runner.run(config, checkpoints=plan))[-1]
        assert isinstance(last, Outcome)
        assert last.state is State.COMPLETE
        assert last.facts["weights_error"] == "its best epoch was trained when none were kept"
        assert not (tmp_path / "w.pt").exists()

    def test_what_cannot_be_written(self, tmp_path: Path) -> None:
        plan = keeping(tmp_path / "nowhere" / "weights.pt")
        last = list(runner.run(all_of_it(), checkpoints=plan))[-1]
        assert isinstance(last, Outcome)
        assert last.state is State.COMPLETE
        assert last.facts["weights_error"] == "No such file or directory"

    def test_a_diverged_trial_leaves_none(self, tmp_path: Path) -> None:
        told = list(runner.run(all_of_it(lr=1e9), checkpoints=keeping(tmp_path / "weights.pt")))
        last = told[-1]
        assert isinstance(last, Outcome)
        assert last.state is State.DIVERGED
        assert not list(tmp_path.iterdir())


def make(tmp_path: Path, **model: Any) -> tuple[exported.Network, torch.Tensor, torch.Tensor]:
    """A network, some images uint8, and the scores that it had in training."""
    params = {"preprocess": "standardize", "dropout": 0.3, **model}
    config = digits_config().at(params, 3)
    data = prepare(load(config.data), config.data, CPU)
    model_ = runner.make_network(config, data, CPU)
    weights.save(model_.state_dict(), tmp_path / "weights.pt")
    images = torch.from_numpy(data.images.train[:7])
    model_.eval()
    with torch.inference_mode():
        wanted = model_(data.preprocessing(images))
    return exported.of_trial(config, tmp_path / "weights.pt", None), images, wanted


ORIGIN = exported.Origin("digits/3", 2)


class TestNetworks:
    @pytest.mark.parametrize("activation", catalog.ACTIVATIONS)
    @pytest.mark.parametrize("preprocess", catalog.PREPROCESSORS)
    def test_loaded_it_has_the_same_scores(
        self, activation: str, preprocess: str, tmp_path: Path
    ) -> None:
        network, images, wanted = make(
            tmp_path, activation=activation, preprocess=preprocess, batchnorm=True
        )
        exported.write(network, tmp_path / "best.pt", ORIGIN)
        again = exported.load(tmp_path / "best.pt")
        assert not again.training
        assert torch.equal(scores(again, images), wanted)
        torch.testing.assert_close(scores(again, images / 255), wanted, atol=1e-5, rtol=1e-5)
        assert (again.shape, again.classes) == ((1, 8, 8), tuple("0123456789"))
        assert again.config["model"]["activation"] == activation

    @pytest.mark.parametrize(
        "model",
        [
            {"activation": "maxout", "batchnorm": True, "batchnorm_at": "after"},
            {"activation": "prelu", "preprocess": "mean_image", "kernel": 2},
            {"conv": [], "preprocess": "none"},
        ],
        ids=["maxout", "prelu", "no conv"],
    )
    def test_as_onnx_too(self, model: dict[str, Any], tmp_path: Path) -> None:
        """To 1e-4, of any number of images."""
        network, images, wanted = make(tmp_path, **model)
        exported.write_onnx(network, tmp_path / "best.onnx", ORIGIN)
        session = onnxruntime.InferenceSession(tmp_path / "best.onnx")
        for count in (1, 7):
            given = (images[:count] / 255).numpy()
            [found] = session.run(["scores"], {"images": given})
            np.testing.assert_allclose(found, wanted[:count].numpy(), atol=1e-4)
        told = session.get_modelmeta().custom_metadata_map
        assert json.loads(told["classes"]) == list("0123456789")
        assert told["trial"] == "digits/3"

    @pytest.mark.parametrize("activation", catalog.ACTIVATIONS)
    def test_without_gradients_of_its_own_it_is_the_same(
        self, activation: str, tmp_path: Path
    ) -> None:
        """What is written as ONNX, of each activation."""
        network, images, wanted = make(tmp_path, activation=activation, batchnorm=True)
        found = scores(exported.plain(network), images / 255)
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)

    def test_damaged_files(self, tmp_path: Path) -> None:
        network, _, _ = make(tmp_path)
        file = tmp_path / "best.pt"
        exported.write(network, file, ORIGIN)
        valid = file.read_bytes()
        content = weights.read(file)
        others: list[dict[str, Any]] = [
            {"format": 2}, {"config": "{}"}, {"config": "x"}, {"shape": [1, 8]}, {"state": {}},
            {"state": None}, {"classes": 3}, {"factor": "x"},
        ]  # fmt: skip
        for change in others:
            weights.save({**content, **change}, file)
            with pytest.raises(InputError, match=r"best\.pt: "):
                exported.load(file)
        for text in (b"", b"no file of torch", valid[: len(valid) // 2]):
            file.write_bytes(text)
            with pytest.raises(InputError, match=r"best\.pt: "):
                exported.load(file)

    def test_a_file_with_code_runs_none(self, tmp_path: Path) -> None:
        made = tmp_path / "made"
        torch.save({"format": partial(os.mkdir, str(made))}, tmp_path / "evil.pt")
        with pytest.raises(InputError):
            exported.load(tmp_path / "evil.pt")
        assert not made.exists()

    def test_other_images(self, tmp_path: Path) -> None:
        make(tmp_path)
        with pytest.raises(CnnsearchError, match="others"):
            exported.of_trial(digits_config().at({}, 3), tmp_path / "weights.pt", "another")


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where a search ran that kept its best weights."""
    folder = tmp_path_factory.mktemp("searched")
    search(folder, "best")
    return folder


def search(folder: Path, keep: str) -> None:
    """A search in this process, some of whose trials diverge."""
    train = "train: {epochs: 3, batch_size: 32}"
    path = write_digits(
        folder, train=train, **{"  lr": "  lr: {low: 1e-2, high: 200.0, log: true}"}
    )
    path.write_text(f"{path.read_text()}checkpoint: {{keep: {keep}}}\n")
    before = Path.cwd()
    os.chdir(folder)
    try:
        assert cli.run(["run", "digits.yaml", "-j", "0"]) == 0
    finally:
        os.chdir(before)


@pytest.fixture
def there(searched: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(searched)
    return searched


class TestSearch:
    def test_each_complete_trial_has_its_own(self, there: Path) -> None:
        trials = read.trials("cnnsearch.db", "digits")
        states = {trial.state for trial in trials}
        assert states == {State.COMPLETE, State.DIVERGED}
        for trial in trials:
            complete = trial.state is State.COMPLETE
            assert Path(f"runs/digits/{trial.number}/weights.pt").exists() == complete
            assert trial.facts.get("weights_epoch") == (trial.best_epoch if complete else None)

    def test_no_number_depends_on_it(self, there: Path, tmp_path: Path) -> None:
        """Those of the same search without."""
        search(tmp_path, "none")
        assert not list(tmp_path.rglob("weights.pt"))
        one, other = (
            {trial.point: trial.value for trial in read.trials(str(path), "digits")}
            for path in (there / "cnnsearch.db", tmp_path / "cnnsearch.db")
        )
        assert one == other

    @pytest.mark.parametrize("name", ["best.pt", "best.onnx"])
    def test_the_program_that_is_printed_runs(
        self, name: str, there: Path, tmp_path: Path, capsys: Capture
    ) -> None:
        assert cli.run(["export", "digits", "best", "--model", str(tmp_path / name)]) == 0
        program, told = capsys.readouterr()
        assert f"Wrote {tmp_path / name}: digits/" in told
        assert "after epoch" in told
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", program],
            capture_output=True, text=True, check=True, cwd=tmp_path,
        )  # fmt: skip
        assert done.stderr == ""
        guesses = json.loads(done.stdout.replace("'", '"'))
        assert len(guesses) == 8
        assert set(guesses) <= set("0123456789")

    def test_it_is_as_good_as_the_trial_was(
        self, there: Path, tmp_path: Path, capsys: Capture
    ) -> None:
        assert cli.run(["export", "digits", "best", "--model", str(tmp_path / "best.pt")]) == 0
        network = exported.load(tmp_path / "best.pt")
        section = from_plain(network.config).data
        data = prepare(load(section), section, CPU)
        pixels = torch.from_numpy(data.images.train)[data.validation]
        labels = torch.from_numpy(data.images.train_labels)[data.validation]
        accuracy = (scores(network, pixels).argmax(1) == labels).float().mean().item()
        summary = read.summary("cnnsearch.db", "digits")
        assert accuracy == pytest.approx(summary.best)

    def test_a_link_stays_one(self, there: Path, capsys: Capture) -> None:
        (there / "link.pt").symlink_to("behind.pt")
        assert cli.run(["export", "digits", "best", "--model", "link.pt"]) == 0
        assert "Wrote link.pt: digits/" in capsys.readouterr().err
        assert Path("link.pt").is_symlink()
        assert exported.load("behind.pt").classes

    def test_show_names_them(self, there: Path, capsys: Capture) -> None:
        assert cli.run(["show", "digits", "best"]) == 0
        assert "are kept: cnnsearch export digits " in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("words", "told"),
        [
            ("best --model best.bin", "ends in .pt or .onnx"),
            ("best --model nowhere/best.pt", "no folder nowhere"),
            ("best --model digits.yaml.pt", "exists. Write --force"),
            ("best --model x.pt -o y", "-o: --model says where to write"),
            ("top:2 --model y.pt", "one trial is wanted"),
        ],
    )
    def test_wrong_words(self, words: str, told: str, there: Path, capsys: Capture) -> None:
        (there / "digits.yaml.pt").touch()
        assert cli.run(["export", "digits", *words.split()]) == 2
        [line] = capsys.readouterr().err.splitlines()
        assert told in line
        assert not (there / "x.pt").exists()

    def test_a_trial_without(self, there: Path, tmp_path: Path, capsys: Capture) -> None:
        lost = [
            trial.number
            for trial in read.trials("cnnsearch.db", "digits")
            if trial.state is State.DIVERGED
        ]
        assert cli.run(["export", "digits", str(lost[0]), "--model", "x.pt"]) == 2
        assert "Only complete trials have weights" in capsys.readouterr().err
        os.chdir(tmp_path)
        words = ["export", "digits", "best", "--model", "x.pt"]
        assert cli.run([*words, "--storage", str(there / "cnnsearch.db")]) == 2
        assert "in the folder where its search ran" in capsys.readouterr().err

    def test_a_folder_of_another_trial(
        self, there: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        trials = read.trials("cnnsearch.db", "digits")
        one, other = [t.number for t in trials if t.state is State.COMPLETE][:2]
        (tmp_path / "runs" / "digits").mkdir(parents=True)
        (tmp_path / "runs" / "digits" / str(one)).symlink_to(there / "runs/digits" / str(other))
        monkeypatch.chdir(tmp_path)
        words = ["export", "digits", str(one), "--model", "x.pt"]
        assert cli.run([*words, "--storage", str(there / "cnnsearch.db")]) == 2
        assert "is of another trial" in capsys.readouterr().err

    def test_without_onnx(
        self, there: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        assert cli.run(["export", "digits", "best", "--model", "x.onnx"]) == 2
        assert "pip install 'cnnsearch[onnx]'" in capsys.readouterr().err


NET = """
import pathlib
import torch.nn as nn

def net(shape, classes):
    pathlib.Path("executed").touch()
    size = shape[0] * shape[1] * shape[2]
    return nn.Sequential(nn.Flatten(), nn.Linear(size, 8), nn.ReLU(), nn.Linear(8, classes))
"""


class TestOwnNetworks:
    """The code of the user's own networks stays in its file."""

    @pytest.fixture
    def ran(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "net.py").write_text(NET)
        path = write_digits(
            tmp_path, model="model: {module: net.py:net}", search="search: {trials: 1}"
        )
        lines = [line for line in path.read_text().splitlines() if not line.startswith("  ")]
        path.write_text("\n".join([*lines, "  lr: [0.1]", "checkpoint: {keep: last}\n"]))
        assert cli.run(["run", "digits.yaml", "-j", "0"]) == 0
        return tmp_path

    def test_they_are_executed_where_that_is_said(self, ran: Path) -> None:
        for name in ("best.pt", "best.onnx"):
            assert cli.run(["export", "digits", "best", "--model", name]) == 0
        (ran / "executed").unlink()
        with pytest.raises(InputError, match=r"best\.pt: needs the code of .*net\.py:net"):
            exported.load("best.pt")
        assert not (ran / "executed").exists()
        network = exported.load("best.pt", run_own=True)
        images = torch.rand(3, 1, 8, 8)
        [found] = onnxruntime.InferenceSession("best.onnx").run(None, {"images": images.numpy()})
        np.testing.assert_allclose(found, scores(network, images).numpy(), atol=1e-4)

    def test_code_that_has_changed(self, ran: Path, capsys: Capture) -> None:
        (ran / "net.py").write_text(NET.replace("ReLU", "Tanh"))
        assert cli.run(["export", "digits", "best", "--model", "best.pt"]) == 2
        assert "net.py has changed since" in capsys.readouterr().err


class TestConfig:
    def notes(self, tmp_path: Path, *lines: str, **replacements: str) -> list[str]:
        path = write_digits(tmp_path, **replacements)
        path.write_text(path.read_text() + "\n".join(lines) + "\n")
        return load_with_notes(path)[1]

    def test_folds_keep_none(self, tmp_path: Path) -> None:
        data = "data: {name: digits, limit: 200, validation: {folds: 2}}"
        [note] = self.notes(tmp_path, "checkpoint: {keep: last}", data=data)
        assert "checkpoint.keep: is not used: with folds" in note

    def test_they_are_not_fused(self, tmp_path: Path) -> None:
        [note] = self.notes(tmp_path, "checkpoint: {keep: last}", "fuse: 4")
        assert "trials that keep weights are trained alone" in note

    def test_what_was_stored_before_still_loads(self) -> None:
        plain = {**digits_config().plain(), "checkpoint": {"every": 3}}
        assert from_plain(plain).checkpoint.keep == "none"
