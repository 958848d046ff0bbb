"""What is measured of a network, each number against a computation of its own."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from cnnsearch import catalog, runner
from cnnsearch.config.config import Config
from cnnsearch.config.sections import Data, Model, Train
from cnnsearch.data import TrialData, load, prepare
from cnnsearch.guard import DivergenceGuard
from cnnsearch.losses import STRETCH_IMAGES
from cnnsearch.model import Dropout
from cnnsearch.model.init import fan_in
from cnnsearch.probe import SATURATED_WITHIN, Prober
from cnnsearch.records import EpochResult, Outcome, Prepared, Probe, State
from cnnsearch.train import train
from tests.builders import digits_config

Batch = tuple[Tensor, Tensor]
SATURATING = [name for name, row in catalog.ACTIVATIONS.items() if row.limits is not None]
DYING = [name for name, row in catalog.ACTIVATIONS.items() if row.dies]
NORMS = [(False, "before"), (True, "before"), (True, "after")]


def config(model: dict[str, Any] | None = None, limit: int = 60, **sections: Any) -> Config:
    """A single run of a small network on a few digits."""
    data = {"name": "digits", "limit": limit, **sections.pop("data", {})}
    section = Model(**{"conv": [6], "hidden": [10], **(model or {})})
    return replace(digits_config(**sections).at({}, 3), model=section, data=Data(**data))


def made(section: Config) -> tuple[nn.Module, TrialData]:
    """The network of a trial and its data."""
    data = prepare(load(section.data), section.data, torch.device("cpu"))
    return runner.make_network(section, data, torch.device("cpu")), data


def look(section: Config, model: nn.Module, batch: Batch) -> Probe:
    return Prober(model, section.model.activation, batch).look()


def dense(units: int, activation: str = "relu") -> tuple[Config, nn.Module, Tensor, Tensor]:
    """A network with one hidden layer whose weights are all 0, and that layer's parameters."""
    section = config({"conv": [], "hidden": [units], "activation": activation, "init": "zeros"})
    model, _ = made(section)
    names = ("hidden1.weight", "hidden1.bias")
    weight, bias = (model.get_parameter(name).requires_grad_(False) for name in names)
    return section, model, weight, bias


def blank(count: int = 5) -> Batch:
    return torch.zeros(count, 1, 8, 8), torch.zeros(count, dtype=torch.long)


def told(section: Config) -> tuple[Prepared, list[EpochResult], Outcome]:
    prepared, *epochs, outcome = runner.run(section)
    assert isinstance(prepared, Prepared)
    assert isinstance(outcome, Outcome)
    return prepared, [epoch for epoch in epochs if isinstance(epoch, EpochResult)], outcome


RANDOM: list[dict[str, Any]] = [
    {"batchnorm": True, "dropout": 0.3},
    {"batchnorm": True, "batchnorm_at": "after", "activation": "prelu", "init": "lsuv"},
    {"dropout": 0.5, "activation": "maxout", "pool": "avg"},
    {"activation": "tanh", "hidden": [], "batchnorm": True},
]


class TestLookingChangesNothing:
    @pytest.mark.parametrize("model", RANDOM, ids=str)
    def test_of_the_training(self, model: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
        """Equal curves to the last digit, equal weights and running averages."""
        networks: list[nn.Module] = []

        def kept(*arguments: Any) -> nn.Module:
            networks.append(make_network(*arguments))
            return networks[-1]

        make_network = runner.make_network
        monkeypatch.setattr(runner, "make_network", kept)
        section = config(model, 150, epochs=3, data={"flip": True, "crop": 1})
        runs = [told(replace(section, diagnose=diagnose)) for diagnose in (True, False)]
        curves = [
            [replace(epoch, seconds=0.0, probe=None) for epoch in epochs] for _, epochs, _ in runs
        ]
        assert len(curves[0]) == 3
        assert curves[0] == curves[1]
        assert runs[0][2] == runs[1][2]
        states = [network.state_dict() for network in networks]
        assert len(states[0]) > 3
        assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())

    def test_of_the_network_or_of_torchs_draws(self) -> None:
        section = config({"batchnorm": True, "dropout": 0.5})
        model, data = made(section)
        before, draws = copy.deepcopy(model.state_dict()), torch.get_rng_state()
        graphs: list[bool] = []
        next(model.children()).register_forward_hook(
            lambda _, __, output: graphs.append(output.requires_grad)
        )
        for training in (True, False):
            model.train(training)
            look(section, model, data.probe(30))
            assert model.training is training
        assert graphs == [False, False]
        assert torch.equal(torch.get_rng_state(), draws)
        for name, value in model.state_dict().items():
            assert torch.equal(value, before[name]), name
        assert all(parameter.grad is None for parameter in model.parameters())

    def test_without_diagnose_nothing_is_looked_at(self) -> None:
        prepared, epochs, _ = told(replace(config(), diagnose=False))
        assert prepared.probe is None
        assert [epoch.probe for epoch in epochs] == [None, None]


