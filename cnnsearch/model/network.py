"""Build the network of a config's `model:` section as a plain `nn.Sequential`."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator

from torch import nn

from cnnsearch import catalog
from cnnsearch.config.sections import Model
from cnnsearch.errors import InputError
from cnnsearch.model.activations import Maxout
from cnnsearch.model.dropout import Dropout
from cnnsearch.model.flatten import Flatten
from cnnsearch.own import resolve
from cnnsearch.rows import Activation

Shape = tuple[int, int, int]
Layers = Iterator[tuple[str, nn.Module]]

# 275 GB of float32: more than one device has, and far below the sizes that torch cannot count.
MOST_WEIGHTS = 2**36


def build(section: Model, shape: Shape, classes: int) -> nn.Sequential:
    """Build the network; its weights are not initialised, see `initialise`.

    Layers of a block: conv, batch norm (before), activation, batch norm (after), pooling. Layers
    have names such as `conv1`, `conv1_relu`, `conv1_pool`, `hidden1`, `classifier`. Under
    `torch.device("meta")` this costs neither memory nor draws.

    Args:
        shape: (C, H, W) of the images.
        classes: number of outputs.

    Raises:
        InputError: a layer does not fit; one sentence that names the layer and the sizes.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for number, channels in enumerate(section.conv, 1):
        block, shape = _conv_block(section, shape, number, channels)
        layers.update(block)
    layers["flatten"] = Flatten()
    inputs = math.prod(shape)
    for number, units in enumerate(section.hidden, 1):
        name = f"hidden{number}"
        check_weights(f"hidden layer {number}", inputs * units)
        # A layer that sees the raw image loses no inputs (AlexNet drops before fc6 and fc7).
        if section.dropout and (section.conv or number > 1):
            layers[f"{name}_dropout"] = Dropout(section.dropout)
        pieces = catalog.ACTIVATIONS[section.activation].pieces
        layers[name] = nn.Linear(inputs, units * pieces, bias=_has_bias(section))
        layers.update(_activated(section, name, units, nn.BatchNorm1d))
        inputs = units
    if section.dropout and (section.conv or section.hidden):
        layers["classifier_dropout"] = Dropout(section.dropout)
    check_weights("the classifier", inputs * classes)
    layers["classifier"] = nn.Linear(inputs, classes)
    return nn.Sequential(layers)


def weight_layers(model: nn.Module) -> Iterator[tuple[nn.Conv2d | nn.Linear, int]]:
    """The layers with weights, in order, each with its number of linear pieces (maxout: 2)."""
    last: nn.Conv2d | nn.Linear | None = None
    pieces = 1
    for layer in model.modules():
        if isinstance(layer, Maxout):
            pieces = layer.pieces
        elif isinstance(layer, nn.Conv2d | nn.Linear):
            if last is not None:
                yield last, pieces
            last, pieces = layer, 1
    if last is not None:
        yield last, pieces


def _has_bias(section: Model) -> bool:
    """Batch norm subtracts the mean, and with it any bias of the layer directly before it."""
    return not (section.batchnorm and section.batchnorm_at == "before")


def _activated(
    section: Model, name: str, units: int, norm: type[nn.BatchNorm1d] | type[nn.BatchNorm2d]
) -> Layers:
    """The activation with its batch norm; before maxout the norm is over the pieces."""
    row = catalog.ACTIVATIONS[section.activation]
    if section.batchnorm and section.batchnorm_at == "before":
        yield f"{name}_norm", norm(units * row.pieces)
    yield f"{name}_{row.title}", _activation(row)
    if section.batchnorm and section.batchnorm_at == "after":
        yield f"{name}_norm", norm(units)


def _activation(row: Activation) -> nn.Module:
    made = resolve(row.target)
    made = made(**row.arguments) if isinstance(made, type) else None
    if not isinstance(made, nn.Module):
        raise InputError(f"{row.name}: is no class of torch.nn.Module. Write one.")
    if any(made.state_dict()) and not hasattr(made, "reset_parameters"):
        raise InputError(f"{row.name}: has values of its own and no reset_parameters to set them.")
    return made


