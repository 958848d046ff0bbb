"""How a trial ended: from its outcome and its epochs to the trial with its value and verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields, replace

from cnnsearch.diagnose import diagnose
from cnnsearch.objective import best_epoch, value
from cnnsearch.records import EpochResult, Outcome, Prepared, State, Trial


def ended(
    trial: Trial,
    outcome: Outcome,
    prepared: Prepared | None,
    curve: Sequence[EpochResult],
    objective: str,
    at: str,
) -> Trial:
    """The trial as it stands in listings from now on.

    Args:
        trial: as it began.
        prepared: None where it ended before its network stood.
        objective: "val_accuracy" or "val_loss".
        at: "best" or "last": which epoch gives the trial's value.
    """
    seconds = outcome.seconds
    if seconds is None:
        seconds = math.fsum(result.seconds for result in curve)
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
        facts={**known, **outcome.facts},
        curve=tuple(curve),
        probe=prepared.probe if prepared is not None else None,
    )
    return replace(told, diagnosis=diagnose(told))
