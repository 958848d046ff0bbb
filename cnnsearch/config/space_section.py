"""The `space` section: each entry becomes a range or a choice of `cnnsearch.space`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cnnsearch.config.document import Item
from cnnsearch.config.fields import (
    OWNER,
    SEARCHABLE,
    fit,
    fits,
    identity,
    number_kind,
    path_of,
    takes_lists,
    words,
)
from cnnsearch.config.mistakes import (
    Mistake,
    Mistakes,
    inline,
    listed,
    nearest,
    shown,
    suggestion,
)
from cnnsearch.config.spellings import FOREIGN, translated
from cnnsearch.records import Value
from cnnsearch.space import Choice, Condition, Parameter, Range

_RANGE_KEYS = ("low", "high", "log", "step", "points", "when")
_MAX_STEPS = 1_000_000
_CHOICE_KEYS = ("choices", "when")


@dataclass(frozen=True, slots=True)
class _Entry:
    """One line of the section as written."""

    name: str
    item: Item
    mistakes: Mistakes

    @property
    def path(self) -> str:
        return f"space.{self.name}"

    def mistake(self, text: str, at: Item | None = None) -> Mistake:
        return Mistake((at or self.item).place, self.path, text)

    def part(self, key: str) -> Item | None:
        found = self.item.value.get(key)
        assert found is None or isinstance(found, Item)
        return found


def read_space(section: Item, mistakes: Mistakes) -> dict[str, Parameter]:
    """The parameters that could be read, in the order of the file; the others are mistakes.

    A parameter that depends on one that could not be read is left out too, without a word.
    """
    if not isinstance(section.value, dict) or not section.value:
        text = "is empty" if not section.value else f"{shown(section.plain())} is no mapping"
        mistakes.add(
            section.place, "space", f"{text}. Write a line such as lr: {{low: 1e-4, high: 0.1}}."
        )
        return {}
    space: dict[str, Parameter] = {}
    for name, item in section.value.items():
        before = len(mistakes.found)
        with mistakes.gathering():
            entry = _Entry(name, item, mistakes)
            _check_name(entry)
            parameter = _parameter(entry, space, list(section.value))
            if parameter is None or len(mistakes.found) > before:
                continue
            if all(condition.parent in space for condition in parameter.when):
                space[name] = parameter
    return space


def _check_name(entry: _Entry) -> None:
    name = entry.name
    if name in SEARCHABLE:
        return
    bare = name.rpartition(".")[2]
    if bare != name and bare in SEARCHABLE:
        raise entry.mistake(f"write the bare name {bare}, without its section.")
    if name in OWNER:
        raise entry.mistake(f"{path_of(name)} cannot be searched. Set it outside of space.")
    raise entry.mistake(f"unknown hyperparameter. {suggestion(name, SEARCHABLE)}")


def _parameter(entry: _Entry, space: Mapping[str, Parameter], names: list[str]) -> Parameter | None:
    """None where a mistake was told."""
    name, value = entry.name, entry.item.value
    if isinstance(value, list):
        return Choice(_choices(entry, entry.item))
    if not isinstance(value, dict):
        written = shown([value])
        raise entry.mistake(
            f"{shown(value)} is a single value. Write {name}: {written}, or set {path_of(name)}."
            if value is not None
            else f"the line is empty. Write {name}: followed by a list or {{low: ..., high: ...}}."
        )
    # A mapping with nothing of ours, or with something of theirs that is not ours.
    if FOREIGN & value.keys():
        line = translated(name, entry.item.plain(), number_kind(name) == "integer")
        foreign = listed([key for key in value if key in FOREIGN], "and")
        raise entry.mistake(f"{foreign}: another tool's spelling. Write {line}.")
    known = _CHOICE_KEYS if "choices" in value else _RANGE_KEYS
    unknown = [key for key in value if key not in known]
    for key in unknown:
        text = f"unknown key {shown(key)}. {suggestion(key, known)}"
        entry.mistakes.add(value[key].place, entry.path, text)
    when = _conditions(entry, space, names)
    if "choices" in value:
        return Choice(_choices(entry, value["choices"]), when)
    # A misspelt key would be told a second time, as a missing one.
    missing = [key for key in ("low", "high") if key not in value]
    if missing and any(nearest(key, missing) for key in unknown):
        return None
    return _range(entry, when)


def _choices(entry: _Entry, item: Item) -> tuple[Value, ...]:
    name = entry.name
    if not isinstance(item.value, list):
        raise entry.mistake(f"choices must be a list. Write choices: [{shown(item.plain())}].")
    if not item.value:
        raise entry.mistake(f"the list is empty. Write values: {words(name)}.")
    if takes_lists(name) and not any(isinstance(choice.value, list) for choice in item.value):
        raise entry.mistake(
            f"each choice is a list itself. Write {name}: [{shown(item.plain())}].", item
        )
    wanted = _common_kind(entry, item)
    seen: dict[str, Any] = {}
    for choice in item.value:
        with entry.mistakes.gathering():
            _check_kind(entry, choice, wanted)
            value = fit(name, choice, entry.path)
            key = identity(name, value)
            if key in seen:
                raise entry.mistake(f"{shown(value)} is listed twice. Delete one.", choice)
            seen[key] = value
    return tuple(seen.values())


def _common_kind(entry: _Entry, item: Item) -> str | None:
    """The kind of the first value that fits the field, else of the first value."""
    kinds = [_kind(choice.value) for choice in item.value]
    for kind, choice in zip(kinds, item.value, strict=True):
        if fits(entry.name, choice):
            return kind
    return next((kind for kind in kinds if kind is not None), None)


def _check_kind(entry: _Entry, choice: Item, wanted: str | None) -> None:
    """Whole numbers and others mix in one list; everything else is of one kind."""
    kind = _kind(choice.value)
    if kind is not None and kind != wanted:
        raise entry.mistake(
            f"{wanted} and {kind} in one list ({shown(choice.plain())}). Write values of one "
            f"kind: {words(entry.name)}.",
            choice,
        )


def _kind(value: Any) -> str | None:
    match value:
        case bool():
            return "switches"
        case int() | float():
            return "numbers"
        case str():
            return "texts"
        case list():
            return "lists"
        case dict():
            return None  # told by the field itself
        case _:
            return "null"


def _range(entry: _Entry, when: tuple[Condition, ...]) -> Range | None:
    """None where a mistake was told."""
    name, kind = entry.name, number_kind(entry.name)
    if kind is None:
        raise entry.mistake(f"takes no range. Write a list: {words(name)}.")
    for key in ("low", "high"):
        if entry.part(key) is None:
            raise entry.mistake(f"{key} is missing. Write {name}: {{low: LOW, high: HIGH}}.")
    log = _log(entry)
    points = _points(entry)
    bounds = _bounds(entry, log)
    if bounds is None:
        return None
    low, high = bounds
    if low > high:
        raise entry.mistake(f"low {low!r} is greater than high {high!r}. Swap them.")
    if low == high:
        raise entry.mistake(f"low and high are both {low!r}. Write {name}: [{low!r}].")
    step = _step(entry, low, high, log)
    return Range(low, high, log, step, points, integer=kind == "integer", when=when)


def _log(entry: _Entry) -> bool:
    item = entry.part("log")
    if item is None:
        return False
    if not isinstance(item.value, bool):
        text = f"log: {shown(item.plain())}. Write log: true or log: false."
        entry.mistakes.add(item.place, entry.path, text)
    return item.value is not False


def _bounds(entry: _Entry, log: bool) -> tuple[float, float] | None:
    """Low and high as the field has them; None where a mistake was told."""
    items = [item for key in ("low", "high") if (item := entry.part(key)) is not None]
    low, high = (item.value for item in items)
    if log and _is_number(low) and _is_number(high) and low <= 0:
        raise entry.mistake(_log_text(low, high), items[0])
    fitted = []
    for key, item in zip(("low", "high"), items, strict=True):
        with entry.mistakes.gathering():
            _check_bound(entry, key, item)
            fitted.append(fit(entry.name, item, entry.path))
    return (fitted[0], fitted[1]) if len(fitted) == 2 else None


def _check_bound(entry: _Entry, key: str, item: Item) -> None:
    if not _is_number(item.value):
        text = f"{key} {shown(item.plain())} is no number. Write {key}: {_example(entry.name)}."
        raise entry.mistake(text, item)
    if number_kind(entry.name) == "integer" and not isinstance(item.value, int):
        whole = int(item.value) if abs(item.value) < 2**63 else 1
        text = f"{key} {item.value!r}: {entry.name} takes whole numbers. Write {key}: {whole}."
        raise entry.mistake(text, item)


def _log_text(low: float, high: float) -> str:
    # Nobody means a range of negative values by log; -6 and -1 are the exponents of 10.
    if -30 <= low < 0 and low < high <= 10:
        values = [float(f"{10.0**exponent:.6g}") for exponent in (low, high)]
        written = f"Write low: {values[0]!r}, high: {values[1]!r}."
        return f"bounds are values, not exponents, and low is {low!r}. {written}"
    return f"log needs low above 0, and low is {low!r}. Write a small low, or leave log out."


def _step(entry: _Entry, low: float, high: float, log: bool) -> float | None:
    item = entry.part("step")
    if item is None or item.value is None:
        return None
    step, whole = item.value, number_kind(entry.name) == "integer"
    if log:
        raise entry.mistake("log and step exclude each other. Delete one.", item)
    if not _is_number(step) or not 0 < step <= high - low or (whole and not isinstance(step, int)):
        number = "a whole number" if whole else "a number"
        text = f"step {shown(item.plain())} does not fit. Write {number} above 0, up to "
        raise entry.mistake(f"{text}{high - low:.6g}.", item)
    assert isinstance(step, int | float)
    if (high - low) / step > _MAX_STEPS:
        text = f"step {step!r} cuts the range into more than {_MAX_STEPS:,} parts. Leave it out."
        raise entry.mistake(text, item)
    return step if whole else float(step)


def _points(entry: _Entry) -> int | None:
    item = entry.part("points")
    if item is None or item.value is None:
        return None
    points = item.value
    if not isinstance(points, int) or isinstance(points, bool) or points < 2:
        text = f"points {shown(item.plain())} does not fit. Write a whole number of at least 2."
        entry.mistakes.add(item.place, entry.path, text)
        return None
    return points


def _conditions(
    entry: _Entry, space: Mapping[str, Parameter], names: list[str]
) -> tuple[Condition, ...]:
    item = entry.part("when")
    if item is None:
        return ()
    if not isinstance(item.value, dict) or not item.value:
        text = f"when {shown(item.plain())} does not fit. Write when: {{NAME: VALUE}}."
        entry.mistakes.add(item.place, entry.path, text)
        return ()
    found = []
    for parent, values in item.value.items():
        with entry.mistakes.gathering():
            found.append(_condition(entry, parent, values, space, names))
    return tuple(found)


def _condition(
    entry: _Entry, parent: str, item: Item, space: Mapping[str, Parameter], names: list[str]
) -> Condition:
    if parent == entry.name:
        raise entry.mistake("when names the parameter itself. Name an earlier one.", item)
    if parent not in names:
        earlier = names[: names.index(entry.name)]
        remedy = f"Add {parent} to space, above."
        if parent not in SEARCHABLE:
            remedy = suggestion(parent, earlier if nearest(parent, earlier) else SEARCHABLE)
        raise entry.mistake(f"when names {shown(parent)}, which is not in space. {remedy}", item)
    if names.index(parent) > names.index(entry.name):
        raise entry.mistake(f"when names {parent}, which stands below. Move it above.", item)
    if parent not in space:  # its own mistake was told
        return Condition(parent, ())
    above = space[parent]
    if isinstance(above, Range):
        raise entry.mistake(
            f"when names {parent}, which is a range. Name a parameter with a list.", item
        )
    one = not isinstance(item.value, list) or (
        takes_lists(parent) and not (item.value and isinstance(item.value[0].value, list))
    )
    wanted = [item] if one else item.value
    if not wanted:
        raise entry.mistake(f"when: {{{parent}: []}} is never true. Write a value.", item)
    known = {identity(parent, value): value for value in above.choices}
    values = []
    for choice in wanted:
        with entry.mistakes.gathering():
            value = fit(parent, choice, f"{entry.path}.when.{parent}")
            if identity(parent, value) not in known:
                choices = listed(inline(v) for v in above.choices)
                text = f"{parent} is never {shown(value)} in this space. Write {choices}."
                raise entry.mistake(text, choice)
            values.append(known[identity(parent, value)])
    return Condition(parent, tuple(values))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _example(name: str) -> str:
    return "1" if number_kind(name) == "integer" else "0.1"
