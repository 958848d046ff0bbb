"""Names of the attributes that cnnsearch keeps with Optuna's studies and trials, and their form."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from cnnsearch.records import EpochResult

# Of a study.
CONFIG = "config"
FINGERPRINT = "fingerprint"
COORDINATOR = "coordinator"
PLANNED = "planned"
VERSION = "cnnsearch"

# Of a trial, written when it begins.
POINT = "point"
KEY = "key"
ATTEMPT = "attempt"
RUN = "run"
SEED = "seed"
PARAMS = "params"
STARTED = "started"
# Written when it ends.
CURVE = "curve"
RESULT = "result"

LISTED = (POINT, KEY, ATTEMPT, RUN, SEED, PARAMS, STARTED, RESULT)


def curve_columns(curve: Sequence[EpochResult]) -> dict[str, list[Any]]:
    """A curve as columns, strict JSON: a non-finite number is null."""
    return {
        field.name: [_finite(getattr(result, field.name)) for result in curve]
        for field in fields(EpochResult)
    }


def curve_of(columns: Mapping[str, Sequence[Any]] | None) -> tuple[EpochResult, ...]:
    """The curve that `curve_columns` wrote."""
    if not columns:
        return ()
    names = [field.name for field in fields(EpochResult)]
    rows = zip(*(columns[name] for name in names), strict=True)
    return tuple(
        EpochResult(epoch, *(math.nan if number is None else number for number in numbers))
        for epoch, *numbers in rows
    )


def strict(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Facts as strict JSON: a non-finite number is null."""
    return {k: _finite(v) if isinstance(v, float) else v for k, v in facts.items()}


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None
