"""A config as plain data: what JSON can hold, complete, in the order of the file."""

from __future__ import annotations

from typing import Any

from cnnsearch.config.config import Config
from cnnsearch.config.fields import SECTIONS
from cnnsearch.config.sections import Checkpoint, Top
from cnnsearch.space import Choice, Condition, Parameter


def to_plain(config: Config) -> dict[str, Any]:
    """Every field with its value; `checkpoint`, `search`, `space` and `stages` only where there
    are any.

    A single run has nothing to be fused with.
    """
    plain: dict[str, Any] = {name: getattr(config, name) for name in Top.model_fields}
    if config.search is None:
        del plain["fuse"]
    for name in SECTIONS:
        section = getattr(config, name)
        if section is not None and section != Checkpoint():
            plain[name] = section.model_dump()
    if config.space is not None:
        plain["space"] = {name: parameter_to_plain(p) for name, p in config.space.items()}
    if config.stages:
        plain["stages"] = [stage.plain() for stage in config.stages]
    return plain


def parameter_to_plain(parameter: Parameter) -> Any:
    """A parameter as the file writes it."""
    when = {condition.parent: _values(condition) for condition in parameter.when}
    if isinstance(parameter, Choice):
        choices = [list(v) if isinstance(v, list) else v for v in parameter.choices]
        return {"choices": choices, "when": when} if when else choices
    written: dict[str, Any] = {"low": parameter.low, "high": parameter.high}
    if parameter.log:
        written["log"] = True
    if parameter.step is not None:
        written["step"] = parameter.step
    if parameter.points is not None:
        written["points"] = parameter.points
    return {**written, "when": when} if when else written


def _values(condition: Condition) -> Any:
    values = [list(v) if isinstance(v, list) else v for v in condition.values]
    return values[0] if len(values) == 1 else values
