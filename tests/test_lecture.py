"""The two-layer network of CS231n's lecture 6 on CIFAR-10: the numbers its slides print.

3072-50-10, weights 1e-4 * N(0, 1), pixels 0..255 less the mean image, plain SGD. Rows that say
nothing about the images run on random ones where CIFAR-10 is absent.
"""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from cnnsearch.config.config import Config
from cnnsearch.config.sections import Abort, Data, Model, Train
from cnnsearch.data import load, prepare
from cnnsearch.model import build, initialise
from cnnsearch.records import EpochResult, Outcome, Prepared, State
from cnnsearch.runner import run
from cnnsearch.train import evaluate, l2_penalty

CLASSES = 10


@pytest.fixture(scope="session")
def random_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten classes of 60 images of noise."""
    root = tmp_path_factory.mktemp("noise")
    draw = np.random.default_rng(0)
    for number in range(CLASSES):
        folder = root / "train" / f"class{number}"
        folder.mkdir(parents=True)
        for count in range(60):
            pixels = draw.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{count:02}.png")
    return root


@pytest.fixture(params=["cifar", "noise"])
def any_root(request: pytest.FixtureRequest) -> Path:
    """CIFAR-10 where it is present, and noise in any case."""
    fixture = "cifar_root" if request.param == "cifar" else "random_root"
    root = request.getfixturevalue(fixture)
    assert isinstance(root, Path)
    return root


def two_layers(root: Path, limit: int, validation: int = 100, **train: Any) -> Config:
    return Config(
        study="two-layer",
        seed=0,
        device="cpu",
        threads=1,
        data=Data(
            name="image_folder",
            root=str(root),
            limit=limit,
            validation=validation,
            pixels="raw",
            preprocess="mean_image",
        ),
        model=Model(conv=[], hidden=[50], activation="relu", init="normal:0.0001"),
        train=Train(**{"momentum": 0.0, "batch_size": 100, **train}),
        abort=Abort(),
    )


def finished(config: Config) -> tuple[list[EpochResult], Outcome]:
    *epochs, outcome = run(config)
    assert isinstance(outcome, Outcome)
    return [epoch for epoch in epochs if isinstance(epoch, EpochResult)], outcome


def test_first_loss(any_root: Path) -> None:
    """Slide: 2.302612; ten classes guessed alike give ln 10."""
    prepared, _, outcome = run(two_layers(any_root, limit=500, lr=1e-6, epochs=1))
    assert isinstance(prepared, Prepared)
    assert isinstance(outcome, Outcome)
    assert outcome.facts["first_loss"] == pytest.approx(math.log(10), abs=1e-3)
    assert prepared.parameters == 3072 * 50 + 50 + 50 * 10 + 10


def test_first_loss_with_regularisation(any_root: Path) -> None:
    """Slide: 3.068597 with 1e3; 0.5 * 1e3 * 154,100 weights of variance 1e-8 are 0.7705."""
    section = two_layers(any_root, limit=500)
    data = prepare(load(section.data), section.data, torch.device("cpu"))
    losses = []
    for seed in range(5):
        model = build(section.model, data.shape, data.classes)
        generator = torch.Generator().manual_seed(seed)
        initialise(model, section.model.init, generator, data.probe(10)[0])
        loss, _ = evaluate(model, data.batches(500, generator))
        losses.append(loss + l2_penalty(model, 1e3))
    assert losses == pytest.approx([3.073] * 5, abs=0.009)


def test_overfits_20_images(any_root: Path) -> None:
    """Slide: 2.302603 -> 0.002597, accuracy 1.00."""
    config = two_layers(any_root, limit=20, lr=1e-3, epochs=200, batch_size=20)
    epochs, outcome = finished(config)
    assert outcome.state is State.COMPLETE
    assert epochs[0].train_loss == pytest.approx(math.log(10), abs=1e-3)
    assert epochs[-1].train_loss < 0.01
    assert epochs[-1].train_accuracy == 1.0


def test_too_low_a_learning_rate_hardly_moves_the_loss(cifar_root: Path) -> None:
    """Slide, lr 1e-6: 2.302576 -> 2.302420 in ten epochs."""
    epochs, outcome = finished(two_layers(cifar_root, limit=5000, lr=1e-6, epochs=10))
    assert outcome.state is State.COMPLETE
    losses = [epoch.train_loss for epoch in epochs]
    assert all(after < before for before, after in itertools.pairwise(losses))
    assert 0 < losses[0] - losses[-1] < 1e-3


def test_too_high_a_learning_rate_diverges_in_the_first_epoch(any_root: Path) -> None:
    """Slide, lr 1e6: nan in the first epoch."""
    epochs, outcome = finished(two_layers(any_root, limit=500, lr=1e6, epochs=10))
    assert (outcome.state, epochs) == (State.DIVERGED, [])
    assert outcome.facts["epoch"] == 1
    assert outcome.reason is not None
    assert outcome.reason.endswith(f"at step {outcome.facts['step']} (epoch 1)")


def test_a_learning_rate_of_1e9_is_caught_in_the_first_window(any_root: Path) -> None:
    config = two_layers(any_root, limit=500, lr=1e9, epochs=10, batch_size=10)
    _, outcome = finished(config)
    assert outcome.state is State.DIVERGED
    assert outcome.facts["step"] <= config.abort.check_every


def test_the_limit_of_the_lectures(any_root: Path) -> None:
    """Break-out rule: a cost above 3 x the original cost, 6.908 for ten classes."""
    _, outcome = finished(two_layers(any_root, limit=500, lr=1e6))
    assert outcome.facts["limit"] == pytest.approx(6.908, abs=3e-3)


def test_a_learning_rate_slightly_too_high_oscillates(cifar_root: Path) -> None:
    """Slide, lr 3e-3: 2.19, 2.18, 1.94, 1.83, inf; with a stable softmax it stays finite."""
    epochs, outcome = finished(two_layers(cifar_root, limit=5000, lr=3e-3, epochs=6))
    assert outcome.state is State.COMPLETE
    losses = [epoch.train_loss for epoch in epochs]
    assert any(after > before for before, after in itertools.pairwise(losses))
    assert losses[1:] == pytest.approx([1.9] * 5, abs=0.2)
