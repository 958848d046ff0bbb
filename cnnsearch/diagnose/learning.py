"""Rules on what was learned: nothing, too much by heart, not all that was to be had."""

from __future__ import annotations

from cnnsearch.diagnose.measured import (
    AT_GUESSING,
    chance_limit,
    epochs_text,
    falls_on,
    first_loss,
    guessing_loss,
    prior_loss,
    short,
    untrained,
)
from cnnsearch.records import Finding, State, Trial

RISE, GAP = 1.1, 0.1
STILL_FALLING = 0.97
STEADY = 0.995
ROOM = 0.01
# A loss so far below that of guessing was learned, whatever the accuracy says.
CLEARLY_BELOW = 0.95
# What a pruner stopped earlier may just have begun slowly.
FEWEST_EPOCHS = 3


def not_learning(trial: Trial) -> Finding | None:
    """Accuracy or loss at the end are those of guessing."""
    if trial.state is State.DIVERGED or not trial.curve or _learned_in_its_only_epoch(trial):
        return None
    if trial.state is State.PRUNED and (len(trial.curve) < FEWEST_EPOCHS or _warming_up(trial)):
        return None
    last, limit = trial.curve[-1], chance_limit(trial)
    if limit is not None and last.val_accuracy <= limit < 1 and not _loss_was_learned(trial):
        seen = f"val_accuracy is {last.val_accuracy:.4f} after {epochs_text(trial)}; guessing gives"
        seen = f"{seen} {trial.facts['chance']:.4f}, two standard errors more are {limit:.4f}."
        return Finding("not-learning", last.val_accuracy, limit, seen)
    guessing = guessing_loss(untrained(trial))
    losses = (last.train_loss, last.val_loss)
    if all(abs(loss - guessing) <= AT_GUESSING * guessing for loss in losses):
        seen = f"val_loss is {last.val_loss:.4g} after {epochs_text(trial)}; guessing costs"
        bound = (1 - AT_GUESSING) * guessing
        return Finding("not-learning", last.val_loss, bound, f"{seen} {guessing:.4g}.")
    return None


def _warming_up(trial: Trial) -> bool:
    """Whether the learning rate had never been as high as in the last epoch."""
    *before, last = (result.lr for result in trial.curve)
    return last > max(before, default=0.0)


def _loss_was_learned(trial: Trial) -> bool:
    """Where one class is frequent, accuracy may be at chance long after the loss has fallen."""
    guessing = prior_loss(trial)
    return guessing is not None and trial.curve[-1].val_loss < CLEARLY_BELOW * guessing


def _learned_in_its_only_epoch(trial: Trial) -> bool:
    """In the first epoch no image was seen before: what is known of them then was learned."""
    limit = chance_limit(trial, "training")
    return len(trial.curve) == 1 and limit is not None and trial.curve[0].train_accuracy > limit


def overfit(trial: Trial) -> Finding | None:
    """The training images are known by heart, and the validation loss is past its lowest."""
    if trial.state is State.DIVERGED or len(trial.curve) < 2:
        return None
    last, lowest = trial.curve[-1], min(trial.curve, key=lambda result: result.val_loss)
    gap = last.train_accuracy - last.val_accuracy
    rise = last.val_loss / lowest.val_loss if lowest.val_loss > 0 else 1.0
    if gap < GAP or last.train_loss > 0.5 * last.val_loss:
        return None
    if rise < RISE and not _by_heart(trial):
        return None
    seen = (
        f"val_loss is {short(last.val_loss)}, after {short(lowest.val_loss)} in epoch "
        f"{lowest.epoch}, while train_accuracy is {last.train_accuracy:.4f} and "
        f"val_accuracy {last.val_accuracy:.4f}."
    )
    return Finding("overfit", gap, GAP, seen)


def _by_heart(trial: Trial) -> bool:
    """Nothing is left to learn of the training images, and the validation loss no longer falls."""
    last = trial.curve[-1]
    earlier = trial.curve[: len(trial.curve) * 3 // 4]
    known = last.train_accuracy >= 0.99 and last.train_loss <= 0.1 * last.val_loss
    lowest = min((result.val_loss for result in earlier), default=0.0)
    return known and len(trial.curve) >= 4 and last.val_loss >= 0.98 * lowest


def undertrained(trial: Trial) -> Finding | None:
    """Complete, and the last epoch was by far the best so far, in training and validation."""
    if trial.state is not State.COMPLETE or not trial.curve:
        return None
    last, earlier = trial.curve[-1], trial.curve[:-1]
    if last.val_accuracy > 1 - ROOM:
        return None
    before = min((result.val_loss for result in earlier), default=first_loss(trial))
    train_before = earlier[-1].train_loss if earlier else first_loss(trial)
    ratio = last.val_loss / before if before > 0 else 1.0
    train_ratio = last.train_loss / train_before if earlier and train_before > 0 else ratio
    limit = STILL_FALLING
    if max(ratio, train_ratio) > limit:
        limit = STEADY
        if max(ratio, train_ratio) > limit or (earlier and not falls_on(trial, 1 / 3)):
            return None
    fall = f"{100 * (1 - ratio):.2g}%"
    seen = f"val_loss still fell by {fall} in the last epoch, to {short(last.val_loss)}."
    return Finding("undertrained", ratio, limit, seen)
