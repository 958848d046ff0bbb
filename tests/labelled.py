"""Runs whose faults are known by construction, to measure how often verdicts are right.

Two folds that share no config and no seed: `tune`, on which the limits of `cnnsearch.diagnose` were
set, and `count`, on which the verdicts are counted. A first version of `count` (its networks, other
seeds) showed what the rules got wrong; it is a part of `tune` since then, and `count` is new.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from PIL import Image
from torch import nn

from cnnsearch import runner
from cnnsearch.config.config import Config
from cnnsearch.config.sections import Abort, Data, Model, Train
from cnnsearch.data import load
from cnnsearch.ending import ended
from cnnsearch.records import EpochResult, Outcome, Prepared, State, Trial

FOLDS = ("tune", "count")
HEALTHY = frozenset({"ok", "undertrained"})


@dataclass(frozen=True)
class Sources:
    """Where real images lie."""

    mnist: Path
    cifar: Path
    scratch: Path


@dataclass(frozen=True)
class Case:
    """One run and what is wrong with it.

    Args:
        family: the fault, as it was made.
        must: findings that are true by construction; empty for a healthy run.
        may: findings that may be true besides: not asked for, not held against the tool.
        change: what is done to the network before its training.
        write: makes the images, where they are no data set of their own.
    """

    family: str
    config: Config
    must: frozenset[str]
    may: frozenset[str] = frozenset()
    change: Callable[[nn.Module], None] | None = None
    write: Callable[[], None] | None = None

    def allows(self, verdict: str) -> bool:
        """Whether the verdict is true of this run."""
        return verdict in self.must | self.may

    @property
    def data(self) -> str:
        """Which images it sees."""
        data = self.config.data
        folder = Path(data.root or "").name
        return folder.partition("-")[0] if data.name == "image_folder" else data.name

    @property
    def name(self) -> str:
        """What tells it from the others."""
        m, t, d = self.config.model, self.config.train, self.config.data
        norm = "-bn" if m.batchnorm else ""
        return (
            f"{self.family}: {d.name}/{Path(d.root or '').name} {m.conv}{m.hidden} "
            f"{m.activation}{norm} {m.init} {t.optimizer} lr {t.lr:g} x{t.epochs} "
            f"seed {self.config.seed}"
        )


def run_case(case: Case) -> Trial:
    """Run it and give the trial as a search would store it."""
    if case.write is not None:
        case.write()
    made = runner.make_network

    def changed(*arguments: Any) -> nn.Module:
        model = made(*arguments)
        if case.change is not None:
            with torch.no_grad():
                case.change(model)
        return model

    with mock.patch.object(runner, "make_network", changed):
        items = list(runner.run(case.config))
    prepared = next((item for item in items if isinstance(item, Prepared)), None)
    curve = [item for item in items if isinstance(item, EpochResult)]
    outcome = items[-1]
    assert isinstance(outcome, Outcome)
    begun = Trial(
        0, 0, "0", 1, State.RUNNING, None, {}, 0, None, None, None, case.config.seed, None
    )
    return ended(begun, outcome, prepared, [curve], "val_accuracy", "best")


@dataclass(frozen=True)
class _Fold:
    """What differs between the folds."""

    sources: Sources
    tune: bool
    seeds: Sequence[int]

    def pick(self, first: list[Any], second: list[Any]) -> list[Any]:
        """Both to tune; to count the second, in the sizes of `config`."""
        return [*first, *second] if self.tune else second

    def config(self, data: Data, seed: int, model: dict[str, Any], **train: Any) -> Config:
        """A single run; in the fold `count` with wider layers and other batches than written."""
        sizes = {
            "conv": [c + c // 4 + 1 for c in model["conv"]],
            "hidden": [h + h // 4 for h in model["hidden"]],
        }
        steps = {"batch_size": 64, "momentum": 0.9, **train}
        if not self.tune:
            model = model | sizes
            steps["batch_size"] += 8
        return Config(
            study="labelled",
            seed=seed,
            device="cpu",
            threads=1,
            data=data,
            model=Model(**model),
            train=Train(**steps),
            abort=Abort(),
        )

    def digits(self, **more: Any) -> Data:
        return Data(**{"name": "digits", **more})

    def mnist(self, limit: int = 2000, **more: Any) -> Data:
        given = {"name": "mnist", "root": str(self.sources.mnist), "validation": 1000}
        return Data(**{**given, "limit": limit, **more})

    def cifar(self, limit: int = 2000, **more: Any) -> Data:
        given = {"name": "image_folder", "root": str(self.sources.cifar), "validation": 1000}
        return Data(**{**given, "limit": limit, **more})


def cases(fold: str, sources: Sources) -> list[Case]:
    """All runs of a fold."""
    tune = fold == "tune"
    it = _Fold(sources, tune, (100, 101) if tune else (10, 11, 12))
    families = (
        _healthy, _scheduled, _one_epoch, _lr_low, _lr_high, _bad_init, _plateau, _symmetric, _dead,
        _killed, _saturated, _guessing, _overfit, _loud,
    )  # fmt: skip
    return [case for family in families for case in family(it)]


def _set(*names: str) -> frozenset[str]:
    return frozenset(names)


def _net(conv: list[int], hidden: list[int], **more: Any) -> dict[str, Any]:
    return {"conv": conv, "hidden": hidden, **more}


def _raw(hidden: int) -> dict[str, Any]:
    """The lectures' two-layer network on raw pixels."""
    return {"conv": [], "hidden": [hidden], "init": "normal:0.0001"}


