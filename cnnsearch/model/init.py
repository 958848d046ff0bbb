"""Init schemes: how the weights are drawn before training.

The formulas are the lectures' (CS231n, lecture 6): `xavier` is N(0, 1/fan_in), and torch's Xavier
is called `glorot`. Fans are those of one linear piece, so that maxout's pieces are each drawn as a
layer of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Generator, Tensor, nn

from cnnsearch import catalog
from cnnsearch.config.sections import init_scheme
from cnnsearch.model.network import weight_layers
from cnnsearch.own import resolve


def initialise(model: nn.Module, scheme: str, generator: Generator, probe: Tensor) -> None:
    """Set all parameters and buffers of a network, whatever its memory held before.

    Weights follow `scheme`; biases are 0. What other modules hold is set by their own
    `reset_parameters`: prelu slopes 0.25, batch norm scale 1, shift 0 and fresh running averages.
    Every draw is made on the CPU, so that a seed means the same on every device.

    Args:
        scheme: as written in a config: "he", "normal:0.01".
        generator: a CPU generator, the only source of draws.
        probe: images [B, C, H, W] on the model's device, for schemes that look at data.
    """
    draw_weights(model, scheme, generator)
    with torch.no_grad():
        for module in model.modules():
            reset = getattr(module, "reset_parameters", None)
            if reset is not None and not isinstance(module, nn.Conv2d | nn.Linear):
                reset()
        rescale = catalog.INIT_SCHEMES[init_scheme(scheme)[0]].rescale
        if rescale is not None:
            resolve(rescale)(model, probe)


def draw_weights(model: nn.Module, scheme: str, generator: Generator) -> None:
    """Draw the weights of conv and fully connected layers, and set their biases to 0.

    Args:
        scheme: see `initialise`; `generator` likewise.
    """
    name, number = init_scheme(scheme)
    row = catalog.INIT_SCHEMES[name]
    draw = resolve(row.target)
    arguments = () if number is None else (number,)
    with torch.no_grad():
        for layer, pieces in weight_layers(model):
            weight = torch.empty(layer.weight.shape)
            for piece in weight.chunk(pieces):
                draw(piece, generator, *arguments)
            layer.weight.copy_(weight)
            if layer.bias is not None:
                layer.bias.zero_()


def zeros(weight: Tensor, generator: Generator) -> None:  # noqa: ARG001
    """All weights 0: every unit of a layer computes and learns the same."""
    weight.zero_()


def normal(weight: Tensor, generator: Generator, std: float) -> None:
    """N(0, std²)."""
    weight.normal_(0.0, std, generator=generator)


def xavier(weight: Tensor, generator: Generator) -> None:
    """N(0, 1/fan_in): keeps the variance of a linear layer (the lectures' Xavier)."""
    normal(weight, generator, fan_in(weight) ** -0.5)


def he(weight: Tensor, generator: Generator) -> None:
    """N(0, 2/fan_in): keeps the signal's size through relu (He et al. 2015)."""
    normal(weight, generator, (2 / fan_in(weight)) ** 0.5)


def glorot(weight: Tensor, generator: Generator) -> None:
    """N(0, 2/(fan_in + fan_out)): keeps signal and gradient (Glorot and Bengio 2010)."""
    normal(weight, generator, (2 / (fan_in(weight) + fan_out(weight))) ** 0.5)


def orthogonal(weight: Tensor, generator: Generator) -> None:
    """Orthonormal rows of [out, fan_in], or columns if out > fan_in (Saxe et al. 2014)."""
    nn.init.orthogonal_(weight, generator=generator)


def unit_variance(model: nn.Sequential, probe: Tensor) -> None:
    """Scale each layer, in order, so that its outputs on `probe` have variance 1.

    Layer-sequential unit variance (Mishkin and Matas 2016, algorithm 1). Biases are 0, so one
    division is exact and the paper's iteration is not needed. In evaluation mode dropout is off
    and a fresh batch norm passes its input on.

    Args:
        probe: images [B, C, H, W].
    """
    model.eval()
    signal = probe
    for layer in model:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            std = layer(signal).std()
            # A signal that died in the layers before has no scale to correct.
            layer.weight.div_(torch.where(std > 0, std, 1.0))
        signal = layer(signal)


def expected_squares(model: nn.Module, scheme: str) -> tuple[float, float] | None:
    """Expected sum of all squared weights by the scheme's formula, and its standard deviation.

    None for a scheme without a formula, such as one that looks at data.
    """
    name, number = init_scheme(scheme)
    if name not in _SQUARES or catalog.INIT_SCHEMES[name].rescale is not None:
        return None
    arguments = () if number is None else (number,)
    total, variance = 0.0, 0.0
    for layer, pieces in weight_layers(model):
        for piece in layer.weight.chunk(pieces):
            mean, deviation = _SQUARES[name](piece, *arguments)
            total += mean
            variance += deviation**2
    return total, variance**0.5


def _drawn(count: int, variance: float) -> tuple[float, float]:
    """Of so many squares of normal draws: mean and standard deviation of their sum."""
    return count * variance, variance * (2 * count) ** 0.5


# Of one linear piece's weights: expected sum of squares, standard deviation.
_SQUARES: Mapping[str, Callable[..., tuple[float, float]]] = {
    "zeros": lambda weight: (0.0, 0.0),  # noqa: ARG005
    "normal": lambda weight, std: _drawn(weight.numel(), std**2),
    "xavier": lambda weight: _drawn(weight.numel(), 1 / fan_in(weight)),
    "he": lambda weight: _drawn(weight.numel(), 2 / fan_in(weight)),
    "glorot": lambda weight: _drawn(weight.numel(), 2 / (fan_in(weight) + fan_out(weight))),
    "orthogonal": lambda weight: (float(min(len(weight), fan_in(weight))), 0.0),
}


def fan_in(weight: Tensor) -> int:
    """Inputs of one unit: of a weight [out, in] or [out, in, kernel, kernel]."""
    return weight[0].numel()


def fan_out(weight: Tensor) -> int:
    """Outputs that one input reaches, of the same weights."""
    return weight.numel() // weight.shape[1]
