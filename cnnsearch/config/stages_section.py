"""The `stages` section: several searches in one file, each over what was best in the one before."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from cnnsearch.config.document import Item, items
from cnnsearch.config.fields import OWNER, fit, json_schema, path_of
from cnnsearch.config.mistakes import Mistake, Mistakes, inline, shown, suggestion

MOST = 50
# Complete trials of a search without which nothing is narrowed to the best of them.
FEWEST = 5
_KEYS = ("epochs", "trials", "top", "pad", "folds", "set")
_OF_NARROWING = ("top", "pad")
# What has a key of its own, what all stages must share to be compared, and where the images lie.
_NOT_SET = ("epochs", "trials", "objective", "at", "name", "root")
SETTABLE = tuple(name for name, section in OWNER.items() if section and name not in _NOT_SET)
_SHARE = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,6})?)%")

# The best trials of a search: a share of the complete ones ("20%"), or their number.
Top = str | int


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage; what it does not say stays as it was in the stage before, or in the file.

    Args:
        epochs: of each trial; `trials`: their number; `folds`: of each trial's cross-validation.
        top: which trials of the stage before the ranges are narrowed to.
        pad: margin at each end of a range, as a share of what those trials span.
        set: values of other fields by their bare names, plain.
    """

    epochs: int | None = None
    trials: int | None = None
    top: Top | None = None
    pad: float | None = None
    folds: int | None = None
    set: Mapping[str, Any] = field(default_factory=dict)

    @property
    def values(self) -> dict[str, Any]:
        """The fields that it sets, by their bare names, plain."""
        own = {"epochs": self.epochs, "trials": self.trials}
        folds = {} if self.folds is None else {"validation": {"folds": self.folds}}
        return {**{k: v for k, v in own.items() if v is not None}, **folds, **self.set}

    def plain(self) -> dict[str, Any]:
        """What was written."""
        written = {name: getattr(self, name) for name in _KEYS if name != "set"}
        kept = {name: value for name, value in written.items() if value is not None}
        return {**kept, "set": dict(self.set)} if self.set else kept