RAW: dict[str, Any] = {"pixels": "raw", "preprocess": "mean_image"}


def _healthy_models(it: _Fold) -> list[tuple[Data, dict[str, Any], dict[str, Any]]]:
    """Data, network and training that nobody would complain of; epochs are long enough."""
    first = [
        (it.digits(), _net([16], [32]), {"lr": 0.03, "epochs": 15}),
        (it.digits(), _net([8, 16], [64], activation="tanh", init="xavier"),
         {"lr": 0.02, "epochs": 20}),
        (it.digits(), _net([], [100], batchnorm=True), {"lr": 0.05, "epochs": 15}),
        (it.mnist(3000), _net([8, 16], [32], activation="leaky_relu"),
         {"lr": 0.02, "epochs": 6}),
        (it.mnist(3000), _net([8, 16], [32], batchnorm=True, activation="elu"),
         {"lr": 0.05, "epochs": 5}),
        (it.mnist(3000), _net([], [200], init="glorot"),
         {"lr": 1e-3, "epochs": 6, "optimizer": "adam"}),
        (it.cifar(4000), _net([16, 32], [64]), {"lr": 0.01, "epochs": 4}),
        (it.cifar(4000), _net([16, 32], [64], batchnorm=True), {"lr": 0.02, "epochs": 4}),
    ]  # fmt: skip
    second = [
        (it.digits(), _net([16, 32], [64]), {"lr": 0.02, "epochs": 15}),
        (it.digits(), _net([12], [48], activation="elu", init="lsuv"), {"lr": 0.01, "epochs": 20}),
        (it.digits(), _net([16], [32], activation="maxout", init="xavier", batchnorm=True),
         {"lr": 0.05, "epochs": 12}),
        (it.digits(), _net([16, 16], [], activation="sigmoid", batchnorm=True, init="glorot"),
         {"lr": 0.1, "epochs": 20, "schedule": "cosine"}),
        (it.mnist(4000), _net([16, 32], [64], activation="prelu"), {"lr": 0.01, "epochs": 5}),
        (it.mnist(4000), _net([10], [50], activation="gelu"),
         {"lr": 2e-3, "epochs": 5, "optimizer": "adam"}),
        (it.mnist(4000), _net([], [128, 64], activation="tanh", init="xavier"),
         {"lr": 0.02, "epochs": 8}),
        (it.cifar(5000), _net([16, 32, 32], [64], activation="relu"),
         {"lr": 0.015, "epochs": 4, "batch_size": 128}),
        (it.cifar(5000), _net([24, 24], [48], activation="leaky_relu", batchnorm=True,
                              batchnorm_at="after"), {"lr": 0.03, "epochs": 3}),
        (it.cifar(5000, **RAW), _raw(50),
         {"lr": 5e-4, "epochs": 5, "momentum": 0.0, "batch_size": 100}),
    ]  # fmt: skip
    return it.pick(first, second)


