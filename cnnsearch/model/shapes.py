"""What a network would be, found on the meta device: nothing is computed and no memory is used."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from cnnsearch.config.sections import Model, Train
from cnnsearch.errors import InputError
from cnnsearch.model.network import Shape, build
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


def shape_error(section: Model, shape: Shape, classes: int) -> str | None:
    """Why the network cannot be built, in one sentence that names the layer; None if it can."""
    try:
        with torch.device("meta"):
            build(section, shape, classes)
    except InputError as error:
        return str(error)
    return None


def layer_table(section: Model, shape: Shape, classes: int) -> list[LayerRow]:
    """The layers in the order of computation, with the shapes that torch itself finds.

    Args:
        shape: (C, H, W) of the images.

    Raises:
        InputError: the network cannot be built, see `build`.
    """
    rows = []
    with torch.device("meta"):
        model = build(section, shape, classes).eval()
        signal = torch.empty(1, *shape)
        for name, layer in model.named_children():
            signal = layer(signal)
            count = sum(parameter.numel() for parameter in layer.parameters())
            rows.append(LayerRow(name, type(layer).__name__, tuple(signal.shape[1:]), count))
    return rows


def parameter_count(section: Model, shape: Shape, classes: int) -> int:
    """Number of trained values of the network.

    Raises:
        InputError: the network cannot be built, see `build`.
    """
    return sum(row.parameters for row in layer_table(section, shape, classes))


def memory_bytes(section: Model, train: Train, shape: Shape, classes: int) -> int:
    """Estimated bytes of one training step, without the images of the data set.

    4 bytes x (parameters x (2 + s) + batch x (values + 2 largest)): weights, gradients and the
    optimizer's s tensors a weight (sgd 0, with momentum 1, adam 2); every layer's output is kept
    for the backward pass, where two gradients of the largest output live at once. Libraries take
    more for themselves: 0.2 GB for torch on a CPU, 0.5 GB on CUDA.

    Raises:
        InputError: the network cannot be built, see `build`.
    """
    rows = layer_table(section, shape, classes)
    parameters = sum(row.parameters for row in rows)
    sizes = [math.prod(shape), *(math.prod(row.shape) for row in rows)]
    values = sum(sizes) + 2 * max(sizes)
    return FLOAT * (parameters * (2 + state_tensors(train)) + train.batch_size * values)
