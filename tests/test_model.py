"""The network of a config's model section."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any, Literal

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cnnsearch import catalog
from cnnsearch.config.sections import Model, Train
from cnnsearch.model import (
    Maxout,
    build,
    fits,
    initialise,
    layer_table,
    measure,
    shape_error,
    weight_layers,
)
from cnnsearch.model.network import Shape

IMAGE: Shape = (3, 12, 10)


def made(section: Model, shape: Shape = IMAGE, classes: int = 10) -> nn.Sequential:
    """A network with weights, as the runner makes it."""
    with torch.device("meta"):
        model = build(section, shape, classes)
    model = model.to_empty(device="cpu")
    probe = torch.randn(32, *shape, generator=torch.Generator().manual_seed(1))
    initialise(model, section.init, torch.Generator().manual_seed(0), probe)
    return model


def images(count: int = 8, shape: Shape = IMAGE) -> Tensor:
    return torch.randn(count, *shape, generator=torch.Generator().manual_seed(2))


def names(section: Model) -> list[str]:
    return [name for name, _ in build(section, IMAGE, 10).named_children()]


@pytest.mark.parametrize(
    "batchnorm", [{}, {"batchnorm": True}, {"batchnorm": True, "batchnorm_at": "after"}]
)
@pytest.mark.parametrize("activation", catalog.ACTIVATIONS)
def test_every_activation_trains(activation: str, batchnorm: dict[str, Any]) -> None:
    section = Model(conv=[4, 6], hidden=[12], activation=activation, **batchnorm)
    model = made(section)
    scores = model(images())
    assert scores.shape == (8, 10)
    F.cross_entropy(scores, torch.arange(8)).backward()  # type: ignore[no-untyped-call]
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    used = [name for name, _ in model.named_children() if name.endswith(f"_{activation}")]
    assert used == [f"conv1_{activation}", f"conv2_{activation}", f"hidden1_{activation}"]


ACTIVATION_VALUES: dict[str, Callable[[float], float]] = {
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
    "tanh": math.tanh,
    "relu": lambda x: max(0.0, x),
    "leaky_relu": lambda x: max(0.01 * x, x),
    "prelu": lambda x: max(0.25 * x, x),
    "elu": lambda x: x if x > 0 else math.exp(x) - 1,
    "selu": lambda x: 1.0507009873554805 * (x if x > 0 else 1.6732632423543772 * math.expm1(x)),
    "gelu": lambda x: x * 0.5 * (1 + math.erf(x / math.sqrt(2))),
    "silu": lambda x: x / (1 + math.exp(-x)),
}


@pytest.mark.parametrize("activation", ACTIVATION_VALUES)
def test_activation_formulas(activation: str) -> None:
    model = build(Model(conv=[], hidden=[5], activation=activation), (1, 1, 5), 2)
    layer = model.get_submodule(f"hidden1_{activation}")
    x = torch.tensor([-3.0, -0.5, 0.0, 0.5, 3.0])
    expected = [ACTIVATION_VALUES[activation](value) for value in x.tolist()]
    torch.testing.assert_close(layer(x), torch.tensor(expected))


@pytest.mark.parametrize(
    "activation", [n for n, r in catalog.ACTIVATIONS.items() if r.monotone and r.pieces == 1]
)
def test_activations_called_monotone_never_fall(activation: str) -> None:
    layer = build(Model(conv=[], hidden=[1], activation=activation), (1, 1, 1), 2)[2]
    assert (layer(torch.linspace(-9, 9, 2001)).diff() >= -1e-6).all()


@pytest.mark.parametrize("activation", catalog.ACTIVATIONS)
def test_what_activations_are_said_to_learn(activation: str) -> None:
    layer = build(Model(conv=[], hidden=[5], activation=activation), (1, 1, 5), 2)[2]
    count = sum(parameter.numel() for parameter in layer.parameters())
    assert count == catalog.ACTIVATIONS[activation].learned


def test_maxout_is_the_maximum_of_two_pieces() -> None:
    pieces = torch.randn(4, 6, 3, 3)
    torch.testing.assert_close(Maxout()(pieces), torch.maximum(pieces[:, :3], pieces[:, 3:]))
    model = made(Model(conv=[5], hidden=[7], activation="maxout"))
    assert [(layer.weight.shape[0], pieces) for layer, pieces in weight_layers(model)] == [
        (10, 2),
        (14, 2),
        (10, 1),
    ]


def test_fully_connected_network_of_the_lectures() -> None:
    model = build(Model(conv=[], hidden=[50]), (3, 32, 32), 10)
    assert [name for name, _ in model.named_children()] == [
        "flatten",
        "hidden1",
        "hidden1_relu",
        "classifier",
    ]
    assert model.get_parameter("hidden1.weight").shape == (50, 3072)
    x = images(4, (3, 32, 32))
    hidden = F.relu(
        x.flatten(1) @ model.get_parameter("hidden1.weight").T + model.get_parameter("hidden1.bias")
    )
    expected = hidden @ model.get_parameter("classifier.weight").T + model.get_parameter(
        "classifier.bias"
    )
    torch.testing.assert_close(model(x), expected)


def test_softmax_regression() -> None:
    assert names(Model(conv=[], hidden=[], dropout=0.5)) == ["flatten", "classifier"]


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("size", [(7, 8), (9, 5), (1, 2)])
def test_same_padding(size: tuple[int, int], kernel: int, stride: int) -> None:
    """ceil(size / stride) outputs; at stride 1 the very numbers of torch's own `same`."""
    section = Model(conv=[4], kernel=kernel, stride=stride, pool="none", hidden=[])
    shape = (2, *size)
    [block] = [row for row in layer_table(section, shape, 3) if row.name == "conv1"]
    assert block.shape == (4, math.ceil(size[0] / stride), math.ceil(size[1] / stride))
    if stride == 1:
        model, x = made(section, shape), images(2, shape)
        head = nn.Sequential(*itertools.takewhile(lambda m: not isinstance(m, nn.ReLU), model))
        with torch.no_grad():
            padding = (kernel - 1) // 2, kernel // 2
            padded = F.pad(x, (*padding, *padding))
            torch.testing.assert_close(
                head(x), F.conv2d(padded, model.get_parameter("conv1.weight"))
            )