def _healthy(it: _Fold) -> Iterator[Case]:
    for data, model, train in _healthy_models(it):
        for seed in it.seeds:
            yield Case("healthy", it.config(data, seed, model, **train), frozenset(), HEALTHY)


def _scheduled(it: _Fold) -> Iterator[Case]:
    """Healthy too, but the steps are short where they are looked at: at the end of the only epoch
    of a cosine, and in the epochs of a warm-up.
    """
    cosine: dict[str, Any] = {"epochs": 1, "schedule": "cosine"}
    nets = it.pick(
        [
            (it.digits(), _net([16], [32]), {"lr": 0.03, **cosine}),
            (it.cifar(4000), _net([16, 32], [64]), {"lr": 0.01, **cosine}),
            (it.mnist(3000), _net([8, 16], [32], activation="tanh", init="xavier"),
             {"lr": 0.01, **cosine, "batch_size": 16}),
            (it.digits(), _net([8, 16], [32]), {"lr": 0.03, "epochs": 12, "warmup_epochs": 6.0}),
            (it.cifar(), _net([16, 32], [64]), {"lr": 0.01, "epochs": 8, "warmup_epochs": 5.0}),
        ],
        [
            (it.digits(), _net([12], [48], activation="elu"), {"lr": 0.02, **cosine}),
            (it.mnist(4000), _net([10, 20], [40]), {"lr": 0.005, **cosine}),
            (it.cifar(5000), _net([12, 24], [48], activation="leaky_relu"),
             {"lr": 0.005, **cosine}),
            (it.cifar(5000), _net([16], [64], batchnorm=True), {"lr": 0.01, **cosine}),
            (it.digits(), _net([], [64, 32]), {"lr": 0.02, "epochs": 16, "warmup_epochs": 8.0}),
            (it.mnist(), _net([16], [48], activation="prelu"),
             {"lr": 0.01, "epochs": 8, "warmup_epochs": 5.0, "schedule": "cosine"}),
            (it.cifar(), _net([16, 16], [48], activation="elu"),
             {"lr": 5e-3, "epochs": 8, "warmup_epochs": 4.0}),
        ],
    )  # fmt: skip
    for data, model, train in nets:
        for seed in it.seeds:
            config = it.config(data, seed, model, **train)
            yield Case("scheduled", config, frozenset(), HEALTHY)


def _one_epoch(it: _Fold) -> Iterator[Case]:
    """One epoch only, where more would clearly help."""
    for data, model, train in _healthy_models(it):
        for seed in it.seeds[: 1 if it.tune else 2]:
            config = it.config(data, seed, model, **{**train, "epochs": 1})
            yield Case("one epoch", config, _set("undertrained"))