def reference(model: nn.Module, activation: str, images: Tensor) -> dict[str, Tensor]:
    """What the layers give in training without dropout, caught by hooks."""
    twin, found = copy.deepcopy(model).train(), {}

    def catch(name: str) -> Any:
        def hook(_: nn.Module, __: Any, output: Tensor) -> None:
            found[name] = output.detach()

        return hook

    for name, layer in twin.named_children():
        if isinstance(layer, Dropout):
            layer.rate.zero_()
        if name == "classifier" or name.endswith(f"_{activation}"):
            layer.register_forward_hook(catch(name.removesuffix(f"_{activation}")))
    twin(images)
    return found


@pytest.mark.parametrize(("batchnorm", "at"), NORMS)
@pytest.mark.parametrize("activation", catalog.ACTIVATIONS)
def test_every_layer_is_told_once(activation: str, batchnorm: bool, at: str) -> None:
    """For each activation function, with batch norm at both places and without."""
    section = config(
        {
            "conv": [6, 4],
            "hidden": [10, 7],
            "activation": activation,
            "batchnorm": batchnorm,
            "batchnorm_at": at,
            "dropout": 0.3,
        }
    )
    model, data = made(section)
    images, labels = data.probe(40)
    probe = look(section, model, (images, labels))
    expected = reference(model, activation, images)
    units = {"conv1": 6, "conv2": 4, "hidden1": 10, "hidden2": 7, "classifier": 10}
    assert {layer.name: layer.units for layer in probe.layers} == units
    assert [layer.name for layer in probe.layers] == list(units) == list(expected)
    for layer in probe.layers:
        values = expected[layer.name].double().numpy()
        assert layer.mean == pytest.approx(values.mean(), abs=1e-6)
        assert layer.std == pytest.approx(values.std(), rel=1e-4)
        assert (layer.gradient_norm, layer.update_ratio) == (None, None)
        hidden = layer.name != "classifier"
        assert (layer.dead is not None) == (hidden and activation in DYING)
        assert (layer.saturated is not None) == (hidden and activation in SATURATING)
    scores = expected["classifier"]
    assert probe.loss == pytest.approx(F.cross_entropy(scores, labels).item(), rel=1e-5)
    assert (probe.highest_loss, probe.loss_deviation) == (None, None)


@pytest.mark.parametrize(
    ("model", "names"),
    [
        ({"conv": [], "hidden": []}, ["classifier"]),
        ({"conv": [4], "hidden": []}, ["conv1", "classifier"]),
        ({"conv": [], "hidden": [5]}, ["hidden1", "classifier"]),
        # An even kernel is padded by a layer of its own.
        ({"conv": [4, 3], "kernel": 2, "pool": "none"}, ["conv1", "conv2", "hidden1"]),
    ],
    ids=str,
)
def test_networks_of_other_shapes(model: dict[str, Any], names: list[str]) -> None:
    section = config(model)
    prepared, epochs, outcome = told(section)
    assert outcome.state is State.COMPLETE
    for probe in (prepared.probe, *(epoch.probe for epoch in epochs)):
        assert probe is not None
        found = [layer.name for layer in probe.layers]
        assert found[: len(names)] == names
        assert found[-1] == "classifier"