def top_of(value: Any) -> Top:
    """Check which trials are the best.

    Raises:
        ValueError: no number of trials and no share; its text says what to write.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return value
    match = _SHARE.fullmatch(value) if isinstance(value, str) else None
    if match and 0 < float(match[1]) <= 100:
        assert isinstance(value, str)
        return value
    raise ValueError(f"top {shown(value)} does not fit. Write a share such as 20%, or a number.")


def read_stages(item: Item, space: Item | None, mistakes: Mistakes) -> tuple[Stage, ...]:
    """The stages in the order of the file; none where there is a mistake."""
    if not isinstance(item.value, list) or not item.value:
        text = f"{shown(item.plain())} is no list of stages. Write lines such as - {{epochs: 2}}."
        mistakes.add(item.place, "stages", text)
        return ()
    if len(item.value) > MOST:
        mistakes.add(item.place, "stages", f"{len(item.value)} stages. Write at most {MOST}.")
        return ()
    searched = space.value.keys() if space and isinstance(space.value, dict) else ()
    before, found = len(mistakes.found), []
    for number, entry in enumerate(item.value, 1):
        found.append(_Entry(number, entry, mistakes).stage(list(searched)))
    return tuple(found) if len(mistakes.found) == before else ()


@dataclass(frozen=True, slots=True)
class _Entry:
    """One stage as written; stages count from 1, as in the names of their studies."""

    number: int
    item: Item
    mistakes: Mistakes

    @property
    def path(self) -> str:
        return f"stages.{self.number}"

    def stage(self, searched: Sequence[str]) -> Stage:
        written = self.item.value
        if not isinstance(written, dict) or not written:
            text = f"{shown(self.item.plain())} is no stage. Write at least one of {_listed()}."
            self.mistakes.add(self.item.place, self.path, text)
            return Stage()
        found: dict[str, Any] = {}
        for key, item in written.items():
            with self.mistakes.gathering():
                found[key] = self._value(key, item, searched)
        return Stage(**{key: value for key, value in found.items() if key in _KEYS})

    def _value(self, key: str, item: Item, searched: Sequence[str]) -> Any:
        path = f"{self.path}.{key}"
        if key not in _KEYS:
            raise Mistake(item.place, path, f"unknown key. {self._remedy(key)}")
        if key in _OF_NARROWING and self.number == 1:
            text = "the first stage searches the whole space. Write it in the stage after it."
            raise Mistake(item.place, path, text)
        if key in ("epochs", "trials"):
            self._check_fixed(key, item, path, searched)
            return fit(key, item, path)
        if key == "set":
            return self._set(item, searched)
        if key == "folds":
            _check_folds(item, path)
            return item.value
        return _top(item, path) if key == "top" else _pad(item, path)

    def _remedy(self, key: str) -> str:
        bare = key.rpartition(".")[2]
        if bare in SETTABLE:
            return f"Write set: {{{bare}: VALUE}}."
        return suggestion(key, _KEYS)

    def _check_fixed(self, name: str, item: Item, path: str, searched: Sequence[str]) -> None:
        if name in searched:
            text = f"{name} stands in space, whose ranges are narrowed. Delete it in one place."
            raise Mistake(item.place, path, text)

    def _set(self, item: Item, searched: Sequence[str]) -> dict[str, Any]:
        path = f"{self.path}.set"
        if not isinstance(item.value, dict) or not item.value:
            text = f"{shown(item.plain())} sets nothing. Write set: {{schedule: cosine}}."
            raise Mistake(item.place, path, text)
        found = {}
        for key, value in item.value.items():
            with self.mistakes.gathering():
                name = _settable(key, value, path)
                if name in found:
                    raise Mistake(value.place, path, f"{name} is set twice. Delete one.")
                if name == "validation" and "folds" in self.item.value:
                    text = "folds are a validation too. Delete one of them."
                    raise Mistake(value.place, f"{path}.{name}", text)
                self._check_fixed(name, value, f"{path}.{name}", searched)
                found[name] = _plain(fit(name, value, f"{path}.{name}"))
        return found


def _settable(key: str, item: Item, path: str) -> str:
    """The field that a key names, bare or with its section."""
    section, dot, bare = key.rpartition(".")
    if bare in SETTABLE and (not dot or OWNER[bare] == section):
        return bare
    if bare in ("epochs", "trials"):
        raise Mistake(item.place, f"{path}.{bare}", f"write {bare} beside set, not in it.")
    if bare in _NOT_SET:
        text = f"all stages have the same {path_of(bare)}. Set it outside of stages."
        raise Mistake(item.place, f"{path}.{bare}", text)
    name = key if key.isidentifier() else shown(key)
    raise Mistake(item.place, f"{path}.{name}", f"unknown field. {suggestion(bare, SETTABLE)}")


def _plain(value: Any) -> Any:
    return value.model_dump() if isinstance(value, BaseModel) else value


def _top(item: Item, path: str) -> Top:
    try:
        return top_of(item.plain())
    except ValueError as error:
        text = str(error).removeprefix("top ")
        raise Mistake(item.place, path, text) from None


def _pad(item: Item, path: str) -> float:
    value = item.plain()
    if isinstance(value, bool) or not isinstance(value, int | float):
        value = math.nan
    if not 0 <= value <= 10:
        text = f"{shown(item.plain())} does not fit. Write a share from 0 to 10, such as 0.25."
        raise Mistake(item.place, path, text)
    return float(value)


def _check_folds(item: Item, path: str) -> None:
    try:
        fit("validation", items({"folds": item.plain()}, item.place), path)
    except Mistake:
        text = f"{shown(item.plain())} does not fit. Write a whole number from 2 to 100."
        raise Mistake(item.place, path, text) from None


def _listed() -> str:
    return inline(list(_KEYS)).strip("[]")


def stages_schema() -> dict[str, Any]:
    """JSON Schema of the section."""
    share = {"type": "string", "pattern": "^[0-9]{1,3}(\\.[0-9]+)?%$"}
    entry = {
        "type": "object",
        "properties": {
            "epochs": {**json_schema("epochs"), "description": "Of each trial."},
            "trials": {"type": "integer", "minimum": 1, "description": "Their number."},
            "top": {
                "anyOf": [share, {"type": "integer", "minimum": 1}],
                "description": "The best trials of the stage before, to which it is narrowed.",
            },
            "pad": {
                "type": "number",
                "minimum": 0,
                "maximum": 10,
                "description": "Margin at each end of a range, as a share of their span.",
            },
            "folds": {
                "type": "integer",
                "minimum": 2,
                "maximum": 100,
                "description": "Of each trial's cross-validation.",
            },
            "set": {
                "type": "object",
                "properties": {name: json_schema(name) for name in SETTABLE},
                "additionalProperties": False,
                "minProperties": 1,
                "description": "Other fields.",
            },
        },
        "additionalProperties": False,
        "minProperties": 1,
    }
    return {
        "type": "array",
        "items": entry,
        "minItems": 1,
        "maxItems": MOST,
        "description": "Searches one after the other, each over what was best in the one before.",
    }
