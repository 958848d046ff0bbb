"""Strict YAML: every value keeps its line, and what reads in two ways is refused.

Only the parser of PyYAML is used, not its resolvers: those follow YAML 1.1, where `on` is true,
`1:30` is ninety and `1e-3` is a text. Here values are those of YAML 1.2's core schema, without its
octal and hexadecimal numbers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from cnnsearch.config.mistakes import Mistake, Place, shown

MAX_BYTES = 1_000_000
_MAX_DEPTH = 12  # the grammar needs 5
# PyYAML reads some 30,000 values or 500,000 lines a second; no config comes near this.
_MAX_VALUES = 10_000
_MAX_LINES = 10_000

_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_WORDS = {
    **dict.fromkeys(["", "~", "null", "Null", "NULL"], None),
    **dict.fromkeys(["true", "True", "TRUE"], True),
    **dict.fromkeys(["false", "False", "FALSE"], False),
    **{s + w: float(s + "inf") for s in ("", "+", "-") for w in (".inf", ".Inf", ".INF")},
    **dict.fromkeys([".nan", ".NaN", ".NAN"], float("nan")),
}


@dataclass(frozen=True, slots=True)
class Item:
    """A value and its place; lists and mappings hold items."""

    value: Any
    place: Place

    def plain(self) -> Any:
        """The value alone."""
        if isinstance(self.value, dict):
            return {key: item.plain() for key, item in self.value.items()}
        if isinstance(self.value, list):
            return [item.plain() for item in self.value]
        return self.value


def items(value: Any, place: Place) -> Item:
    """Plain data as items that all stand at one place."""
    if isinstance(value, dict):
        return Item({str(key): items(v, place) for key, v in value.items()}, place)
    if isinstance(value, list | tuple):
        return Item([items(v, place) for v in value], place)
    return Item(value, place)


def read_file(path: Path) -> Item:
    """Read a file whose top is a mapping.

    Raises:
        Mistake: it cannot be read, is no strict YAML, or its top is no mapping.
    """
    root = parse(_text(path))
    if root is None or root.value is None:
        raise Mistake(Place(), "", "the file is empty. `cnnsearch init` writes one to start with.")
    if not isinstance(root.value, dict):
        kind = "a list" if isinstance(root.value, list) else "a single value"
        raise Mistake(root.place, "", f"the file holds {kind}. Write sections, first data:.")
    return root


def parse(text: str, place: Place | None = None) -> Item | None:
    """The one value of a YAML text, None of an empty one.

    Args:
        place: the place of every value, where it is not the line.

    Raises:
        Mistake: the text is no strict YAML.
    """
    try:
        return _Reader(text, place).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 0
        raise Mistake(place or Place(line), "", _problem(error)) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        character = f"U+{int(error.character):04X}"
        raise Mistake(
            place or Place(line), "", f"the character {character} is not allowed. Delete it."
        ) from None


def scalar(text: str) -> Any:
    """The value of a scalar written without quotes."""
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text) and len(text) <= 20 and abs(number := int(text)) < 2**63:
        return number
    return float(text) if _FLOAT.fullmatch(text) else text


def _text(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise Mistake(Place(), "", "no such file. `cnnsearch init -o FILE` writes one.") from None
    except IsADirectoryError:
        raise Mistake(Place(), "", "this is a directory. Give a YAML file.") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise Mistake(Place(), "", f"cannot be read: {reason}.") from None
    if len(content) > MAX_BYTES:
        raise Mistake(Place(), "", "the file is larger than 1 MB. A config is a page of text.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        byte = content[error.start]
        problem = f"byte 0x{byte:02x} is not UTF-8. Save the file as UTF-8."
        raise Mistake(Place(line), "", problem) from None
    if len(text.splitlines()) > _MAX_LINES:
        raise Mistake(Place(), "", f"more than {_MAX_LINES:,} lines. A config is a page of text.")
    return text


def _problem(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or error.context or "it does not parse"
    if "'\\t'" in problem:
        return "a tab in the indentation. Write spaces."
    if problem.startswith("mapping values are not allowed"):
        problem = "a second colon on the line, or wrong indentation"
    return f"broken YAML: {problem}."


class _Reader:
    """Builds items from PyYAML's events; the events come from a parser without recursion."""

    def __init__(self, text: str, place: Place | None) -> None:
        self._loader = yaml.SafeLoader(text)
        self._place = place
        self._values = 0

    def document(self) -> Item | None:
        self._next()  # the stream's start
        if isinstance(self._next(), yaml.StreamEndEvent):
            return None
        root = self._item(self._next(), 0)
        self._next()  # the document's end
        event = self._next()
        if not isinstance(event, yaml.StreamEndEvent):
            raise Mistake(self._at(event), "", "a second document begins here. Write one a file.")
        return root

    def _next(self) -> yaml.Event:
        try:
            event = self._loader.get_event()  # type: ignore[no-untyped-call]
        except (ValueError, OverflowError) as error:
            if isinstance(error, yaml.reader.ReaderError):
                raise
            # PyYAML lets chr() and int() raise on "\UFFFFFFFF" and the like.
            place = self._place or Place(self._loader.line + 1)
            raise Mistake(place, "", "broken YAML: an escape that is no character.") from None
        assert isinstance(event, yaml.Event)
        self._refuse(event)
        return event

    def _at(self, event: yaml.Event) -> Place:
        mark = event.start_mark
        return self._place or Place(mark.line + 1 if mark else 0)

    def _refuse(self, event: yaml.Event) -> None:
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            sign = "*" if isinstance(event, yaml.AliasEvent) else "&"
            name = f"{sign}{getattr(event, 'anchor', '')}"
            text = f"{shown(name)}: anchors and aliases are refused. Write the value out."
            raise Mistake(self._at(event), "", text)
        tag = getattr(event, "tag", None)
        if tag:
            text = f"the tag {shown(tag)} is refused. Write the value alone."
            raise Mistake(self._at(event), "", text)
        self._values += 1
        if self._values > _MAX_VALUES:
            text = f"more than {_MAX_VALUES:,} values. A config is a page of text."
            raise Mistake(self._at(event), "", text)

    def _item(self, event: yaml.Event, depth: int) -> Item:
        place = self._at(event)
        if depth > _MAX_DEPTH:
            raise Mistake(place, "", f"nested deeper than {_MAX_DEPTH} levels. Write it flatter.")
        if isinstance(event, yaml.ScalarEvent):
            return Item(self._scalar(event), place)
        if isinstance(event, yaml.SequenceStartEvent):
            found = []
            while not isinstance(event := self._next(), yaml.SequenceEndEvent):
                found.append(self._item(event, depth + 1))
            return Item(found, place)
        assert isinstance(event, yaml.MappingStartEvent), event
        return Item(self._mapping(depth), place)

    def _mapping(self, depth: int) -> dict[str, Item]:
        found: dict[str, Item] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            place = self._at(event)
            if not isinstance(event, yaml.ScalarEvent):
                raise Mistake(place, "", "a name must be a plain word, not a list or a mapping.")
            key = event.value
            if key == "<<" and event.implicit[0]:
                raise Mistake(place, "", "merge keys (<<) are refused. Write the values out.")
            if key in found:
                before = found[key].place.line
                where = f"; it stands on line {before} too" if before else ""
                if before and before == place.line:
                    where = f" on line {before}"
                raise Mistake(place, "", f"{shown(key)} is written twice{where}. Delete one.")
            # The name's line, not the value's: it is the one line that both have.
            found[key] = Item(self._item(self._next(), depth + 1).value, place)
        return found

    def _scalar(self, event: yaml.ScalarEvent) -> Any:
        if event.implicit[0]:
            return scalar(event.value)
        text = event.value
        if any("\ud800" <= c <= "\udfff" or c == "\0" for c in text):
            raise Mistake(self._at(event), "", f"{shown(text)} holds what no text may hold.")
        return text