def _lr_low(it: _Fold) -> Iterator[Case]:
    """A thousandth of a good learning rate."""
    raws = it.pick([50], [40, 100])
    lows = it.pick(
        [(it.cifar(**RAW), _raw(w), {"lr": 1e-6, "epochs": 10, "momentum": 0.0, "batch_size": 100})
         for w in raws]
        + [
            (it.mnist(**RAW), _raw(60), {"lr": 5e-7, "epochs": 8, "momentum": 0.0}),
            (it.digits(), _net([16], [32]), {"lr": 2e-5, "epochs": 10}),
            (it.mnist(), _net([8, 16], [32], activation="tanh", init="xavier"),
             {"lr": 1e-5, "epochs": 5}),
            (it.cifar(), _net([16, 32], [64]), {"lr": 1e-5, "epochs": 4}),
            (it.mnist(), _net([8], [32], batchnorm=True), {"lr": 1e-5, "epochs": 4}),
        ],
        [(it.cifar(**RAW), _raw(w), {"lr": 1e-6, "epochs": 8, "momentum": 0.0, "batch_size": 100})
         for w in raws]
        + [
            (it.mnist(**RAW), _raw(50), {"lr": 1e-6, "epochs": 8, "momentum": 0.0}),
            (it.digits(), _net([8, 16], [64], activation="elu"), {"lr": 1e-5, "epochs": 12}),
            (it.mnist(), _net([16], [64]), {"lr": 5e-6, "epochs": 4}),
            (it.cifar(), _net([24], [48], activation="leaky_relu"), {"lr": 1e-6, "epochs": 4}),
            (it.cifar(), _net([16, 16], [64], batchnorm=True), {"lr": 5e-6, "epochs": 3}),
        ],
    )  # fmt: skip
    for data, model, train in lows:
        for seed in it.seeds:
            config = it.config(data, seed, model, **train)
            yield Case("lr low", config, _set("lr-too-low"), _set("not-learning", "undertrained"))


def _lr_high(it: _Fold) -> Iterator[Case]:
    """Far above the largest learning rate at which the network still learns as it should."""
    may = _set("dead-units", "saturated", "not-learning")
    highs = it.pick(
        [
            (it.cifar(4000, **RAW), _raw(50),
             {"lr": 3e-3, "epochs": 6, "momentum": 0.0, "batch_size": 100}),
            (it.cifar(**RAW), _raw(50),
             {"lr": 1e6, "epochs": 2, "momentum": 0.0, "batch_size": 100}),
            (it.digits(), _net([16], [32]), {"lr": 3.0, "epochs": 6}),
            (it.digits(), _net([8, 16], [64], activation="tanh", init="xavier"),
             {"lr": 2.0, "epochs": 8}),
            (it.mnist(), _net([8, 16], [32], activation="elu"), {"lr": 1.0, "epochs": 4}),
            (it.mnist(), _net([], [100], activation="leaky_relu"), {"lr": 3.0, "epochs": 4}),
            (it.cifar(), _net([16, 32], [64]), {"lr": 1.0, "epochs": 3}),
            (it.cifar(), _net([16], [64], init="glorot"),
             {"lr": 0.3, "epochs": 4, "optimizer": "adam"}),
        ],
        [
            (it.cifar(5000, **RAW), _raw(50),
             {"lr": 3e-3, "epochs": 6, "momentum": 0.0, "batch_size": 100}),
            (it.cifar(5000, **RAW), _raw(100),
             {"lr": 4e-3, "epochs": 6, "momentum": 0.0, "batch_size": 100}),
            (it.cifar(**RAW), _raw(80),
             {"lr": 1e6, "epochs": 2, "momentum": 0.0, "batch_size": 100}),
            (it.mnist(**RAW), _raw(50),
             {"lr": 1e6, "epochs": 2, "momentum": 0.0, "batch_size": 100}),
            (it.digits(), _net([16, 32], [64], activation="leaky_relu"), {"lr": 5.0, "epochs": 6}),
            (it.digits(), _net([], [50], activation="elu"), {"lr": 10.0, "epochs": 6}),
            (it.mnist(), _net([16], [64], activation="maxout"), {"lr": 1.5, "epochs": 4}),
            (it.mnist(), _net([], [64, 64], activation="tanh", init="xavier"),
             {"lr": 3.0, "epochs": 4}),
            (it.cifar(), _net([16, 16], [32], activation="prelu"), {"lr": 1.0, "epochs": 3}),
            (it.cifar(), _net([12], [48], activation="gelu"),
             {"lr": 0.5, "epochs": 3, "optimizer": "adam"}),
        ],
    )  # fmt: skip
    for data, model, train in highs:
        for seed in it.seeds:
            yield Case("lr high", it.config(data, seed, model, **train), _set("lr-too-high"), may)


