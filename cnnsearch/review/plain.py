"""What a study teaches as plain data, for `--json`: the names of its fields."""

from __future__ import annotations

from typing import Any

from cnnsearch.config.plain import parameter_to_plain
from cnnsearch.records import State
from cnnsearch.review.coverage import Axis
from cnnsearch.review.edges import Edge
from cnnsearch.review.failure_map import MapEntry, Telling
from cnnsearch.review.parts import Part, Split
from cnnsearch.review.verdicts import verdicts, wasted


def of_edge(edge: Edge) -> dict[str, Any]:
    """A range at whose end the best trials lie, and the range to try next."""
    return {
        "name": edge.name,
        "side": edge.side,
        "trial": edge.trial,
        "value": edge.value,
        "near": edge.near,
        "top": edge.top,
        "extended": parameter_to_plain(edge.extended),
    }


def of_entry(entry: MapEntry) -> dict[str, Any]:
    """One hyperparameter of the failure map; `value` and `interval` null: where it is inactive."""
    return {
        "name": entry.name,
        "groups": [
            {
                "value": group.value,
                "interval": group.interval,
                "trials": len(group.trials),
                "diverged": sum(trial.state is State.DIVERGED for trial in group.trials),
                "wasted": sum(wasted(trial) for trial in group.trials),
                "verdicts": dict(verdicts(group.trials)),
            }
            for group in entry.groups
        ],
        "telling": [_of_telling(telling) for telling in entry.telling],
    }


def _of_telling(telling: Telling) -> dict[str, Any]:
    within = telling.within
    return {
        "outcome": telling.outcome,
        **_of_split(telling.split),
        "within": _of_split(within) if within else None,
    }


def _of_split(split: Split) -> dict[str, Any]:
    return {
        "where": _of_part(split.part),
        "inside": {"hits": split.inside.hits, "trials": split.inside.trials},
        "outside": {"hits": split.outside.hits, "trials": split.outside.trials},
        "p": split.p,
    }


def _of_part(part: Part) -> dict[str, Any]:
    return {"name": part.name, "sign": part.sign, "value": part.value}


def of_axis(axis: Axis) -> dict[str, Any]:
    """What was tried of one hyperparameter; `tried` is null of a range, `span` of a choice."""
    return {
        "name": axis.name,
        "trials": axis.trials,
        "distinct": axis.distinct,
        "span": axis.span,
        "tried": None
        if axis.tried is None
        else [{"value": value, "trials": count} for value, count in axis.tried],
        "never": axis.never,
        "few": [value for value, _ in axis.few],
    }
