"""Rules on the learning rate: too high, too low."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from cnnsearch.diagnose.measured import (
    at_full_rate,
    better_than_guessing,
    epochs_text,
    falls_on,
    fastest,
    first_loss,
    first_losses,
    guessing_loss,
    hidden,
    highest_loss_within,
    latest,
    short,
    untrained,
)
from cnnsearch.diagnose.network import ALL_DEAD, LOUD, at_start_is_lost, signal
from cnnsearch.records import EpochResult, Finding, State, Trial

# The highest loss of an epoch over the first loss: at most 1.08 in healthy runs, where a batch may
# be harder than the first; 1.2 to 3.5 where the first steps threw the loss up.
SPIKE = 1.15
# Within an epoch the loss swings where it rises by so much above the mean of the epoch before.
SWING = 1.08
BELOW_GUESSING = 0.995
# Change of a layer's weights in a step, over the weights, at an epoch's end: 0.001 to 0.022 in
# healthy runs (0.001 is the lecture's rule), 0.02 to 0.3 where the loss swings. Small enough alone
# says nothing: it is asked for besides a loss that returns.
LARGE_RATIO = 0.02
# Loss at the end over that before it swung up: above 0.94 where the learning rate was far too high.
# A good trial of a search swung in its second of three epochs and ended at 0.71.
RECOVERED = 0.85
# The same, at its largest: 0.0001 at most with a thousandth of a good learning rate, 0.0015 at
# least in a healthy first epoch.
TINY_RATIO = 3e-4
BARELY, CREEPING = 0.12, 0.02
# A gradient as small as this is no matter of the learning rate: its norm was 0.18 at least where
# only the learning rate was too low, 0.03 at most where the signal died.
NO_GRADIENT = 0.05


def lr_too_high(trial: Trial) -> Finding | None:
    """Diverged, thrown up, swinging or killing units: from an ordinary first loss each."""
    for look in (_diverged, _thrown_up, _swings, _kills):
        finding = look(trial, guessing_loss(untrained(trial)))
        if finding is not None:
            return finding
    return None


def _diverged(trial: Trial, guessing: float) -> Finding | None:
    if trial.state is not State.DIVERGED:
        return None
    first = first_loss(trial)
    if not first < guessing + LOUD and not _came_down(trial.curve, guessing):
        return None  # the init was loud, and training never got over it
    seen = f"The loss began at {short(first)}; then: {trial.reason}."
    loss, limit = trial.facts.get("loss"), trial.facts.get("limit")
    if not isinstance(loss, int | float) or not math.isfinite(loss):
        return Finding("lr-too-high", None, None, seen)  # anything finite would have done
    bound = float(limit) if isinstance(limit, int | float) else None
    return Finding("lr-too-high", float(loss), bound, seen)


def _came_down(curve: Sequence[EpochResult], guessing: float) -> bool:
    return any(result.train_loss < guessing for result in curve)


def _thrown_up(trial: Trial, guessing: float) -> Finding | None:
    """The first steps raised the loss above all that it had been, and it never recovered."""
    first, higher = first_losses(trial)
    if not trial.curve or not first < guessing + LOUD:
        return None
    if trial.curve[-1].train_loss < 0.9 * guessing:
        return None
    base = max(higher, guessing)
    epoch, highest = highest_loss_within(trial.curve)
    if not highest >= SPIKE * base:
        return None
    seen = (
        f"The loss rose from {short(higher)} before any update to {short(highest)} in epoch "
        f"{epoch}, and ended at {short(trial.curve[-1].train_loss)}; guessing costs "
        f"{short(guessing)}."
    )
    return Finding("lr-too-high", highest / base, SPIKE, seen)


def _swings(trial: Trial, guessing: float) -> Finding | None:
    """The loss had come down, was back at that of guessing within a later epoch, and never got much
    lower than it had been."""
    for before, after in pairwise(trial.curve):
        if after.probe is None or before.train_loss > BELOW_GUESSING * guessing:
            continue
        if trial.curve[-1].train_loss < RECOVERED * before.train_loss:
            continue
        highest, layer = after.probe.highest_loss, fastest(after.probe)
        if highest is None or layer is None or highest < max(guessing, SWING * before.train_loss):
            continue
        if layer.update_ratio is not None and layer.update_ratio >= LARGE_RATIO:
            seen = (
                f"The loss had come down to {short(before.train_loss)} and was back at "
                f"{short(highest)} within epoch {after.epoch}; a step changed the weights of "
                f"{layer.name} by {layer.update_ratio:.1%} of their size."
            )
            return Finding("lr-too-high", layer.update_ratio, LARGE_RATIO, seen)
    return None


def _kills(trial: Trial, guessing: float) -> Finding | None:
    """Units that lived before training died in it, and the loss is that of guessing."""
    if not trial.curve or trial.curve[-1].train_loss < 0.9 * guessing:
        return None
    if signal(untrained(trial)) is not None:
        return None
    for before, after in zip(hidden(untrained(trial)), hidden(latest(trial)), strict=True):
        if before.dead is None or after.dead is None:
            continue
        if before.dead < 0.5 and after.dead >= ALL_DEAD:
            seen = f"{after.dead:.0%} of the units of {after.name} died while it trained."
            return Finding("lr-too-high", after.dead, ALL_DEAD, seen)
    return None


def crept(finding: Finding) -> bool:
    """Whether it is lr-too-low of a trial that was better than guessing all the same."""
    return finding.rule == "lr-too-low" and finding.limit == CREEPING


def lr_too_low(trial: Trial) -> Finding | None:
    """The loss barely falls, and it is the length of the steps that is small."""
    if trial.state is State.DIVERGED or not trial.curve or at_start_is_lost(untrained(trial)):
        return None
    gradients = [layer.gradient_norm or 0.0 for layer in latest(trial).layers]
    if max(gradients) < NO_GRADIENT:
        return None
    steady = at_full_rate(trial)
    if not steady:
        return None
    start = max(first_loss(trial), trial.curve[0].train_loss)
    fall = max(0.0, 1 - trial.curve[-1].train_loss / start)
    told = f"The loss fell by {100 * fall:.2g}% in {epochs_text(trial)}"
    layers = [fastest(result.probe) for result in steady if result.probe is not None]
    ratio = max(((layer.update_ratio or 0.0) for layer in layers if layer), default=math.inf)
    if fall <= BARELY and ratio <= TINY_RATIO:
        seen = f"{told}, and no step changed a layer's weights by more than {short(ratio)} of their"
        return Finding("lr-too-low", ratio, TINY_RATIO, f"{seen} size (0.001 is usual).")
    # From tiny weights, as in the lecture's two layers, even tiny steps are large for their size.
    if fall <= CREEPING and falls_on(trial, 0.5) and better_than_guessing(trial):
        return Finding("lr-too-low", fall, CREEPING, f"{told}, and is still falling.")
    return None
