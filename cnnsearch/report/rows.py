"""Trials as the page's script gets them: columns of plain values, in the order of the table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from cnnsearch.records import EpochResult, LayerProbe, Probe, State, Trial
from cnnsearch.render.text import one_line, value_text
from cnnsearch.render.trials import cell, objective, parameters, probes_of, searched
from cnnsearch.report.material import Material
from cnnsearch.space import Choice, Range

CHOSEN_FIRST = 5
MEASURES = ("val_accuracy", "val_loss", "train_accuracy", "train_loss")
# Of numbers that are drawn: what a screen shows, and of hyperparameters what is read off a table.
_DIGITS = 5
_OF_LAYER = (
    ("std", "std"),
    ("mean", "mean"),
    ("dead", "dead"),
    ("saturated", "saturated"),
    ("similarity", "similarity"),
    ("gradient", "gradient_norm"),
    ("update", "update_ratio"),
)


def column_names(material: Material) -> list[str]:
    """Of the table of trials; tags, notes and reasons only where there are any."""
    told = [
        name
        for name in ("tags", "note", "reason")
        if any(getattr(trial, name) for trial in material.trials)
    ]
    judged = ["verdict"] if any(trial.diagnosis for trial in material.trials) else []
    names = parameters(material.trials, searched(material.summary))
    return ["number", "state", *judged, "value", *names, "epochs", "seconds", *told]


def study_data(material: Material) -> dict[str, Any]:
    """All that the script knows of a study."""
    trials, summary = material.trials, material.summary
    return {
        "name": summary.name,
        "objective": objective(summary),
        "direction": summary.direction,
        "columns": {name: _column(trials, name) for name in column_names(material)},
        "params": _params(material),
        "measures": list(MEASURES),
        "curves": _curves(trials, material.source.curves),
        "layers": _layers(trials, material.source.probed),
        "chosen": _chosen(material),
    }


def _column(trials: Sequence[Trial], name: str) -> list[Any]:
    return [_value(cell(trial, name)) for trial in trials]


def _value(value: Any) -> Any:
    """A number or a text, to sort and to filter by."""
    if isinstance(value, State):
        return str(value)
    if isinstance(value, bool) or value is None:
        return None if value is None else value_text(value)
    if value and isinstance(value, list | tuple) and isinstance(value[0], str):  # tags
        return ", ".join(map(one_line, value))
    if isinstance(value, int | float):
        return rounded(value, 8)
    return one_line(value) if isinstance(value, str) else value_text(value)


def rounded(value: float | None, digits: int = _DIGITS) -> float | None:
    """A number with so many significant digits, whole ones as they are; None if not finite."""
    if value is None or isinstance(value, int) or not math.isfinite(value):
        return value if isinstance(value, int) else None
    return float(f"{value:.{digits}g}")


def _params(material: Material) -> list[dict[str, Any]]:
    """The hyperparameters with their scales, in the order of the space."""
    space, trials = material.source.config.space or {}, material.trials
    found = []
    for name in parameters(trials, searched(material.summary)):
        parameter = space.get(name.removeprefix("params."))
        if isinstance(parameter, Range):
            log = parameter.log and parameter.low > 0
            found.append({"name": name, "log": log, "low": parameter.low, "high": parameter.high})
            continue
        tried = [_choice(trial, name.removeprefix("params.")) for trial in trials]
        listed = parameter.choices if isinstance(parameter, Choice) else ()
        values = [value_text(value) for value in listed]
        texts = list(dict.fromkeys([*values, *(one for one in tried if one is not None)]))
        at = [None if one is None else texts.index(one) for one in tried]
        found.append({"name": name, "choices": texts, "at": at})
    return found


def _choice(trial: Trial, name: str) -> str | None:
    return value_text(trial.params[name]) if name in trial.params else None


def _curves(
    trials: Sequence[Trial], curves: Mapping[int, Sequence[EpochResult]]
) -> dict[str, list[list[float | None]]]:
    """By measure, of each trial a number an epoch, from the first on."""
    found = [curves.get(trial.number, ()) for trial in trials]
    return {
        measure: [[rounded(getattr(epoch, measure)) for epoch in curve] for curve in found]
        for measure in MEASURES
    }


def _layers(trials: Sequence[Trial], probed: Mapping[int, Trial]) -> dict[str, Any]:
    """By the row of a trial its first and its last probe."""
    found = {}
    for row, trial in enumerate(trials):
        probes = probes_of(probed[trial.number]) if trial.number in probed else []
        if probes:
            ends = [probes[0], *probes[1:][-1:]]
            found[str(row)] = {
                "names": [layer.name for layer in probes[0][1].layers],
                "units": [layer.units for layer in probes[0][1].layers],
                "probes": [{"epoch": epoch, **_probe(probe)} for epoch, probe in ends],
            }
    return found


def _probe(probe: Probe) -> dict[str, list[float | None]]:
    return {name: [_of(layer, field) for layer in probe.layers] for name, field in _OF_LAYER}


def _of(layer: LayerProbe, field: str) -> float | None:
    return rounded(getattr(layer, field), 3)


def _chosen(material: Material) -> list[int]:
    """Rows whose curves are drawn at first: the best trials that have some."""
    having = [
        row for row, trial in enumerate(material.trials) if material.source.curves.get(trial.number)
    ]
    return having[:CHOSEN_FIRST]
