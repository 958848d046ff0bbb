"""The fields of a config file: where each stands, what fits it, and how that is said."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from cnnsearch import catalog
from cnnsearch.config.document import Item
from cnnsearch.config.mistakes import Mistake, inline, listed, quoted, shown, suggestion
from cnnsearch.config.sections import (
    Abort,
    Checkpoint,
    Data,
    Model,
    Search,
    Section,
    Top,
    Train,
    init_scheme,
)

# In the order of the file. Field names are unique over all sections, so that a bare name is enough
# on the command line and in `space`.
SECTIONS: Mapping[str, type[Section]] = {
    "data": Data,
    "model": Model,
    "train": Train,
    "abort": Abort,
    "checkpoint": Checkpoint,
    "search": Search,
}
_ALL: Mapping[str, type[Section]] = {"": Top, **SECTIONS}
OWNER: Mapping[str, str] = {
    name: section for section, fields in _ALL.items() for name in fields.model_fields
}
SEARCHABLE = (*Train.model_fields, *Model.model_fields, "preprocess", "flip", "crop")


def path_of(name: str) -> str:
    """Dotted path of a field: train.lr, seed."""
    return f"{OWNER[name]}.{name}" if OWNER[name] else name


@cache
def _adapter(name: str) -> TypeAdapter[Any]:
    field = _ALL[OWNER[name]].model_fields[name]
    return TypeAdapter(field.rebuild_annotation(), config=ConfigDict(strict=True))


@cache
def json_schema(name: str) -> Mapping[str, Any]:
    """JSON Schema of one field."""
    return _adapter(name).json_schema()


def number_kind(name: str) -> str | None:
    """ "integer" or "number" where the field takes numbers only, else None."""
    kind = json_schema(name).get("type")
    return kind if kind in ("integer", "number") else None


def takes_lists(name: str) -> bool:
    """Whether the field's value is a list."""
    return json_schema(name).get("type") == "array"


def fit(name: str, item: Item, path: str) -> Any:
    """The value of field `name` as the field's type has it: 1 becomes 1.0 in a float field.

    Args:
        path: what the message calls the place.

    Raises:
        Mistake: the value does not fit the field.
    """
    value = item.plain()
    try:
        return _adapter(name).validate_python(value)
    except ValidationError as error:
        first = error.errors()[0]
    place = item.place
    if takes_lists(name) and isinstance(value, list):
        place = _element(item, first["loc"]).place
    raise Mistake(place, path, complaint(name, value, first))


def fits(name: str, item: Item) -> bool:
    """Whether `fit` would take it; nothing is said of a value that it would not."""
    try:
        _adapter(name).validate_python(item.plain())
    except ValidationError:
        return False
    return True


def _element(item: Item, loc: tuple[int | str, ...]) -> Item:
    if loc and isinstance(loc[0], int) and loc[0] < len(item.value):
        found = item.value[loc[0]]
        assert isinstance(found, Item)
        return found
    return item


def complaint(name: str, value: Any, error: Any) -> str:
    """What is wrong with `value`, and what to write instead.

    Args:
        error: the first of pydantic's error records.
    """
    context = error.get("ctx", {})
    if error["type"] == "unknown_name":
        return f"unknown {name} {shown(value)}. {suggestion(value, context['known'])}"
    if error["type"] == "value_error":
        text = str(context["error"])
        return text if text.startswith(("'", '"')) else f"{shown(value)}: {text}"
    names = _names(name)
    if names and isinstance(value, str):
        return f"unknown {name} {shown(value)}. {suggestion(value, names)}"
    if name == "init" and isinstance(value, dict):
        pair = ":".join(inline(part) for part in next(iter(value.items()), ("normal", 0.01)))
        return f"{shown(value)} is a mapping. Write {pair}, without a space."
    return f"{shown(value)} does not fit. Write {words(name)}."


def _names(name: str) -> list[str]:
    """What can be written where only names can."""
    schema = json_schema(name)
    return list(schema["enum"]) if {type(v) for v in schema.get("enum", [0])} == {str} else []


def words(name: str) -> str:
    """What fits a field, in words: "a number above 0"."""
    if name == "init":
        rows = catalog.INIT_SCHEMES.values()
        return listed(row.name + (":0.01" if row.parameter else "") for row in rows)
    if name == "validation":
        return "a fraction above 0 and below 1, a number of images, or {folds: 5}"
    if name == "timeout":
        return "90s, 30m, 2h, or a number of seconds above 0"
    if name == "study":
        return "a name in letters and digits, in quotes if it looks like a number"
    return _words(json_schema(name))


def _words(schema: Mapping[str, Any]) -> str:
    if "anyOf" in schema:
        return listed(_words(part) for part in schema["anyOf"])
    if "enum" in schema:
        return listed(map(inline, schema["enum"]))
    if "const" in schema:
        return inline(schema["const"])
    match schema["type"]:
        case "integer":
            return f"a whole number {_bounds(schema)}"
        case "number":
            return f"a number {_bounds(schema)}"
        case "boolean":
            return "true or false"
        case "array":
            count = f"{schema['maxItems']} " if "minItems" in schema else ""
            plural = _words(schema["items"]).removeprefix("a ").replace("number", "numbers")
            return f"a list of {count}{plural}"
        case "null":
            return "null"
        case _:
            return "a text"


def _bounds(schema: Mapping[str, Any]) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return f"from {_short(low)} to {_short(high)}"
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    parts = [
        f"above {_short(above)}" if above is not None else "",
        f"of at least {_short(low)}" if low is not None else "",
        f"below {_short(below)}" if below is not None and below < 2**63 else "",
        f"up to {_short(high)}" if high is not None else "",
    ]
    return listed((part for part in parts if part), "and")


def _short(number: float) -> str:
    return f"{number:,}"


def identity(name: str, value: Any) -> str:
    """Equal for values that make the same trial: `normal:0.1` and `normal:1e-1`; not 1 and true."""
    if name == "init":
        return repr(init_scheme(value))
    return inline(value, quoted)
