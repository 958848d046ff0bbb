"""Names of the attributes that cnnsearch keeps with Optuna's studies and trials, and their form."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from typing import Any

from cnnsearch.records import Diagnosis, EpochResult, Finding, LayerProbe, Probe, Start, Trial

# Of a study; of a trial, that of its single run.
CONFIG = "config"
# Of a study.
FINGERPRINT = "fingerprint"
COORDINATOR = "coordinator"
OWN_FILES = "own_files"
"""Digests of the files of the user's own that it was begun with, see `cnnsearch.own.digests`."""
PLANNED = "planned"
COMMAND = "command"
"""What it was begun or last continued with, as one would write it again."""
VERSION = "cnnsearch"
MARKS = "marks"
STAGE = "stage"
"""Its place in a chain, see `cnnsearch.stages.Chain.place`; absent of other studies."""
RERUN = "rerun"
"""What a study of repeats was made from: the name of the `study`, its `trials`."""
REQUEST = "request:"
"""Begins the names of requests, see `cnnsearch.study.requests`."""

# Of a trial, written when it begins.
BEGUN = "begun"
"""All of the following in one; of cnnsearch 0.1, each was an attribute of its own."""
POINT = "point"
KEY = "key"
ATTEMPT = "attempt"
RUN = "run"
SEED = "seed"
PARAMS = "params"
STARTED = "started"
# Written when it ends.
CURVE = "curve"
FOLDS = "folds"
PROBES = "probes"
RESULT = "result"

_OF_BEGUN = (POINT, KEY, ATTEMPT, RUN, SEED, PARAMS, STARTED)
LISTED = (BEGUN, *_OF_BEGUN, RESULT)
WHOLE = (*LISTED, CONFIG, CURVE, FOLDS, PROBES)

_OF_CURVE = [field.name for field in fields(EpochResult) if field.name != "probe"]
_OF_PROBE = [field.name for field in fields(Probe) if field.name != "layers"]
# Told once for all probes of a trial, as they do not change.
_OF_LAYER = ("name", "units")
_MEASURED = [field.name for field in fields(LayerProbe) if field.name not in _OF_LAYER]
# Digits of what is measured of layers: more would only make the storage larger.
_DIGITS = 4


def of_begin(start: Start, run: str, started: float) -> dict[str, Any]:
    """What `BEGUN` holds.

    Each attribute costs Optuna two statements, 0.5 ms: a trial began in 8.6 ms with all of these on
    their own, in 5.5 with them together.

    Args:
        run: of the coordinator.
        started: seconds since 1970, UTC.
    """
    return {
        POINT: start.point,
        KEY: start.key,
        ATTEMPT: start.attempt,
        RUN: run,
        SEED: start.seed,
        PARAMS: dict(start.params),
        STARTED: started,
    }


def continuing(stored: Mapping[str, Any]) -> str:
    """The command that goes on with a study; where an older version began it, how to find it."""
    if COMMAND in stored:
        return str(stored[COMMAND])
    if stored.get(RERUN):
        return f"cnnsearch rerun {stored[RERUN]['study']} ..., as it was started"
    return "cnnsearch run FILE, with the file it was started from"


def unfolded(stored: Mapping[str, Any]) -> Mapping[str, Any]:
    """A trial's attributes with those in `BEGUN` beside the others."""
    return {**stored, **stored[BEGUN]} if BEGUN in stored else stored


def of_end(trial: Trial) -> dict[str, Any]:
    """The attributes that are written when a trial ends, strict JSON."""
    result = {
        "state": str(trial.state),
        "reason": trial.reason,
        "epochs": trial.epochs,
        "best_epoch": trial.best_epoch,
        "seconds": trial.seconds,
        "facts": strict(trial.facts),
        "diagnosis": None if trial.diagnosis is None else _plain(trial.diagnosis),
    }
    curve = {CURVE: curve_columns(trial.curve)} if trial.curve else {}
    folds = {FOLDS: [curve_columns(fold) for fold in trial.folds]} if trial.folds else {}
    probes = {PROBES: probe_columns(trial)} if trial.probe is not None else {}
    return {**curve, **folds, **probes, RESULT: result}