class TestDeadUnits:
    @pytest.mark.parametrize("name", ["conv1", "hidden1"])
    def test_are_those_that_are_pushed_below_zero(self, name: str) -> None:
        """Whole channels of a conv layer, at every position."""
        section = config({"conv": [8], "hidden": [8]})
        model, data = made(section)
        batch = data.probe(60)
        with torch.no_grad():
            bias = model.get_parameter(f"{name}.bias")
            bias[:3], bias[3:] = -1e4, 1e4
        dead = {layer.name: layer.dead for layer in look(section, model, batch).layers}
        assert dead[name] == 3 / 8
        assert dead["classifier"] is None

    def test_are_zero_on_every_image(self) -> None:
        """One image on which a unit is above 0 keeps it alive."""
        section, model, weight, _ = dense(4)
        images, labels = blank()
        weight[0, 9] = weight[1, 9] = 1.0
        weight[1, 10] = -5.0
        images[2, 0, 1, 1:3] = 1.0
        assert look(section, model, (images, labels)).layers[0].dead == 3 / 4
        assert look(section, model, blank()).layers[0].dead == 1.0

    def test_are_zero_at_every_position(self) -> None:
        """One position at which a channel is above 0 keeps it alive."""
        section = config({"conv": [4], "init": "zeros", "pool": "none"})
        model, _ = made(section)
        images, labels = blank()
        images[0, 0, 3, 3] = 1.0
        with torch.no_grad():
            model.get_parameter("conv1.weight")[2, 0, 1, 1] = 1.0
        assert look(section, model, (images, labels)).layers[0].dead == 3 / 4


class TestSaturated:
    @pytest.mark.parametrize(
        ("activation", "inside", "outside"),
        [("tanh", 2.0, 2.1), ("sigmoid", 3.4, 3.6)],
    )
    def test_within_3_percent_of_a_limit(
        self, activation: str, inside: float, outside: float
    ) -> None:
        section, model, _, bias = dense(8, activation)
        bias[:] = torch.tensor([0.0, inside, -inside, outside, -outside, 1e9, 0.1, outside])
        low, high = catalog.ACTIVATIONS[activation].limits or (0.0, 0.0)
        values = [getattr(torch, activation)(value).item() for value in bias]
        near = [min(abs(v - low), abs(v - high)) <= SATURATED_WITHIN for v in values]
        assert near == [False, False, False, True, True, True, False, True]
        assert look(section, model, blank()).layers[0].saturated == 4 / 8

    def test_counts_outputs_and_not_units(self) -> None:
        section, model, weight, _ = dense(2, "tanh")
        weight[0, 0] = 10.0
        images, labels = blank(4)
        images[0, 0, 0, 0] = 1.0
        assert look(section, model, (images, labels)).layers[0].saturated == 1 / 8

    @pytest.mark.parametrize("activation", SATURATING)
    def test_limits_are_the_functions(self, activation: str) -> None:
        row = catalog.ACTIVATIONS[activation]
        _, model, _, bias = dense(2, activation)
        bias[:] = torch.tensor([-1e4, 1e4])
        [values] = reference(model, activation, blank(1)[0])["hidden1"]
        assert tuple(values.tolist()) == row.limits


@pytest.mark.parametrize("activation", catalog.ACTIVATIONS)
def test_only_what_is_zero_below_zero_can_die(activation: str) -> None:
    """And its slope is 0 there, so that no gradient brings a unit back."""
    section, model, _, bias = dense(3, activation)
    bias[:] = -1.0
    values = reference(model, activation, blank(1)[0])["hidden1"]
    dies = bool((values == 0).all()) and activation != "maxout"
    assert catalog.ACTIVATIONS[activation].dies == dies
    assert look(section, model, blank()).layers[0].dead == (1.0 if dies else None)