def _bad_init(it: _Fold) -> Iterator[Case]:
    """Signals that die away or explode before the first update."""
    deep = it.pick(
        [
            (it.digits(), _net([], [60] * 8, activation="tanh", init="normal:0.01")),
            (it.mnist(), _net([], [100] * 6, init="normal:0.02")),
            (it.cifar(), _net([], [100] * 20, init="xavier")),
            (it.digits(), _net([8, 8, 8], [50], padding="same", pool="none", init="normal:0.01")),
            (it.mnist(), _net([], [100] * 5, init="normal:1.0")),
            (it.digits(), _net([16, 16], [32], activation="leaky_relu", init="normal:2.0")),
        ],
        [
            (it.digits(), _net([], [100] * 6, activation="tanh", init="normal:0.01")),
            (it.mnist(), _net([], [200] * 8, activation="tanh", init="normal:0.01")),
            (it.cifar(), _net([], [80] * 7, activation="tanh", init="normal:0.005")),
            (it.mnist(), _net([], [64] * 20, init="xavier")),
            (it.digits(), _net([], [80] * 18, activation="leaky_relu", init="xavier")),
            (it.cifar(), _net([8, 8, 16], [64, 64], init="normal:0.01")),
            (it.digits(), _net([], [100] * 5, activation="elu", init="normal:1.0")),
            (it.mnist(), _net([16, 16], [64], activation="relu", init="normal:1.0")),
            (it.cifar(), _net([16, 32], [64], activation="leaky_relu", init="normal:1.0")),
        ],
    )
    may = _set("not-learning", "loud-init", "dead-units", "undertrained", "lr-too-low")
    for data, model in deep:
        for seed in it.seeds:
            config = it.config(data, seed, model, lr=0.01, epochs=4)
            yield Case("bad init", config, _set("bad-init"), may)


def _plateau(it: _Fold) -> Iterator[Case]:
    """Small weights in a few layers: flat at first, and then the loss falls."""
    nets = it.pick(
        [
            (it.digits(), _net([16, 32], [64], init="normal:0.01"), {"lr": 0.05, "epochs": 14}),
            (it.mnist(), _net([], [100] * 4, init="normal:0.03"), {"lr": 0.05, "epochs": 12}),
        ],
        [
            (it.digits(), _net([8, 16], [32], init="normal:0.02", activation="leaky_relu"),
             {"lr": 0.05, "epochs": 16}),
            (it.mnist(), _net([8, 16], [64], init="normal:0.01"), {"lr": 0.05, "epochs": 10}),
            (it.mnist(), _net([], [80] * 5, init="normal:0.04", activation="tanh"),
             {"lr": 0.05, "epochs": 12}),
        ],
    )  # fmt: skip
    may = _set("undertrained", "not-learning", "dead-units")
    for data, model, train in nets:
        for seed in it.seeds:
            config = it.config(data, seed, model, **train)
            yield Case("plateau", config, _set("bad-init"), may)


def _symmetric(it: _Fold) -> Iterator[Case]:
    """zeros."""
    zeros = it.pick(
        [
            (it.digits(), _net([16], [32], activation="relu"), 0.01),
            (it.digits(), _net([], [50, 50], activation="sigmoid"), 0.3),
            (it.mnist(), _net([8, 16], [32], activation="tanh"), 0.05),
            (it.cifar(), _net([16], [32], activation="relu", batchnorm=True), 0.02),
            (it.digits(), _net([8], [16], activation="maxout"), 1.0),
        ],
        [
            (it.digits(), _net([8, 16], [64], activation="tanh"), 0.02),
            (it.digits(), _net([], [100], activation="sigmoid"), 0.1),
            (it.digits(), _net([16], [32], activation="elu", batchnorm=True), 0.5),
            (it.mnist(), _net([16], [64], activation="leaky_relu"), 0.01),
            (it.mnist(), _net([8], [32], activation="sigmoid", batchnorm=True), 0.1),
            (it.cifar(), _net([16, 32], [64], activation="relu"), 0.01),
        ],
    )
    may = _set("not-learning", "dead-units", "bad-init", "undertrained", "saturated")
    for data, model, lr in zeros:
        for seed in it.seeds:
            config = it.config(data, seed, {**model, "init": "zeros"}, lr=lr, epochs=4)
            yield Case("zeros", config, _set("symmetric"), may)