def _plain(diagnosis: Diagnosis) -> dict[str, Any]:
    findings = [strict(asdict(finding)) for finding in diagnosis.findings]
    return {"verdict": diagnosis.verdict, "findings": findings}


def diagnosis_of(stored: Mapping[str, Any] | None) -> Diagnosis | None:
    """The diagnosis that `of_end` wrote."""
    if stored is None:
        return None
    return Diagnosis(stored["verdict"], tuple(map(_finding, stored.get("findings", ()))))


def _finding(stored: Mapping[str, Any]) -> Finding:
    """Of whatever version: what it tells that this one does not know is left out."""
    return Finding(
        stored["rule"], stored.get("measured"), stored.get("limit"), stored.get("message", "")
    )


def with_marks(trial: Trial, mark: Mapping[str, Any] | None) -> Trial:
    """The trial with what stands of it in the study's `marks`, see `cnnsearch.study.requests`."""
    if not mark:
        return trial
    return replace(
        trial,
        tags=tuple(mark.get("tags", ())),
        note=mark.get("note"),
        hidden=mark.get("hidden", False),
        tests=tuple(mark.get("tests", ())),
    )


def curve_columns(curve: Sequence[EpochResult]) -> dict[str, list[Any]]:
    """A curve without its probes as columns, strict JSON: a non-finite number is null."""
    return {name: [_finite(getattr(result, name)) for result in curve] for name in _OF_CURVE}


def curve_of(columns: Mapping[str, Sequence[Any]] | None) -> tuple[EpochResult, ...]:
    """The curve that `curve_columns` wrote."""
    if not columns:
        return ()
    count = len(columns["epoch"])
    told = [columns.get(name) or [None] * count for name in _OF_CURVE]
    return tuple(map(_epoch, zip(*told, strict=True)))


def _epoch(row: Sequence[Any]) -> EpochResult:
    numbers: list[Any] = [math.nan if number is None else number for number in row]
    return EpochResult(**dict(zip(_OF_CURVE, numbers, strict=True)))


def probe_columns(trial: Trial) -> dict[str, Any]:
    """The probes of a trial: for each quantity a list over probes, of a list over layers."""
    assert trial.probe is not None
    probes = [trial.probe, *(result.probe for result in trial.curve if result.probe is not None)]
    return {
        **{name: [getattr(layer, name) for layer in trial.probe.layers] for name in _OF_LAYER},
        **{name: [_short(getattr(probe, name)) for probe in probes] for name in _OF_PROBE},
        **{
            name: [[_short(getattr(layer, name)) for layer in probe.layers] for probe in probes]
            for name in _MEASURED
        },
    }


def with_probes(trial: Trial, columns: Mapping[str, Any] | None) -> Trial:
    """The trial with the probes that `probe_columns` wrote."""
    if not columns:
        return trial
    first, *later = (_probe(columns, place) for place in range(len(columns["loss"])))
    curve = [
        replace(result, probe=probe) for result, probe in zip(trial.curve, later, strict=False)
    ]
    return replace(trial, probe=first, curve=tuple(curve))


def _probe(columns: Mapping[str, Any], place: int) -> Probe:
    layers = []
    for i, (name, units) in enumerate(zip(columns["name"], columns["units"], strict=True)):
        # Another version may not have measured all of it.
        told: dict[str, Any] = {
            one: columns[one][place][i] if one in columns else None for one in _MEASURED
        }
        layers.append(LayerProbe(name, units, **told | _numbers(told, "mean", "std", "similarity")))
    told = {name: columns[name][place] if name in columns else None for name in _OF_PROBE}
    return Probe(layers=tuple(layers), **told | _numbers(told, "loss"))


def _numbers(told: Mapping[str, float | None], *names: str) -> dict[str, float]:
    """What is always a number was not finite where null is stored."""
    return {name: math.nan if (n := told[name]) is None else n for name in names}


def strict(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Facts as strict JSON: a non-finite number is null."""
    return {k: _finite(v) if isinstance(v, float) else v for k, v in facts.items()}


def _short(number: float | None) -> float | None:
    if number is None or not math.isfinite(number):
        return None
    return float(f"{number:.{_DIGITS}g}")


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None
