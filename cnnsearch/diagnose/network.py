"""Rules on the network itself: what its layers show before, during and after training."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import dropwhile, takewhile

from cnnsearch.diagnose.measured import (
    AT_GUESSING,
    first_losses,
    guessing_loss,
    hidden,
    latest,
    short,
    untrained,
)
from cnnsearch.records import Finding, Probe, Trial

# Similarity of the units of a layer: 1 to six digits with zeros, at most 0.22 with random weights.
SAME = 0.999
# Standard deviation of the last hidden layer's signal over the first one's. In 1 to 5 layers of any
# activation function it was 0.05 to 8 with xavier, he, glorot, orthogonal and lsuv, down to 1e-5
# with normal:0.01, up to 31,000 with normal:1.0.
DYING, EXPLODING = 0.02, 20.0
# Standard deviation of the last hidden layer's signal: at least 0.004 in the same networks.
TINY = 0.003
# First loss above ln(classes). Scores of standard deviation s cost about s²/2 more than guessing,
# so s is 2. It was at most 1.7 with xavier, glorot, orthogonal and lsuv, 0.3 in the median with he,
# and at least 2.3 with normal:1.0.
LOUD = 2.0
# Share of the units of a layer: 0.44 at most in healthy runs, 0.59 under labels drawn at random.
DEAD = 0.7
# After training the same, or as many as this where they lived before: 0.75 at most under random
# labels, which kill units too, and are worse.
DIED = 0.85
ALL_DEAD = 0.9
# Share of the outputs of a layer: 0.14 at most in untrained healthy networks; with normal:1.0 from
# 0.25 in one layer to 0.97, in the median 0.9.
SATURATED = 0.5


def at_start(probe: Probe) -> tuple[Finding, ...]:
    """What an untrained network alone shows, most severe first.

    Args:
        probe: before the first update.
    """
    looks = (
        _same_units(probe),
        signal(probe),
        _saturated_layer(probe, "before training"),
        _dead_layer(probe, "before training"),
        _loud((probe.loss,), guessing_loss(probe)),
    )
    return tuple(finding for finding in looks if finding is not None)


def at_start_is_lost(probe: Probe) -> bool:
    """Whether the untrained network explains by itself why nothing is learned."""
    return _same_units(probe) is not None or signal(probe) is not None


def symmetric(trial: Trial) -> Finding | None:
    """zeros: the units of a layer are the same before training, and still are."""
    first, last = untrained(trial), latest(trial)
    if _same_units(first) is None:
        return None
    return _same_units(last)


def _same_units(probe: Probe) -> Finding | None:
    layers = [layer for layer in hidden(probe) if layer.units > 1]
    layer = max(layers, key=lambda layer: layer.similarity, default=None)
    if layer is None or not layer.similarity >= SAME:
        return None
    seen = f"All {layer.units} units of {layer.name} have the same weights."
    return Finding("symmetric", layer.similarity, SAME, seen)


def bad_init(trial: Trial) -> Finding | None:
    """Dying or exploding before the first update, or flat at first and falling only then."""
    if _same_units(untrained(trial)) is not None:
        return None
    finding = signal(untrained(trial))
    learned = trial.curve and trial.curve[0].train_loss < 0.7 * guessing_loss(untrained(trial))
    if finding is not None and not (learned and finding.limit in (DYING, TINY)):
        return finding  # what learned within an epoch all the same had a signal to learn from
    return _flat_at_first(trial)


def signal(probe: Probe) -> Finding | None:
    """How the signal's standard deviation changes from the first to the last hidden layer."""
    layers = [layer for layer in hidden(probe) if (layer.dead or 0.0) < ALL_DEAD]
    if not layers or not all(math.isfinite(layer.std) for layer in layers):
        return None
    first, last = layers[0], layers[-1]
    ratio = last.std / first.std if first.std > 0 else 1.0
    told = f"{short(first.std)} at {first.name} to {short(last.std)} at {last.name}"
    told = f"{told} (standard deviations)"
    if ratio <= DYING:
        seen = f"Before any update the signal dies away, from {told}."
        return Finding("bad-init", ratio, DYING, seen)
    # A bounded function cannot explode; a sigmoid's small first signal only grows to its size.
    if ratio >= EXPLODING and all(layer.saturated is None for layer in layers):
        seen = f"Before any update the signal explodes, from {told}."
        return Finding("bad-init", ratio, EXPLODING, seen)
    if last.std <= TINY:
        seen = f"Before any update {last.name} passes on almost nothing: {short(last.std)}"
        return Finding("bad-init", last.std, TINY, f"{seen} is its standard deviation.")
    return None


