"""A trial's measurements as the rules ask for them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from cnnsearch.records import EpochResult, LayerProbe, Probe, State, Trial

STANDARD_ERRORS = 2.0
# A loss is at that of guessing within this share of it.
AT_GUESSING = 0.01
# A probe tells of its epoch's last step. Where a schedule had taken the learning rate below this
# share of its largest by then, or a warm-up not yet up to it, short steps are no fault.
NEAR_LARGEST = 1 / 3


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


def first_losses(trial: Trial) -> tuple[float, float]:
    """Before any update: of the first step's batch and of the probe, the lower one first.

    A small batch may be far off either way. Where no step was told both are the probe's.
    """
    told, seen = trial.facts.get("first_loss"), untrained(trial).loss
    first = float(told) if isinstance(told, int | float) else seen
    return (seen, first) if seen < first or math.isnan(first) else (first, seen)


def first_loss(trial: Trial) -> float:
    """Before any update: the lower one of `first_losses`, from which a fall is sure."""
    return first_losses(trial)[0]


def prior_loss(trial: Trial) -> float | None:
    """The highest loss that guessing by the frequencies of the classes can cost, in nats.

    Of classes that are equally frequent that is `guessing_loss`. None where chance was not told.
    """
    chance, classes = trial.facts.get("chance"), max(2, untrained(trial).layers[-1].units)
    if not isinstance(chance, int | float) or not 0 < chance <= 1:
        return None
    rest = 1 - chance
    if rest <= 0 or chance <= 1 / classes:
        return 0.0 if rest <= 0 else math.log(classes)
    return -chance * math.log(chance) - rest * math.log(rest / (classes - 1))


def at_full_rate(trial: Trial) -> Sequence[EpochResult]:
    """The epochs whose last step had about the largest learning rate of the trial.

    None where the largest is not known: after a single epoch, unless lr was searched, and in a
    trial that was stopped while its learning rate still rose.
    """
    rates, planned = [result.lr for result in trial.curve], trial.params.get("lr")
    if isinstance(planned, int | float):
        rates.append(float(planned))
    elif len(rates) < 2 or (trial.state is not State.COMPLETE and rates[-1] > max(rates[:-1])):
        return []
    largest = max(rates, default=0.0)
    return [result for result in trial.curve if result.lr >= NEAR_LARGEST * largest]


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
