"""JSON Schema of the config file, for editors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cnnsearch.config.fields import SEARCHABLE, SECTIONS, json_schema, number_kind
from cnnsearch.config.sections import Section, Top
from cnnsearch.config.stages_section import stages_schema


def schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of the whole file."""
    sections = {name: _section(model) for name, model in SECTIONS.items()}
    space = {
        "type": "object",
        "description": "What is searched: ranges and choices of hyperparameters.",
        "properties": {name: _parameter(name) for name in SEARCHABLE},
        "additionalProperties": False,
        "minProperties": 1,
    }
    top = _section(Top)["properties"]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "cnnsearch config",
        "type": "object",
        "properties": {**top, **sections, "space": space, "stages": stages_schema()},
        "required": ["data"],
        "dependentRequired": {"search": ["space"], "stages": ["space"]},
        "additionalProperties": False,
    }


def _section(model: type[Section]) -> dict[str, Any]:
    fields = model.model_fields
    required = [name for name, field in fields.items() if field.is_required() and name != "study"]
    return {
        "type": "object",
        "description": model.__doc__,
        "properties": {name: _field(model, name) for name in fields},
        **({"required": required} if required else {}),
        "additionalProperties": False,
    }


def _field(model: type[Section], name: str) -> dict[str, Any]:
    field = model.model_fields[name]
    default = {} if field.is_required() else {"default": field.default}
    return {**json_schema(name), "description": field.description, **default}


def _parameter(name: str) -> dict[str, Any]:
    values = {"type": "array", "items": json_schema(name), "minItems": 1, "uniqueItems": True}
    when = {"type": "object", "minProperties": 1, "propertyNames": {"enum": list(SEARCHABLE)}}
    choice = _object({"choices": values, "when": when}, ["choices"])
    forms = [values, choice]
    kind = number_kind(name)
    if kind is not None:
        forms.append(_range(json_schema(name), kind, when))
    return {"anyOf": forms}


def _range(bound: Mapping[str, Any], kind: str, when: Mapping[str, Any]) -> dict[str, Any]:
    fields = {
        "low": dict(bound),
        "high": dict(bound),
        "log": {"type": "boolean", "default": False},
        "step": {"type": kind, "exclusiveMinimum": 0},
        "points": {"type": "integer", "minimum": 2, "description": "Values that a grid takes."},
        "when": dict(when),
    }
    return _object(fields, ["low", "high"])


def _object(properties: Mapping[str, Any], required: list[str]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": required,
        "additionalProperties": False,
    }