class TestSimilarity:
    def similarity(self, weight: Tensor) -> float:
        section, model, own, _ = dense(len(weight))
        own[:, : weight.shape[1]] = weight
        own[:, weight.shape[1] :] = 0.0
        return look(section, model, blank()).layers[0].similarity

    @pytest.mark.parametrize("init", ["zeros", "normal:0.0001", "normal:1.0", "he", "xavier"])
    def test_of_init_schemes(self, init: str) -> None:
        section = config({"conv": [16], "hidden": [200], "init": init})
        model, data = made(section)
        for layer in look(section, model, data.probe(20)).layers:
            if init == "zeros":
                assert layer.similarity == 1.0
            else:  # the mean of so many squares of normal draws as a unit has inputs
                spread = math.sqrt(2 / fan_in(model.get_parameter(f"{layer.name}.weight")))
                assert layer.similarity == pytest.approx(1 / layer.units, rel=4 * spread)

    def test_of_equal_orthogonal_and_opposite_rows(self) -> None:
        row = torch.rand(64, generator=Generator().manual_seed(0))
        assert self.similarity(row.repeat(5, 1)) == pytest.approx(1.0)
        assert self.similarity(torch.eye(8)) == pytest.approx(1 / 8)
        assert self.similarity(torch.stack([row, -row])) == pytest.approx(0.0)
        assert self.similarity(torch.stack([row, 3 * row])) == pytest.approx(16 / 20)

    @pytest.mark.parametrize("scale", [1e-30, 1e30])
    def test_has_no_scale(self, scale: float) -> None:
        """Where the squares of the weights leave the range of float32."""
        rows = torch.rand(6, 64, generator=Generator().manual_seed(0)) - 0.5
        assert self.similarity(rows * scale) == pytest.approx(self.similarity(rows), rel=1e-4)


def by_hand(
    model: nn.Module, batches: Iterator[Batch], section: Train
) -> tuple[dict[str, float], dict[str, float]]:
    """SGD with momentum and weight decay, written out: gradient norms and update ratios."""
    velocity: dict[str, Tensor] = {}
    gradients, ratios = {}, {}
    for images, labels in batches:
        named = dict(model.named_parameters())
        loss = F.cross_entropy(model(images), labels)
        for name, gradient in zip(
            named, torch.autograd.grad(loss, list(named.values())), strict=True
        ):
            value = named[name].detach()
            gradients[name] = math.sqrt(float((gradient.double() ** 2).sum()))
            decay = section.weight_decay if name.endswith("weight") else 0.0
            push = gradient + decay * value
            velocity[name] = section.momentum * velocity.get(name, torch.zeros(())) + push
            step = section.lr * velocity[name].double()
            ratios[name] = float(step.norm() / value.double().norm()) if value.any() else math.nan
            value -= section.lr * velocity[name]
    return gradients, ratios


@pytest.mark.parametrize("epochs", [1, 2])
def test_gradients_and_updates_of_the_last_step(epochs: int) -> None:
    """45 images in batches of 20: the last step of an epoch is on 5 images."""
    settings = Train(lr=0.05, epochs=epochs, batch_size=20, momentum=0.9, weight_decay=0.01)
    section = replace(config({"activation": "tanh"}, limit=45), train=settings)
    model, data = made(section)
    twin = copy.deepcopy(model)
    prober = runner.make_prober(section, data, model)
    guard, seed = DivergenceGuard(10, 3.0, 20), Generator().manual_seed(1)
    *_, result = train(model, data, settings, guard, seed, prober)
    order = Generator().manual_seed(1)
    steps = (batch for _ in range(epochs) for batch in data.batches(20, order))
    gradients, ratios = by_hand(twin, steps, settings)
    assert result.probe is not None
    assert [layer.name for layer in result.probe.layers] == ["conv1", "hidden1", "classifier"]
    for layer in result.probe.layers:
        name = f"{layer.name}.weight"
        assert layer.gradient_norm == pytest.approx(gradients[name], rel=1e-4)
        assert layer.update_ratio == pytest.approx(ratios[name], rel=1e-3)