@pytest.mark.parametrize(
    ("padding", "kernel", "stride", "expected"), [(0, 3, 1, (10, 8)), (2, 3, 1, (14, 12)),
                                                  (1, 4, 2, (6, 5)), (0, 5, 3, (3, 2))]
)  # fmt: skip
def test_padding_by_a_number(
    padding: int, kernel: int, stride: int, expected: tuple[int, int]
) -> None:
    section = Model(conv=[4], kernel=kernel, stride=stride, padding=padding, pool="none")
    assert layer_table(section, IMAGE, 10)[0].shape == (4, *expected)


@pytest.mark.parametrize("pool", ["max", "avg"])
@pytest.mark.parametrize("pool_size", [2, 3])
def test_pooling_pads_nothing(pool: Literal["max", "avg"], pool_size: int) -> None:
    """Odd rows at the border are left out; each output is of pool_size x pool_size pixels."""
    section = Model(conv=[4], pool=pool, pool_size=pool_size, activation="sigmoid", hidden=[])
    model, x = made(section, (1, 7, 11)), images(2, (1, 7, 11))
    rows = {row.name: row.shape for row in layer_table(section, (1, 7, 11), 10)}
    height, width = 7 // pool_size, 11 // pool_size
    assert rows["flatten"] == (4 * height * width,)
    with torch.no_grad():
        signal = torch.sigmoid(F.conv2d(x, model.get_parameter("conv1.weight"), padding=1))
        signal = signal[..., : height * pool_size, : width * pool_size]
        windows = signal.reshape(2, 4, height, pool_size, width, pool_size)
        pooled = windows.amax((3, 5)) if pool == "max" else windows.mean((3, 5))
        expected = pooled.flatten(1) @ model.get_parameter("classifier.weight").T
        torch.testing.assert_close(model(x), expected)


def test_order_in_a_block() -> None:
    block = ["conv1", "conv1_tanh", "conv1_pool"]
    assert names(Model(conv=[4], activation="tanh", pool="avg"))[:3] == block
    before = Model(conv=[4], activation="tanh", pool="avg", batchnorm=True)
    assert names(before)[:4] == ["conv1", "conv1_norm", "conv1_tanh", "conv1_pool"]
    after = before.model_copy(update={"batchnorm_at": "after", "pool": "max"})
    assert names(after)[:4] == ["conv1", "conv1_tanh", "conv1_norm", "conv1_pool"]
    assert names(after)[4:] == ["flatten", "hidden1", "hidden1_tanh", "hidden1_norm", "classifier"]