def _flat_at_first(trial: Trial) -> Finding | None:
    """The lectures' sign of a bad init: the loss is flat for epochs, then it falls.

    Epochs of a warm-up do not count, in which the learning rate was still rising.
    """
    guessing = guessing_loss(untrained(trial))
    largest = max((result.lr for result in trial.curve), default=0.0)
    still = takewhile(
        lambda result: abs(result.train_loss - guessing) <= AT_GUESSING * guessing, trial.curve
    )
    flat = len(list(dropwhile(lambda result: result.lr < largest, still)))
    if flat < 2 or trial.curve[-1].train_loss > 0.85 * guessing:
        return None
    seen = (
        f"The loss stayed at {short(guessing)}, that of guessing, for {flat} epochs and fell only "
        f"then, to {short(trial.curve[-1].train_loss)}."
    )
    return Finding("bad-init", float(flat), 2.0, seen)


def saturated(trial: Trial) -> Finding | None:
    """Sigmoid and tanh at their limits, in the layer where they are most."""
    return _of_layers(trial, _saturated_layer)


def _saturated_layer(probe: Probe, when: str) -> Finding | None:
    layer = max(hidden(probe), key=lambda layer: layer.saturated or 0.0, default=None)
    if layer is None or (layer.saturated or 0.0) < SATURATED:
        return None
    seen = f"{layer.saturated:.0%} of the outputs of {layer.name} are at its limits {when}."
    return Finding("saturated", layer.saturated, SATURATED, seen)


def dead_units(trial: Trial) -> Finding | None:
    """Relu units that no image reaches, in the layer where they are most."""
    finding = _of_layers(trial, _dead_layer)
    if finding is None or _dead_layer(untrained(trial), "") is not None:
        return finding
    return finding if finding.measured is not None and finding.measured >= DIED else None


def _dead_layer(probe: Probe, when: str) -> Finding | None:
    layer = max(hidden(probe), key=lambda layer: layer.dead or 0.0, default=None)
    if layer is None or (layer.dead or 0.0) < DEAD:
        return None
    seen = f"{layer.dead:.0%} of the units of {layer.name} are 0 on every probe image {when}."
    return Finding("dead-units", layer.dead, DEAD, seen)


def _of_layers(trial: Trial, look: Callable[[Probe, str], Finding | None]) -> Finding | None:
    """After the last epoch, or before training where there was none."""
    if not trial.curve:
        return look(untrained(trial), "before training")
    return look(latest(trial), f"after epoch {trial.curve[-1].epoch}")


def loud_init(trial: Trial) -> Finding | None:
    """A first loss far above that of guessing, in the first batch and in the probe."""
    return _loud(first_losses(trial), guessing_loss(untrained(trial)))


def _loud(losses: Sequence[float], guessing: float) -> Finding | None:
    """The lowest of the losses counts; one that is not finite is loud."""
    limit, loss = guessing + LOUD, losses[0]
    if any(one <= limit for one in losses):
        return None
    shown = short(loss) if math.isfinite(loss) else "not finite"
    seen = f"The first loss is {shown}; guessing costs {short(guessing)}."
    return Finding("loud-init", loss if math.isfinite(loss) else None, limit, seen)