@dataclass(frozen=True)
class _Pushed:
    """Push the biases of a share of the units so far down that no image reaches them."""

    share: float
    layer: str

    def __call__(self, model: nn.Module) -> None:
        bias = dict(model.named_children())[self.layer].bias
        assert isinstance(bias, torch.Tensor)
        bias[: round(self.share * len(bias))] = -30.0


def _dead(it: _Fold) -> Iterator[Case]:
    """relu with biases pushed negative."""
    pushed = it.pick(
        [
            (it.digits(), _net([16], [32]), "hidden1", 0.9),
            (it.mnist(), _net([8, 16], [50]), "conv2", 0.75),
            (it.cifar(), _net([], [100, 100]), "hidden1", 0.8),
            (it.digits(), _net([8, 8], [40]), "hidden1", 1.0),
        ],
        [
            (it.digits(), _net([16, 32], [64]), "hidden1", 0.85),
            (it.digits(), _net([], [80]), "hidden1", 0.75),
            (it.mnist(), _net([16], [32]), "conv1", 0.8),
            (it.mnist(), _net([], [60, 60]), "hidden2", 0.95),
            (it.cifar(), _net([16, 16], [64]), "conv2", 0.9),
            (it.cifar(), _net([16], [48]), "hidden1", 1.0),
        ],
    )
    may = _set("not-learning", "undertrained", "bad-init")
    for data, model, layer, share in pushed:
        for seed in it.seeds:
            config = it.config(data, seed, model, lr=0.01, epochs=4)
            yield Case("bias pushed", config, _set("dead-units"), may, _Pushed(share, layer))


def _killed(it: _Fold) -> Iterator[Case]:
    """A learning rate that kills units in the first steps without making the loss infinite."""
    killing = it.pick(
        [
            (it.digits(), _net([16], [32]), 0.7),
            (it.mnist(), _net([8, 16], [32]), 0.4),
        ],
        [
            (it.digits(), _net([16, 32], [64]), 0.6),
            (it.mnist(), _net([16], [48]), 0.5),
            (it.cifar(), _net([16, 32], [64]), 0.3),
        ],
    )
    may = _set("dead-units", "not-learning")
    for data, model, lr in killing:
        for seed in it.seeds:
            config = it.config(data, seed, model, lr=lr, epochs=4)
            yield Case("killing lr", config, _set("lr-too-high"), may)


def _saturated(it: _Fold) -> Iterator[Case]:
    """tanh and sigmoid with weights that are far too large."""
    nets = it.pick(
        [
            (it.digits(), _net([], [100] * 5, activation="tanh", init="normal:1.0")),
            (it.mnist(), _net([], [200] * 3, activation="sigmoid", init="normal:1.0")),
            (it.cifar(), _net([16, 32], [64], activation="tanh", init="normal:1.0")),
        ],
        [
            (it.digits(), _net([], [120] * 8, activation="tanh", init="normal:1.0")),
            (it.digits(), _net([16, 32], [64], activation="tanh", init="normal:1.0")),
            (it.mnist(), _net([], [300] * 4, activation="tanh", init="normal:1.0")),
            (it.mnist(), _net([], [200] * 4, activation="sigmoid", init="normal:1.0")),
            (it.cifar(), _net([], [100] * 6, activation="tanh", init="normal:1.0")),
        ],
    )
    may = _set("loud-init", "not-learning", "undertrained", "lr-too-high")
    for data, model in nets:
        for seed in it.seeds:
            config = it.config(data, seed, model, lr=0.01, epochs=4)
            yield Case("saturating", config, _set("saturated"), may)


