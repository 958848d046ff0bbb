"""One trial, from its config to its outcome."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from cnnsearch import catalog, runner
from cnnsearch.config.config import Config
from cnnsearch.config.sections import Abort, Data, Model, Train
from cnnsearch.data import Images, load, prepare
from cnnsearch.data.readings import readings
from cnnsearch.errors import DataError, InputError
from cnnsearch.model import Dropout, initialise, measure
from cnnsearch.records import EpochResult, Outcome, Prepared, State
from cnnsearch.runner import resolve_device, run
from cnnsearch.train import train

DIGITS = (1, 8, 8)


def digits(seed: int = 0, **sections: Any) -> Config:
    """A single run of a small network on 300 digits: some hundredths of a second."""
    return Config(
        study="digits",
        seed=seed,
        device="cpu",
        threads=1,
        data=sections.get("data", Data(name="digits", limit=300)),
        model=sections.get("model", Model(conv=[8], hidden=[16])),
        train=sections.get("train", Train(lr=0.05, epochs=2, batch_size=32)),
        abort=sections.get("abort", Abort()),
    )


def told(config: Config, test: bool = False) -> tuple[Prepared, list[EpochResult], Outcome]:
    """All that a trial yields, whose network stands."""
    prepared, *epochs, outcome = run(config, test)
    assert isinstance(prepared, Prepared)
    assert isinstance(outcome, Outcome)
    curve = [epoch for epoch in epochs if isinstance(epoch, EpochResult)]
    assert len(curve) == len(epochs)
    return prepared, curve, outcome


def finished(config: Config, test: bool = False) -> tuple[list[EpochResult], Outcome]:
    _, epochs, outcome = told(config, test)
    return epochs, outcome


def numbers(config: Config) -> list[tuple[float, ...]]:
    """All numbers of a run but the times, and its first loss."""
    epochs, outcome = finished(config)
    rows = [(e.lr, e.train_loss, e.train_accuracy, e.val_loss, e.val_accuracy) for e in epochs]
    return [*rows, (outcome.facts["first_loss"],)]


def test_a_complete_trial() -> None:
    config = digits(train=Train(lr=0.1, epochs=6, batch_size=32))
    prepared, epochs, outcome = told(config)
    assert (outcome.state, outcome.reason) == (State.COMPLETE, None)
    assert [epoch.epoch for epoch in epochs] == [1, 2, 3, 4, 5, 6]
    assert epochs[-1].val_accuracy > 0.7
    assert prepared.parameters == measure(config.model, DIGITS, 10).parameters
    assert (prepared.device, prepared.classes) == ("cpu", 10)
    assert 2.0 < outcome.facts["first_loss"] < 5.0
    assert "test_loss" not in outcome.facts


def test_chance_is_the_share_of_the_most_frequent_class() -> None:
    config = digits()
    prepared, epochs, _ = told(config)
    data = prepare(load(config.data), config.data, torch.device("cpu"))
    labels = torch.cat([labels for _, labels in data.validation_batches()])
    assert prepared.validation_images == len(labels) == data.validation_size
    assert prepared.chance == labels.bincount().max().item() / len(labels)
    assert 0.1 <= prepared.chance < 0.15
    # An accuracy is a count over the same images.
    assert epochs[0].val_accuracy * prepared.validation_images == pytest.approx(
        round(epochs[0].val_accuracy * prepared.validation_images)
    )


RANDOM = digits(
    seed=7,
    data=Data(name="digits", limit=300, crop=1, flip=True),
    model=Model(conv=[8], hidden=[16], dropout=0.3, batchnorm=True, init="lsuv"),
)


@pytest.mark.parametrize("init", catalog.INIT_SCHEMES)
def test_equal_seeds_give_equal_numbers(init: str) -> None:
    """To the last digit, whatever drew from torch's own generator before."""
    scheme = init + (":0.1" if catalog.INIT_SCHEMES[init].parameter else "")
    config = replace(RANDOM, model=RANDOM.model.model_copy(update={"init": scheme}))
    first = numbers(config)
    torch.rand(17)
    assert numbers(config) == first
    assert numbers(replace(config, seed=8)) != first


