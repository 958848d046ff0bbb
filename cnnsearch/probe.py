"""What a few images show of a network: signals layer by layer, gradients, the size of updates.

Glorot and Bengio (2010) read a deep network by the distribution of its activations layer by layer;
CS231n's lecture 6 adds the ratio of a layer's update to its weights, about 1e-3 where the learning
rate is right.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cnnsearch import catalog
from cnnsearch.model import Dropout, own
from cnnsearch.own import is_own, resolve
from cnnsearch.records import LayerProbe, Probe
from cnnsearch.rows import Activation

SATURATED_WITHIN = 0.03
"""How near to a limit of its function an activation counts as saturated."""

Batch = tuple[Tensor, Tensor]
_DROPOUT = (nn.modules.dropout._DropoutNd, nn.AlphaDropout, nn.FeatureAlphaDropout)
Norm = nn.BatchNorm1d | nn.BatchNorm2d


@dataclass(frozen=True)
class Signal:
    """What a layer with weights passes on.

    Args:
        values: its activations [B, units, ...]; the scores of the classifier [B, classes].
        activation: the function that gave them; None of the classifier, and where it is not known.
    """

    name: str
    layer: nn.Conv2d | nn.Linear
    values: Tensor
    activation: Activation | None


def signals(model: nn.Module, activation: str | None, images: Tensor) -> Iterable[Signal]:
    """The signals of the layers with weights, in order, as in training but without dropout.

    Batch norm takes the batch's statistics and leaves its running averages alone, so that looking
    changes nothing of the training.

    Args:
        activation: name of the network's activation function; None of one of the user's own.
        images: [B, C, H, W].
    """
    if activation is None:
        return _own(model, images)
    found = _built(model, activation, images)
    if not is_own(activation):
        return found
    with torch.random.fork_rng(devices=_devices(images)):  # it may draw
        return list(found)


def _devices(images: Tensor) -> list[torch.device]:
    """Those besides the CPU whose random numbers are to be left as they are."""
    return [images.device] if images.device.type == "cuda" else []


def _built(model: nn.Module, activation: str, images: Tensor) -> Iterator[Signal]:
    """Of a network whose layers follow each other; one is in memory at a time."""
    signal, row = images, catalog.ACTIVATIONS[activation]
    at: tuple[str, nn.Conv2d | nn.Linear] | None = None
    for name, layer in model.named_children():
        if isinstance(layer, Dropout):
            continue
        if isinstance(layer, Norm):
            signal = F.batch_norm(
                signal, None, None, layer.weight, layer.bias, training=True, eps=layer.eps
            )
        else:
            signal = layer(signal)
        if isinstance(layer, nn.Conv2d | nn.Linear):
            at = (name, layer)
        if at is not None and name in (f"{at[0]}_{row.title}", "classifier"):
            yield Signal(*at, signal, None if name == "classifier" else row)


def _own(model: nn.Module, images: Tensor) -> list[Signal]:
    """Of any network, by looking at its modules as they are called.

    A layer's activation is the first module of `catalog.ACTIVATIONS` that is called after it; where
    there is none, as with `F.relu`, its own outputs stand for them. Its last layer is called
    "classifier", and the network's scores are its signal. Buffers and random numbers are left as
    they were; modules of dropout do nothing.
    """
    before = [buffer.clone() for buffer in model.buffers()]
    was_training = {module: module.training for module in model.modules()}
    for module in model.train().modules():
        if isinstance(module, _DROPOUT):
            module.eval()
    with torch.random.fork_rng(devices=_devices(images)), own.called(model) as calls:
        scores = model(images)
    for buffer, value in zip(model.buffers(), before, strict=True):
        buffer.copy_(value)
    for module, training in was_training.items():
        module.training = training
    rows = {resolve(row.target): row for row in catalog.ACTIVATIONS.values()}
    found: list[Signal] = []
    for name, module, values in calls:
        if isinstance(module, nn.Conv2d | nn.Linear):
            found.append(Signal(name, module, values, None))
        elif type(module) in rows and found and found[-1].activation is None:
            found[-1] = replace(found[-1], values=values, activation=rows[type(module)])
    last = Signal("classifier", found[-1].layer, scores, None)
    return [*found[:-1], last]


class Prober:
    """Looks at one network before its training and after each of its epochs.

    With 128 images that is 0.9 to 1.2 % of a trial's CPU time on configs/mnist.yaml and
    configs/cifar10.yaml (scripts/diagnose_cost.py).

    Args:
        activation: of the network; None of one of the user's own.
        batch: images [B, C, H, W] and labels [B] to look at it with.
    """

    def __init__(self, model: nn.Module, activation: str | None, batch: Batch) -> None:
        self._model = model
        self._activation = activation
        self._batch = batch
        self._before: dict[nn.Module, Tensor] = {}

    def remember(self) -> None:
        """Keep the weights as they are before the last step of an epoch."""
        self._before = {
            layer: layer.weight.detach().clone()
            for layer in self._model.modules()
            if isinstance(layer, nn.Conv2d | nn.Linear)
        }

    @torch.no_grad()
    def look(self, losses: Sequence[float] = ()) -> Probe:
        """Measure the network; after an epoch, its last step too.

        Args:
            losses: of the epoch, means over stretches of at least 100 images.
        """
        names, rows = [], []
        # Signal by signal, so that the activations of all layers are never in memory together.
        for signal in signals(self._model, self._activation, self._batch[0]):
            names.append((signal.name, signal.values.shape[1]))
            rows.append(self._row(signal))
        loss = F.cross_entropy(signal.values, self._batch[1])
        numbers = torch.cat([*rows, loss[None]]).tolist()  # waits, once
        columns = len(rows[0])
        layers = tuple(
            _layer(*name, *numbers[i * columns :][:columns]) for i, name in enumerate(names)
        )
        return Probe(
            numbers[-1],
            layers,
            highest_loss=max(losses, default=None),
            loss_deviation=statistics.pstdev(losses) if losses else None,
        )

    def _row(self, signal: Signal) -> Tensor:
        """What a `LayerProbe` tells, in its order; nan for what does not apply."""
        values, weight = signal.values, signal.layer.weight
        std, mean = torch.std_mean(values, correction=0)
        none = mean.new_tensor(math.nan)
        row = [mean, std, none, none, _similarity(weight), none, none]
        activation = signal.activation
        if activation is not None and activation.dies:
            largest = values.amax(dim=[0, *range(2, values.ndim)])
            row[2] = (largest == 0).float().mean()
        if activation is not None and activation.limits is not None:
            low, high = activation.limits
            edge = (high - low) / 2 - SATURATED_WITHIN
            row[3] = ((values - (high + low) / 2).abs() >= edge).float().mean()
        if signal.layer in self._before and weight.grad is not None:
            before = self._before[signal.layer]
            row[5] = torch.linalg.vector_norm(weight.grad)
            change = torch.linalg.vector_norm(weight - before)
            row[6] = change / torch.linalg.vector_norm(before)
        return torch.stack(row)


def _similarity(weight: Tensor) -> Tensor:
    """How equal the rows of [units, ...] are: 1 where all are the same, 1/units at random."""
    largest = weight.abs().max()
    rows = weight.flatten(1) / largest  # so that no square is too small or too large for float32
    common = rows.mean(0).square().sum() * len(rows)
    return torch.where(largest == 0, 1.0, common / rows.square().sum())


def _layer(
    name: str, units: int, mean: float, std: float, dead: float, saturated: float, *rest: float
) -> LayerProbe:
    similarity, gradient_norm, update_ratio = rest
    return LayerProbe(
        name=name,
        units=units,
        mean=mean,
        std=std,
        dead=_number(dead),
        saturated=_number(saturated),
        similarity=similarity,
        gradient_norm=_number(gradient_norm),
        update_ratio=_number(update_ratio),
    )


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
