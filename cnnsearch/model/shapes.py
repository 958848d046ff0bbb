"""What a network would be, found on the meta device: nothing is computed and no memory is used."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache

import torch
from torch import nn

from cnnsearch.config.sections import Model, Train
from cnnsearch.errors import InputError
from cnnsearch.model import own
from cnnsearch.model.network import Shape, build, check_weights, conv_shape
from cnnsearch.optimizer import state_tensors

FLOAT = 4
"""Bytes of a float32."""


@dataclass(frozen=True, slots=True)
class LayerRow:
    """One layer of a network.

    Args:
        name: such as "conv1", "conv1_norm", "classifier".
        kind: the name of torch's class.
        shape: of the output for one image: (C, H, W) or (units,).
        parameters: number of trained values.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int


@dataclass(frozen=True, slots=True)
class Measured:
    """What a network is made of and what it costs.

    Args:
        rows: its layers in the order of computation.
        pixels: values of one image.
    """

    rows: tuple[LayerRow, ...]
    pixels: int

    @property
    def parameters(self) -> int:
        """Number of trained values."""
        return sum(row.parameters for row in self.rows)

    def memory_bytes(self, train: Train) -> int:
        """Estimated bytes of one training step, without the images of the data set.

        4 bytes x (parameters x (2 + s) + batch x (values + 2 largest)): weights, gradients and the
        optimizer's s tensors a weight (sgd 0, with momentum 1, adam 2); every layer's output is
        kept for the backward pass, where two gradients of the largest output live at once.
        Libraries take more for themselves: 0.2 GB for torch on a CPU, 0.5 GB on CUDA.
        """
        sizes = [self.pixels, *(math.prod(row.shape) for row in self.rows)]
        values = sum(sizes) + 2 * max(sizes)
        weights = self.parameters * (2 + state_tensors(train))
        return FLOAT * (weights + train.batch_size * values)


def shape_error(section: Model, shape: Shape, classes: int) -> str | None:
    """Why the network cannot be built, in one sentence that names the layer; None if it can."""
    try:
        with torch.device("meta"):
            build(section, shape, classes)
    except InputError as error:
        return str(error)
    return None


def fits(section: Model, shape: Shape, classes: int = 1) -> str | None:
    """What `shape_error` says, by arithmetic alone: for the many networks of a space.

    Args:
        shape: (C, H, W) of the images.
        classes: they count for the size of the classifier only.
    """
    if section.module is not None:
        return own.check(section, shape, classes)
    try:
        for number, channels in enumerate(section.conv, 1):
            shape = conv_shape(section, shape, number, channels)
        inputs = math.prod(shape)
        for number, units in enumerate(section.hidden, 1):
            check_weights(f"hidden layer {number}", inputs * units)
            inputs = units
        check_weights("the classifier", inputs * classes)
    except InputError as error:
        return str(error)
    return None


def measure(section: Model, shape: Shape, classes: int) -> Measured:
    """Layers, parameters and memory of a network, from one pass over its layers.

    Args:
        shape: (C, H, W) of the images.

    Raises:
        InputError: the network cannot be built, see `build`.
    """
    return Measured(tuple(layer_table(section, shape, classes)), math.prod(shape))


def layer_table(section: Model, shape: Shape, classes: int) -> list[LayerRow]:
    """The layers in the order of computation, with the shapes that torch itself finds.

    Args:
        shape: (C, H, W) of the images.

    Raises:
        InputError: the network cannot be built, see `build`.
    """
    if section.module is not None:
        return _own_table(section, shape, classes)
    rows = []
    with torch.device("meta"):
        model = build(section, shape, classes).eval()
    signal: tuple[int, ...] = shape
    for name, layer in model.named_children():
        signal = _output_shape(_Call(layer, repr(layer), signal))
        rows.append(LayerRow(name, type(layer).__name__, signal, _parameters(layer)))
    return rows


def _own_table(section: Model, shape: Shape, classes: int) -> list[LayerRow]:
    """The modules that one image calls; what has parameters and is no such module stands below."""
    network = own.build(section, shape, classes, 0).eval()
    with torch.random.fork_rng(devices=[]), torch.no_grad(), own.called(network) as calls:
        network(torch.zeros(1, *shape))
    rows = [
        LayerRow(name, type(module).__name__, tuple(output.shape[1:]), _parameters(module))
        for name, module, output in calls
    ]
    rest = _parameters(network) - sum(row.parameters for row in rows)
    return [*rows, LayerRow("rest", type(network).__name__, (classes,), rest)] if rest else rows


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@dataclass(frozen=True)
class _Call:
    """A layer and the shape of its input; layers that are written alike are alike."""

    layer: nn.Module = field(compare=False)
    written: str
    shape: tuple[int, ...]


# The networks of a space have most layers in common: 1 instead of 7 ms for each of them.
@lru_cache(maxsize=4096)
def _output_shape(call: _Call) -> tuple[int, ...]:
    with torch.device("meta"), torch.inference_mode():
        return tuple(call.layer(torch.empty(1, *call.shape)).shape[1:])
