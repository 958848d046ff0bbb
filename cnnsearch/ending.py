"""How a trial ended: from its outcome and its epochs to the trial with its value and verdict."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import fields, replace

from cnnsearch.diagnose import diagnose
from cnnsearch.objective import best_epoch, fold_values, mean_curve, value
from cnnsearch.records import EpochResult, Outcome, Prepared, State, Trial


def ended(
    trial: Trial,
    outcome: Outcome,
    prepared: Prepared | None,
    curves: Sequence[Sequence[EpochResult]],
    objective: str,
    at: str,
) -> Trial:
    """The trial as it stands in listings from now on.

    Args:
        trial: as it began.
        prepared: None where it ended before its network stood.
        curves: one, or of several folds those that the end rests on, in their order; the last is of
            the fold that ended the trial, where one did (`outcome.facts["fold"]`).
        objective: "val_accuracy" or "val_loss".
        at: "best" or "last": which epoch gives the trial's value.
    """
    folds = curves if len(curves) > 1 or "fold" in outcome.facts else ()
    curve = curves[-1] if "fold" in outcome.facts else mean_curve(curves)
    # One that was lost on the way has no value to compare.
    spread = {} if "fold" in outcome.facts else _spread(folds, objective, at)
    seconds = outcome.seconds
    if seconds is None:
        seconds = math.fsum(result.seconds for one in curves for result in one)
    known = {
        field.name: getattr(prepared, field.name)
        for field in (fields(prepared) if prepared is not None else ())
        if field.name != "probe"
    }
    told = replace(
        trial,
        state=outcome.state,
        value=value(curve, objective, at) if outcome.state is State.COMPLETE else None,
        epochs=len(curve),
        best_epoch=best_epoch(curve, objective),
        seconds=round(seconds, 3),
        reason=outcome.reason,
        facts={**known, **outcome.facts, **spread, **_epochs(folds)},
        curve=tuple(curve),
        folds=tuple(map(tuple, folds)),
        probe=prepared.probe if prepared is not None else None,
    )
    return replace(told, diagnosis=diagnose(told))


def of_folds(outcomes: Sequence[Outcome], folds: int) -> Outcome:
    """The outcome of a trial from those of its folds.

    Args:
        outcomes: in the folds' order, up to the one that ended the trial: the last, or the first
            that is not complete.
        folds: of the trial.
    """
    known = [one.seconds for one in outcomes if one.seconds is not None]
    seconds = math.fsum(known) if known else None
    last, number = outcomes[-1], len(outcomes)
    if last.state is State.COMPLETE:
        return replace(outcomes[0], seconds=seconds)
    return replace(
        last,
        reason=f"fold {number} of {folds}: {last.reason}",
        facts={**last.facts, "fold": number},
        seconds=seconds,
    )


def _spread(
    folds: Sequence[Sequence[EpochResult]], objective: str, at: str
) -> dict[str, float | list[float]]:
    """How far several folds differ: their values, and the standard deviation of these."""
    values = fold_values(folds, objective, at)
    if len(values) < 2:
        return {}
    return {"fold_values": values, "fold_deviation": statistics.stdev(values)}


def _epochs(folds: Sequence[Sequence[EpochResult]]) -> dict[str, int]:
    return {"fold_epochs": sum(map(len, folds))} if folds else {}
