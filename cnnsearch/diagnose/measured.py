"""A trial's measurements as the rules ask for them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from cnnsearch.records import EpochResult, LayerProbe, Probe, Trial

STANDARD_ERRORS = 2.0
# A loss is at that of guessing within this share of it.
AT_GUESSING = 0.01


def untrained(trial: Trial) -> Probe:
    """The probe before training."""
    assert trial.probe is not None
    return trial.probe


def latest(trial: Trial) -> Probe:
    """The latest probe."""
    probes = [result.probe for result in trial.curve if result.probe is not None]
    return probes[-1] if probes else untrained(trial)


def hidden(probe: Probe) -> Sequence[LayerProbe]:
    """All layers but the classifier."""
    return probe.layers[:-1]


def guessing_loss(probe: Probe) -> float:
    """The loss of guessing among the classes, in nats."""
    return math.log(max(2, probe.layers[-1].units))


def first_loss(trial: Trial) -> float:
    """Before any update: of the first step, or of the probe where no step was told."""
    told = trial.facts.get("first_loss")
    return float(told) if isinstance(told, int | float) else untrained(trial).loss


def highest_loss_within(curve: Sequence[EpochResult]) -> tuple[int, float]:
    """The highest loss within any epoch, and that epoch."""
    told = [
        (result.probe.highest_loss, result.epoch)
        for result in curve
        if result.probe is not None and result.probe.highest_loss is not None
    ]
    highest, epoch = max(told, default=(0.0, 0))
    return epoch, highest


def fastest(probe: Probe) -> LayerProbe | None:
    """The layer whose weights changed most in the last step, for their size."""
    layers = [layer for layer in probe.layers if layer.update_ratio is not None]
    return max(layers, key=lambda layer: layer.update_ratio or 0.0, default=None)


def chance_limit(trial: Trial, part: str = "validation") -> float | None:
    """Accuracy two standard errors above that of guessing, None where it was not told.

    Args:
        part: "validation" or "training", the images that it is counted on.
    """
    chance, images = trial.facts.get("chance"), trial.facts.get(f"{part}_images")
    if not isinstance(chance, int | float) or not isinstance(images, int) or images < 1:
        return None
    return chance + STANDARD_ERRORS * math.sqrt(chance * (1 - chance) / images)


def epochs_text(trial: Trial) -> str:
    """How many epochs it had: `3 epochs`."""
    return f"{len(trial.curve)} epoch{'' if len(trial.curve) == 1 else 's'}"


def short(number: float) -> str:
    """A number in a message, to three digits."""
    return f"{number:.3g}"


def better_than_guessing(trial: Trial) -> bool:
    """Whether the accuracy at the end is surely above that of guessing."""
    limit = chance_limit(trial)
    return limit is not None and trial.curve[-1].val_accuracy > limit


def falls_on(trial: Trial, share: float) -> bool:
    """Whether the training loss falls in the last epoch by that share of its mean fall."""
    losses = [first_loss(trial), *(result.train_loss for result in trial.curve)]
    mean = (losses[0] - losses[-1]) / (len(losses) - 1)
    return len(losses) > 2 and mean > 0 and losses[-2] - losses[-1] >= share * mean
