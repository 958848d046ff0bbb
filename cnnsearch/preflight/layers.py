"""What becomes of a signal layer by layer before any training: the lectures' ten-layer experiment.

CS231n, lecture 6: ten layers of 500 units on normal inputs, once for each init scheme and
activation; the signal dies, fades, explodes, saturates or stays.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cnnsearch import model, runner
from cnnsearch.config import Config
from cnnsearch.diagnose.network import DYING, EXPLODING
from cnnsearch.probe import Prober, signals
from cnnsearch.process import settle
from cnnsearch.records import LayerProbe
from cnnsearch.weights import fill

IMAGES = 1000
BINS = 64

# A network's layers are held at once, in so many float32 values (512 MiB).
_MOST_VALUES = 2**27
# Quantiles are taken of about so many values, the whole would have to be sorted.
_SAMPLED = 2**18
# The tails of the histogram's range, on both sides.
_TAIL = 1e-3
_MOSTLY = 0.5
_FADED, _CHANGED = 10.0, 2.0


class Seen(StrEnum):
    """What becomes of a signal, most severe first."""

    OVERFLOWS = "overflows"
    NONE = "none"
    SATURATES = "saturates"
    DIES = "dies"
    EXPLODES = "explodes"
    FADES = "fades"
    DEAD = "dead"
    SHRINKS = "shrinks"
    GROWS = "grows"
    STAYS = "stays"


@dataclass(frozen=True)
class Noise:
    """Inputs drawn from N(0, 1) in the place of images; labels say nothing.

    Args:
        shape: (C, H, W).
        images: float32 [N, C, H, W].
    """

    shape: tuple[int, int, int]
    classes: int
    images: Tensor

    @classmethod
    def drawn(
        cls, shape: tuple[int, int, int], classes: int, seed: int, device: torch.device
    ) -> Noise:
        """Of a seed, on the CPU, so that all devices see the same."""
        generator = torch.Generator().manual_seed(seed)
        images = torch.randn(IMAGES, *shape, generator=generator)
        return cls(shape, classes, images.to(device))

    def probe(self, count: int) -> tuple[Tensor, Tensor]:
        """The first inputs, all of class 0."""
        images = self.images[:count]
        return images, torch.zeros(len(images), dtype=torch.int64, device=images.device)


@dataclass(frozen=True)
class Layers:
    """One network, before its training or with the weights of it.

    Args:
        inputs: how many images it was looked at with.
        input_std: standard deviation of their values.
        rows: its layers before the classifier, in order.
        scores: the classifier.
        low: lower end of the histograms, the same for all layers; likewise `high`.
        histograms: of each row the share of its activations in each of `BINS` equal parts of the
            range, 0..1; those beyond the ends are counted in the last parts. Empty where a value
            is not finite.
        seen: what becomes of the signal.
    """

    inputs: int
    input_std: float
    rows: tuple[LayerProbe, ...]
    scores: LayerProbe
    low: float
    high: float
    histograms: tuple[tuple[float, ...], ...]
    seen: Seen


def look(
    config: Config,
    data: runner.Inputs,
    device: torch.device,
    most: int = IMAGES,
    weights: tuple[Mapping[str, Any], Path] | None = None,
) -> Layers:
    """Initialise a single run's network as it would be, and pass at most `most` inputs through it.

    Args:
        weights: those it is to have instead, and their file.

    Raises:
        InputError: a layer does not fit, or the weights are those of another network.
    """
    settle(config.threads, config.train)
    network = runner.make_network(config, data, device)
    if weights is not None:
        fill(network, *weights)
    measured = model.measure(config.model, data.shape, data.classes)
    values = sum(math.prod(row.shape) for row in measured.rows)
    batch = data.probe(max(2, min(most, _MOST_VALUES // values)))
    activation = runner.activation_of(config)
    *rows, scores = Prober(network, activation, batch).look().layers
    with torch.no_grad():
        found = signals(network, activation, batch[0])
        finite = all(math.isfinite(row.std) for row in rows)
        flat = [signal.values.flatten() for signal in found][:-1] if finite else []
    low, high = _range(flat)
    return Layers(
        inputs=len(batch[0]),
        input_std=batch[0].std().item(),
        rows=tuple(rows),
        scores=scores,
        low=low,
        high=high,
        histograms=tuple(_histogram(values, low, high) for values in flat),
        seen=seen(rows),
    )


def seen(rows: Sequence[LayerProbe]) -> Seen:
    """What becomes of a signal, by its layers before the classifier."""
    if not all(math.isfinite(row.std) for row in rows):
        return Seen.OVERFLOWS
    if not rows:
        return Seen.STAYS
    first, last = rows[0].std, rows[-1].std
    told = {
        Seen.NONE: first == 0,
        Seen.SATURATES: any((row.saturated or 0) >= _MOSTLY for row in rows),
        # The limits of bad-init, so that both say the same of a network.
        Seen.DIES: last <= DYING * first,
        # A bounded function cannot explode.
        Seen.EXPLODES: last >= EXPLODING * first and rows[-1].saturated is None,
        Seen.FADES: last * _FADED < first,
        Seen.DEAD: any((row.dead or 0) >= _MOSTLY for row in rows),
        Seen.SHRINKS: last * _CHANGED < first,
        Seen.GROWS: last > first * _CHANGED,
    }
    return next((seen for seen, applies in told.items() if applies), Seen.STAYS)


def _range(flat: Sequence[Tensor]) -> tuple[float, float]:
    """From the lowest to the highest value of all layers, without their last thousandths."""
    ends = torch.tensor([_TAIL, 1 - _TAIL])
    found = [
        torch.quantile(values[:: max(1, len(values) // _SAMPLED)].cpu(), ends).tolist()
        for values in flat
    ]
    low = min((ends[0] for ends in found), default=0.0)
    high = max((ends[1] for ends in found), default=0.0)
    if low < high:
        return low, high
    return low - 1.0, high + 1.0


def _histogram(values: Tensor, low: float, high: float) -> tuple[float, ...]:
    places = ((values - low) * (BINS / (high - low))).clamp(0, BINS - 1).long()
    counts = torch.bincount(places, minlength=BINS)
    return tuple((counts.double() / len(values)).tolist())