@pytest.mark.parametrize("batchnorm", [False, True])
@pytest.mark.parametrize("activation", catalog.ACTIVATIONS)
def test_pooling_first_is_the_same_function(activation: str, batchnorm: bool) -> None:
    section = Model(conv=[4], activation=activation, batchnorm=batchnorm)
    model, x = made(section).eval(), images()
    layers = dict(model.named_children())
    order = ["conv1", "conv1_norm", f"conv1_{activation}", "conv1_pool"]
    signal = x
    for name in [*(n for n in order if n in layers), *list(layers)[len(order) - (not batchnorm) :]]:
        signal = layers[name](signal)
    torch.testing.assert_close(model(x), signal, rtol=0, atol=0)


def test_batch_norm_and_biases() -> None:
    """A layer directly followed by batch norm has no bias; the classifier always has one."""
    before = build(Model(conv=[4], batchnorm=True), IMAGE, 10)
    assert [layer.bias is None for layer, _ in weight_layers(before)] == [True, True, False]
    after = build(Model(conv=[4], batchnorm=True, batchnorm_at="after"), IMAGE, 10)
    assert [layer.bias is None for layer, _ in weight_layers(after)] == [False, False, False]
    assert isinstance(before.conv1_norm, nn.BatchNorm2d)
    assert isinstance(before.hidden1_norm, nn.BatchNorm1d)


def test_batch_norm_before_maxout_is_over_the_pieces() -> None:
    section = Model(conv=[4], hidden=[6], activation="maxout", batchnorm=True)

    def sizes(section: Model) -> list[int]:
        model = build(section, IMAGE, 10)
        return [model.get_parameter(f"{name}_norm.weight").numel() for name in ("conv1", "hidden1")]

    assert sizes(section) == [8, 12]
    assert sizes(section.model_copy(update={"batchnorm_at": "after"})) == [4, 6]


def test_dropout_stands_before_layers_that_do_not_see_the_image() -> None:
    def dropped(section: Model) -> list[str]:
        return [name for name in names(section) if name.endswith("dropout")]

    conv = Model(conv=[4], hidden=[5, 6], dropout=0.5)
    assert dropped(conv) == ["hidden1_dropout", "hidden2_dropout", "classifier_dropout"]
    flat = Model(conv=[], hidden=[5, 6], dropout=0.5)
    assert dropped(flat) == ["hidden2_dropout", "classifier_dropout"]
    assert dropped(Model(conv=[4], hidden=[5], dropout=0.0)) == []


@pytest.mark.parametrize(
    ("section", "error"),
    [
        (Model(conv=[8] * 3), None),
        (
            Model(conv=[8] * 4),
            "conv layer 4: the image is 1x1 there, smaller than the 2x2 pool."
            " Use fewer conv layers or pool: none.",
        ),
        (Model(conv=[8] * 4, pool="none"), None),
        (
            Model(conv=[8], pool_size=11),
            "conv layer 1: the image is 12x10 there, smaller than the 11x11 pool."
            " Use fewer conv layers or pool: none.",
        ),
        (
            Model(conv=[8, 8], kernel=5, padding=0),
            "conv layer 2: the image is 4x3 there, with padding 0 smaller than the 5x5 kernel."
            " Use a smaller kernel or padding: same.",
        ),
        (Model(conv=[8], kernel=12, padding=1, pool="none"), None),
        (Model(conv=[8, 8], kernel=25), None),
        (Model(conv=[], hidden=[]), None),
        (
            Model(conv=[], hidden=[10**6, 10**6]),
            "hidden layer 2: it would have 1e+12 weights, more than one device holds."
            " Use fewer channels or units, or more pooling.",
        ),
    ],
)
def test_shape_error(section: Model, error: str | None) -> None:
    assert shape_error(section, IMAGE, 10) == fits(section, IMAGE, 10) == error


def test_fits_says_what_building_says() -> None:
    said = set()
    names = ("conv", "kernel", "stride", "padding", "pool", "pool_size", "hidden")
    for values in itertools.product(
        [[], [3], [3, 3], [10**5], [10**6, 10**6]], [1, 4, 7], [1, 3], ["same", 0, 2],
        ["max", "none"], [2, 5], [[4], [10**5], [10**6, 10**6]],
    ):  # fmt: skip
        section = Model.model_validate(dict(zip(names, values, strict=True)))
        error = shape_error(section, IMAGE, 10**4)
        assert fits(section, IMAGE, 10**4) == error
        said.add(error and error.partition(":")[0])
    assert said >= {None, "conv layer 1", "conv layer 2", "hidden layer 1", "hidden layer 2"}
    assert fits(Model(conv=[], hidden=[10**6]), IMAGE, 10**6) == shape_error(
        Model(conv=[], hidden=[10**6]), IMAGE, 10**6
    )