def test_weights_of_zero_have_no_update_ratio() -> None:
    section = config({"init": "zeros", "hidden": [8]}, epochs=1)
    _, [epoch], _ = told(section)
    assert epoch.probe is not None
    assert all(layer.update_ratio is None for layer in epoch.probe.layers)
    assert all(layer.gradient_norm == 0.0 for layer in epoch.probe.layers)


@pytest.mark.parametrize(
    ("limit", "batch_size", "stretches"),
    [(250, 20, [(0, 5), (5, 10)]), (240, 120, [(0, 1), (1, 2)]), (45, 20, [(0, 3)])],
)
def test_losses_of_an_epoch_by_stretches(
    limit: int, batch_size: int, stretches: list[tuple[int, int]]
) -> None:
    """Of at least 100 images; what is left at the end does not count, unless it is all."""
    settings = Train(lr=1e-30, epochs=1, batch_size=batch_size)
    section = replace(config(limit=limit), train=settings)
    model, data = made(section)
    batches = list(data.batches(batch_size, Generator().manual_seed(1)))
    with torch.no_grad():
        losses = [F.cross_entropy(model(x), y, reduction="sum").item() for x, y in batches]
    sizes = [len(labels) for _, labels in batches]
    means = [sum(losses[a:b]) / sum(sizes[a:b]) for a, b in stretches]
    assert all(sum(sizes[a:b]) >= STRETCH_IMAGES for a, b in stretches) or len(stretches) == 1
    prober = runner.make_prober(section, data, model)
    guard = DivergenceGuard(10, 3.0, 20)
    [epoch] = train(model, data, settings, guard, Generator().manual_seed(1), prober)
    assert epoch.probe is not None
    assert epoch.probe.highest_loss == pytest.approx(max(means), rel=1e-5)
    assert epoch.probe.loss_deviation == pytest.approx(np.std(means), rel=1e-3, abs=1e-6)


class TestFewImages:
    @pytest.mark.parametrize("model", [{}, {"batchnorm": True}], ids=str)
    @pytest.mark.parametrize("batch_size", [3, 4])
    def test_a_small_last_batch(self, model: dict[str, Any], batch_size: int) -> None:
        """Ten images: one is left out of each epoch, or two come last."""
        _, epochs, outcome = told(config(model, 10, train={"batch_size": batch_size}))
        assert outcome.state is State.COMPLETE
        for epoch in epochs:
            assert epoch.probe is not None
            assert all(layer.update_ratio for layer in epoch.probe.layers)

    def test_batches_of_one(self) -> None:
        _, epochs, outcome = told(config(limit=10, train={"batch_size": 1}))
        assert outcome.state is State.COMPLETE
        assert all(epoch.probe is not None and epoch.probe.loss_deviation == 0 for epoch in epochs)

    @pytest.mark.parametrize("model", [{}, {"conv": [5], "hidden": [], "batchnorm": True}], ids=str)
    def test_one_image(self, model: dict[str, Any]) -> None:
        section = config(model)
        network, data = made(section)
        probe = look(section, network, data.probe(1))
        assert math.isfinite(probe.loss)
        assert all(math.isfinite(layer.std) for layer in probe.layers)

    def test_no_more_images_than_there_are(self) -> None:
        _, data = made(config(limit=10))
        assert len(data.probe(runner.PROBE_IMAGES)[1]) == 10


@pytest.mark.parametrize("number", [math.nan, math.inf, 1e38])
@pytest.mark.parametrize("activation", catalog.ACTIVATIONS)
def test_weights_that_are_lost_are_told_of_all_the_same(activation: str, number: float) -> None:
    section = config({"activation": activation, "batchnorm": True, "batchnorm_at": "after"})
    model, data = made(section)
    with torch.no_grad():
        model.get_parameter("conv1.weight").fill_(number)
    probe = look(section, model, data.probe(20))
    assert len(probe.layers) == 3
    for layer in probe.layers:
        for share in (layer.dead, layer.saturated):
            assert share is None or 0.0 <= share <= 1.0
    if not math.isfinite(number):
        assert math.isnan(probe.layers[0].similarity)
    else:
        assert probe.layers[0].similarity == pytest.approx(1.0)