def _guessing(it: _Fold) -> Iterator[Case]:
    """Labels that have nothing to do with the images."""
    nets = it.pick(
        [
            ("digits", _net([16], [32]), {"lr": 0.02, "epochs": 6}),
            ("mnist", _net([8], [32], batchnorm=True), {"lr": 0.02, "epochs": 4}),
        ],
        [
            ("digits", _net([8, 16], [32], activation="leaky_relu"), {"lr": 0.01, "epochs": 6}),
            ("digits", _net([], [64], activation="tanh", init="xavier"), {"lr": 0.02, "epochs": 5}),
            ("mnist", _net([16], [32]), {"lr": 0.01, "epochs": 4}),
            ("mnist", _net([8, 8], [32], batchnorm=True), {"lr": 0.03, "epochs": 3}),
        ],
    )
    for source, model, train in nets:
        for seed in it.seeds:
            folder = it.sources.scratch / f"{source}-{seed}"
            write = _Shuffled(it.digits() if source == "digits" else it.mnist(), folder, seed)
            data = Data(name="image_folder", root=str(folder), validation=0.3)
            config = it.config(data, seed, model, **train)
            must, may = _set("not-learning"), _set("overfit")
            yield Case("shuffled labels", config, must, may, write=write)


@dataclass(frozen=True)
class _Shuffled:
    """Writes a folder of 1,400 real images under labels drawn at random."""

    source: Data
    folder: Path
    seed: int

    def __call__(self) -> None:
        if self.folder.is_dir():
            return
        images = load(self.source)
        draw = random.Random(self.seed)
        labels = [i % 10 for i in range(1400)]
        draw.shuffle(labels)
        chosen = draw.sample(range(len(images.train)), len(labels))
        for label in range(10):
            (self.folder / f"class{label}").mkdir(parents=True)
        for place, (index, label) in enumerate(zip(chosen, labels, strict=True)):
            pixels = np.asarray(images.train[index])[0]
            Image.fromarray(pixels).save(self.folder / f"class{label}" / f"{place:04}.png")


def _overfit(it: _Fold) -> Iterator[Case]:
    """50 training images for 60 epochs."""
    nets = it.pick(
        [
            (it.cifar(50), _net([16, 32], [64]), {"lr": 0.01}),
            (it.mnist(50), _net([8], [32]), {"lr": 0.02}),
            (it.cifar(50), _net([], [100], batchnorm=True), {"lr": 0.02}),
        ],
        [
            (it.cifar(50), _net([16], [64], activation="leaky_relu"), {"lr": 0.01}),
            (it.cifar(50), _net([8, 16, 16], [32], batchnorm=True), {"lr": 0.02}),
            (it.cifar(50), _net([], [80], activation="elu"), {"lr": 0.005}),
            (it.mnist(50), _net([16, 16], [64], activation="tanh", init="xavier"), {"lr": 0.02}),
            (it.mnist(50), _net([], [64]), {"lr": 0.02}),
        ],
    )
    for data, model, train in nets:
        for seed in it.seeds:
            config = it.config(data, seed, model, **{"epochs": 60, "batch_size": 25, **train})
            yield Case("50 images", config, _set("overfit"))


def _loud(it: _Fold) -> Iterator[Case]:
    """First scores far too large, in networks that recover."""
    nets = it.pick(
        [
            (it.digits(), _net([16], [64], batchnorm=True, init="normal:1.0"), 0.01),
            (it.mnist(), _net([8], [32], batchnorm=True, init="normal:1.0"), 0.01),
            (it.cifar(), _net([], [200], init="normal:0.3"), 0.001),
        ],
        [
            (it.digits(), _net([16, 32], [100], batchnorm=True, init="normal:1.0"), 0.02),
            (it.digits(), _net([], [64], activation="elu", init="normal:0.8"), 0.002),
            (it.mnist(), _net([8, 16], [64], batchnorm=True, init="normal:1.0"), 0.01),
            (it.mnist(), _net([], [100], init="normal:0.4"), 0.001),
            (it.cifar(), _net([16], [64], batchnorm=True, init="normal:0.8"), 0.01),
        ],
    )
    may = _set("undertrained", "bad-init")
    for data, model, lr in nets:
        for seed in it.seeds:
            config = it.config(data, seed, model, lr=lr, epochs=5)
            yield Case("loud", config, _set("loud-init"), may)