@pytest.mark.parametrize("side", [1, 2, 3, 5, 8, 13])
def test_shape_error_agrees_with_torch(side: int) -> None:
    """Whatever is said to fit runs, with the announced shapes and parameters."""
    fitting = 0
    names = ("conv", "kernel", "stride", "padding", "pool")
    for values in itertools.product(
        [[], [3], [3, 3]], [1, 2, 3], [1, 2], ["same", 0, 1], ["max", "none"]
    ):
        section = Model.model_validate({"hidden": [4], **dict(zip(names, values, strict=True))})
        shape = (1, side, side + 1)
        if shape_error(section, shape, 3) is None:
            fitting += 1
            model = build(section, shape, 3)
            assert model(torch.zeros(2, *shape)).shape == (2, 3)
            count = sum(parameter.numel() for parameter in model.parameters())
            assert measure(section, shape, 3).parameters == count
    assert fitting >= 36


def test_layer_table() -> None:
    rows = layer_table(Model(conv=[4], hidden=[6], batchnorm=True), IMAGE, 10)
    assert [(row.name, row.kind, row.shape, row.parameters) for row in rows] == [
        ("conv1", "Conv2d", (4, 12, 10), 108),
        ("conv1_norm", "BatchNorm2d", (4, 12, 10), 8),
        ("conv1_pool", "MaxPool2d", (4, 6, 5), 0),
        ("conv1_relu", "ReLU", (4, 6, 5), 0),
        ("flatten", "Flatten", (120,), 0),
        ("hidden1", "Linear", (6,), 720),
        ("hidden1_norm", "BatchNorm1d", (6,), 12),
        ("hidden1_relu", "ReLU", (6,), 0),
        ("classifier", "Linear", (10,), 70),
    ]


def test_memory_follows_batch_and_optimizer() -> None:
    measured = measure(Model(conv=[], hidden=[50]), (3, 32, 32), 10)
    parameters, values = 154_160, 3072 + 3072 + 50 + 50 + 10 + 2 * 3072

    def estimate(train: Train) -> int:
        return measured.memory_bytes(train)

    plain = Train(momentum=0.0, batch_size=1)
    assert measured.parameters == parameters
    assert estimate(plain) == 4 * (2 * parameters + values)
    assert estimate(Train(momentum=0.9, batch_size=1)) == 4 * (3 * parameters + values)
    assert estimate(Train(optimizer="adam", batch_size=1)) == 4 * (4 * parameters + values)
    assert estimate(Train(momentum=0.0, batch_size=100)) == 4 * (2 * parameters + 100 * values)


@pytest.mark.parametrize("activation", catalog.ACTIVATIONS)
def test_measured_as_torch_computes(activation: str) -> None:
    """Also where layers are shared with networks that were measured before."""
    variants: list[dict[str, Any]] = [
        {}, {"batchnorm": True}, {"conv": []}, {"pool": "avg"}, {"dropout": 0.5}
    ]  # fmt: skip
    for fields in variants:
        section = Model.model_validate({"conv": [4], "activation": activation, **fields})
        measured = measure(section, IMAGE, 10)
        signal, shapes = images(2), []
        model = made(section)
        for layer in model:
            signal = layer(signal)
            shapes.append(tuple(signal.shape[1:]))
        assert [row.shape for row in measured.rows] == shapes
        parameters = sum(parameter.numel() for parameter in model.parameters())
        assert measured.parameters == parameters


def test_networks_can_be_stacked() -> None:
    """What fusing trials asks: `torch.func` runs several networks of one shape as one."""
    section = Model(conv=[4], hidden=[6], activation="maxout", batchnorm=True)
    models = [made(section.model_copy(update={"init": init})).eval() for init in ("he", "glorot")]
    parameters, buffers = torch.func.stack_module_state(list(models))
    base, x = models[0], images()

    def call(p: dict[str, Tensor], b: dict[str, Tensor]) -> Tensor:
        scores = torch.func.functional_call(base, (p, b), (x,))
        assert isinstance(scores, Tensor)
        return scores

    together = torch.vmap(call)(parameters, buffers)
    torch.testing.assert_close(together, torch.stack([model(x) for model in models]))