def streams(config: Config, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """The seed of each stream of draws as the network is made and as training begins."""
    seeds: dict[str, int] = {}

    def initialising(model: Any, scheme: str, generator: torch.Generator, probe: Any) -> None:
        seeds["weights"] = generator.initial_seed()
        initialise(model, scheme, generator, probe)

    def training(*arguments: Any) -> Iterator[EpochResult]:
        model, order = arguments[0], arguments[4]
        seeds["order"] = order.initial_seed()
        for name, layer in model.named_children():
            if isinstance(layer, Dropout):
                seeds[name] = int(layer.seed)
        fresh = torch.Generator().manual_seed(order.initial_seed())
        assert torch.equal(order.get_state(), fresh.get_state()), "something was drawn before"
        yield from train(*arguments)

    monkeypatch.setattr("cnnsearch.runner.initialise", initialising)
    monkeypatch.setattr("cnnsearch.runner.train", training)
    finished(config)
    return seeds


def test_one_stream_does_not_shift_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights, order and dropout have seeds of their own, which the network does not change."""
    first = streams(RANDOM, monkeypatch)
    assert set(first) == {"weights", "order", "hidden1_dropout", "classifier_dropout"}
    other = replace(RANDOM, model=Model(conv=[4, 4], hidden=[5, 5], dropout=0.5, init="zeros"))
    assert first.items() < streams(other, monkeypatch).items()
    next_seed = streams(replace(RANDOM, seed=8), monkeypatch)
    assert len({*first.values(), *next_seed.values()}) == 8


@pytest.mark.parametrize("threads", [1, 2])
def test_a_fresh_process_gives_the_same_numbers(threads: int) -> None:
    config = replace(RANDOM, threads=threads)
    script = "from tests.test_runner import *; print(numbers(replace(RANDOM, threads=%d)))"
    fresh = subprocess.run(
        [sys.executable, "-c", script % threads],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[1],
    )
    assert fresh.stdout.strip() == repr(numbers(config))
    assert torch.get_num_threads() == threads


def test_weights_follow_the_seed() -> None:
    """All images in one batch, so that their order changes nothing."""
    config = digits(train=Train(lr=1e-6, epochs=1, batch_size=300))
    losses = [numbers(replace(config, seed=seed))[-1][0] for seed in range(4)]
    assert min(abs(a - b) for a, b in itertools.combinations(losses, 2)) > 1e-3


def test_order_follows_the_seed() -> None:
    """With weights that are all 0 the order is all there is."""
    config = digits(model=Model(conv=[8], hidden=[16], init="zeros"))
    losses = {numbers(replace(config, seed=seed))[0] for seed in range(4)}
    assert len(losses) == 4


class TestDiverged:
    def test_a_non_finite_loss(self) -> None:
        epochs, outcome = finished(digits(train=Train(lr=1e9, epochs=9, batch_size=32)))
        assert (outcome.state, epochs) == (State.DIVERGED, [])
        facts = outcome.facts
        assert facts["epoch"] == 1
        assert facts["step"] <= 20
        assert not math.isfinite(facts["loss"])
        assert facts["limit"] == pytest.approx(3 * max(math.log(10), facts["first_loss"]))
        assert outcome.reason == f"loss {facts['loss']:.3g} at step {facts['step']} (epoch 1)"

    def test_a_window_above_the_limit(self) -> None:
        model = Model(conv=[], hidden=[16], activation="tanh")
        config = digits(model=model, train=Train(lr=100.0, epochs=9, batch_size=32))
        _, outcome = finished(config)
        assert outcome.state is State.DIVERGED
        facts = outcome.facts
        assert facts["step"] == 20
        assert facts["epoch"] == 2
        assert facts["limit"] < facts["loss"] < math.inf
        assert outcome.reason == (
            f"loss {facts['loss']:.3g} above limit {facts['limit']:.3g} at step 20 (epoch 2)"
        )

    def test_without_a_ratio_the_same_trial_goes_on(self) -> None:
        model = Model(conv=[], hidden=[16], activation="tanh")
        train = Train(lr=100.0, epochs=3, batch_size=32)
        epochs, outcome = finished(digits(model=model, train=train, abort=Abort(loss_ratio=None)))
        assert (outcome.state, len(epochs)) == (State.COMPLETE, 3)


def test_a_failed_trial_keeps_error_place_and_traceback() -> None:
    """A name that config validation would refuse stands in for any defect."""
    config = digits(model=Model(conv=[8]).model_copy(update={"activation": "absent"}))
    [outcome] = run(config)  # no network, so nothing is told of it
    assert isinstance(outcome, Outcome)
    assert outcome.state is State.FAILED
    assert outcome.reason == outcome.facts["error"] == "KeyError: 'absent'"
    file, _, line = outcome.facts["where"].partition(":")
    assert file == "catalog.py"
    assert line.isdecimal()
    assert outcome.facts["traceback"].rstrip().endswith("KeyError: 'absent'")


def test_the_users_mistakes_are_no_failed_trials() -> None:
    with pytest.raises(InputError, match="conv layer 4: the image is 1x1 there"):
        finished(digits(model=Model(conv=[8] * 4)))
    with pytest.raises(DataError):
        finished(digits(data=Data(name="image_folder", root="/nonexistent")))


def test_interruption_passes_through() -> None:
    for items in (1, 2):  # before the first step, and after the first epoch
        trial = run(digits())
        list(itertools.islice(trial, items))
        with pytest.raises(KeyboardInterrupt):
            trial.throw(KeyboardInterrupt())  # type: ignore[attr-defined]
        trial = run(digits())
        list(itertools.islice(trial, items))
        trial.close()  # type: ignore[attr-defined]
        assert list(trial) == []


class TestTestSet:
    def test_is_read_once_at_the_end_and_counted(self) -> None:
        config = digits(train=Train(lr=0.1, epochs=3, batch_size=32))
        fingerprint = load(config.data).fingerprint
        plain, _ = finished(config)
        assert readings(fingerprint) == 0
        epochs, outcome = finished(config, test=True)
        assert readings(fingerprint) == outcome.facts["test_readings"] == 1
        assert 0.3 < outcome.facts["test_accuracy"] < 1.0
        assert 0.0 < outcome.facts["test_loss"] < 2.3
        assert epochs[-1].val_loss == plain[-1].val_loss
        _, again = finished(config, test=True)
        assert again.facts["test_readings"] == 2

    def test_of_a_diverged_trial_is_not_read(self) -> None:
        config = digits(train=Train(lr=1e9))
        _, outcome = finished(config, test=True)
        assert outcome.state is State.DIVERGED
        assert readings(load(config.data).fingerprint) == 0

    def test_that_is_missing_is_told_before_training(self, tmp_path: Path) -> None:
        from PIL import Image

        for name in ("a", "b"):
            (tmp_path / name).mkdir()
            for count in range(20):
                colour = (count * 9, 0, 250 if name == "b" else 0)
                Image.new("RGB", (8, 8), colour).save(tmp_path / name / f"{count}.png")
        config = digits(data=Data(name="image_folder", root=str(tmp_path)))
        trial = run(config, test=True)
        with pytest.raises(DataError, match="test set"):
            next(trial)
        assert len(finished(config)[0]) == 2


class TestDevice:
    def test_cpu_and_auto(self) -> None:
        assert resolve_device("cpu") == torch.device("cpu")
        assert resolve_device("auto").type in ("cuda", "mps", "cpu")

    @pytest.mark.parametrize("name", ["cuda", "cuda:1", "mps"])
    def test_absent(self, name: str) -> None:
        backend = torch.cuda if name.startswith("cuda") else torch.backends.mps
        if backend.is_available():
            pytest.skip(f"{name} is there")
        with pytest.raises(InputError, match=f"device: {name} is not there"):
            resolve_device(name)

    def test_absent_device_ends_the_run_with_a_line(self) -> None:
        if torch.cuda.is_available():
            pytest.skip("cuda is there")
        with pytest.raises(InputError, match="Write auto or cpu"):
            finished(replace(digits(), device="cuda"))


def test_dying_signals_cost_no_time() -> None:
    """Denormal numbers are flushed to 0: 1e-20 * 1e-20 is one in float32."""
    finished(digits())
    assert (torch.tensor([1e-20]) * torch.tensor([1e-20])).item() == 0.0


def test_expected_images_are_looked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one place and one content; a worker's next trial does not list the folder again."""
    looked: list[Data] = []

    def counted(section: Data, expected: str) -> Images:
        looked.append(section)
        return load(section)

    monkeypatch.setattr(runner, "load", counted)
    monkeypatch.setattr(runner, "_found", {})
    config = digits()
    fingerprint = load(config.data).fingerprint
    first = runner.expected_images(config, fingerprint)
    assert (
        runner.expected_images(
            replace(config, data=Data(name="digits", limit=200, flip=True)), fingerprint
        )
        is first
    )
    assert len(looked) == 1
    with pytest.raises(DataError, match="others than when"):
        runner.expected_images(config, "of other images")
    runner.expected_images(config, None)
    assert len(looked) == 3