def _conv_block(
    section: Model, shape: Shape, number: int, channels: int
) -> tuple[OrderedDict[str, nn.Module], Shape]:
    """The layers of one conv block and the shape (C, H, W) of its output."""
    name = f"conv{number}"
    row = catalog.ACTIVATIONS[section.activation]
    pooled = conv_shape(section, shape, number, channels)
    block = OrderedDict(_convolution(section, name, shape, channels * row.pieces))
    block.update(_activated(section, name, channels, nn.BatchNorm2d))
    if section.pool == "none":
        return block, pooled
    pool = nn.MaxPool2d if section.pool == "max" else nn.AvgPool2d
    block[f"{name}_pool"] = pool(section.pool_size)
    if _pools_first(section):
        block.move_to_end(f"{name}_{row.title}")
    return block, pooled


def conv_shape(section: Model, shape: Shape, number: int, channels: int) -> Shape:
    """The shape (C, H, W) that conv block `number`, counted from 1, makes of `shape`.

    Raises:
        InputError: the block does not fit; one sentence that names it and the sizes.
    """
    place = f"conv layer {number}"
    height, width = (_conv_size(section, place, shape[1:], axis) for axis in (0, 1))
    check_weights(place, shape[0] * section.kernel**2 * channels)
    if section.pool == "none":
        return channels, height, width
    size = section.pool_size
    if min(height, width) < size:
        raise InputError(
            f"{place}: the image is {height}x{width} there, smaller than the {size}x{size} pool."
            " Use fewer conv layers or pool: none."
        )
    return channels, height // size, width // size


def _convolution(section: Model, name: str, shape: Shape, outputs: int) -> Layers:
    inputs, height, width = shape
    (top, bottom), (left, right) = _pads(section, height), _pads(section, width)
    even = (top, left) == (bottom, right)
    if not even:
        yield f"{name}_pad", nn.ZeroPad2d((left, right, top, bottom))
    yield (
        name,
        nn.Conv2d(
            inputs,
            outputs,
            section.kernel,
            section.stride,
            padding=(top, left) if even else 0,
            bias=_has_bias(section),
        ),
    )


def _pads(section: Model, size: int) -> tuple[int, int]:
    """Zero pixels before and after an axis; `same` gives ceil(size / stride) outputs."""
    if section.padding != "same":
        return section.padding, section.padding
    outputs = math.ceil(size / section.stride)
    total = max((outputs - 1) * section.stride + section.kernel - size, 0)
    return total // 2, total - total // 2


def _conv_size(section: Model, place: str, image: tuple[int, int], axis: int) -> int:
    """Outputs of a conv layer along an axis of its input image (H, W)."""
    padded = image[axis] + sum(_pads(section, image[axis]))
    kernel = section.kernel
    if padded < kernel:
        raise InputError(
            f"{place}: the image is {image[0]}x{image[1]} there, with padding {section.padding}"
            f" smaller than the {kernel}x{kernel} kernel. Use a smaller kernel or padding: same."
        )
    return (padded - kernel) // section.stride + 1


def _pools_first(section: Model) -> bool:
    """Whether the pool may stand before the activation: the same function, a quarter of the work.

    The maximum commutes with an activation that never falls, and with maxout's own. A step of conv
    32-64 on 32x32x3, batch 128, one thread: 79 ms, with channels_last 57 ms, with both 46 ms. Of
    maxout on another machine, with channels_last 175 ms, with both 115 ms.
    """
    row = catalog.ACTIVATIONS[section.activation]
    norm_between = section.batchnorm and section.batchnorm_at == "after"
    return section.pool == "max" and row.monotone and not norm_between


def check_weights(place: str, count: int) -> None:
    """Refuse a layer that no device holds, with one sentence that names `place`."""
    if count > MOST_WEIGHTS:
        raise InputError(
            f"{place}: it would have {count:.0e} weights, more than one device holds."
            " Use fewer channels or units, or more pooling."
        )
