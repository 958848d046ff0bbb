"""Values set on the command line: `-S lr=0.01`, `-S data.root=DIR`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from cnnsearch.config.document import Item, items, parse
from cnnsearch.config.fields import OWNER, SEARCHABLE, SECTIONS, fit, path_of
from cnnsearch.config.mistakes import Mistake, Mistakes, Place, inline, shown, suggestion


def with_settings(root: Item, sets: Sequence[str], mistakes: Mistakes) -> Item:
    """The file's content with the command line's values put in their places."""
    for name, value in _settings(sets, mistakes):
        with mistakes.gathering():
            _check_space(root, name, value, mistakes.file)
            root = placed_in(root, name, value)
    return root


def values_of(sets: Sequence[str]) -> dict[str, Any]:
    """The command line's values, plain, by the bare names of their fields.

    Raises:
        InputError: an unknown name, or a value that does not fit.
    """
    mistakes, found = Mistakes(""), {}
    for name, value in _settings(sets, mistakes):
        with mistakes.gathering():
            fit(name, value, "")
            found[name] = value.plain()
    mistakes.raise_any()
    return found


def _settings(sets: Sequence[str], mistakes: Mistakes) -> Iterator[tuple[str, Item]]:
    """Name and value of each text that names a field, each once."""
    seen: set[str] = set()
    for text in sets:
        with mistakes.gathering():
            name, value = _setting(text)
            if name in seen:
                raise Mistake(value.place, "", f"{name} is set twice. Give one -S {name}=VALUE.")
            seen.add(name)
            yield name, value


def _setting(text: str) -> tuple[str, Item]:
    place = Place(option=f"-S {text}")
    key, equals, value = text.partition("=")
    key = key.strip()
    if not equals:
        raise Mistake(place, "", "no value. Write -S KEY=VALUE, such as -S lr=0.01.")
    name = _name(key, place)
    item = parse(value, place)
    return name, item or items(None, place)


def _name(key: str, place: Place) -> str:
    section, dot, bare = key.rpartition(".")
    if key in OWNER:
        return key
    if dot and bare in OWNER and OWNER[bare] == section:
        return bare
    if key == "space" or section == "space" or key.startswith("space."):
        raise Mistake(place, "", "the space is changed in the file, not on the command line.")
    if key == "stages" or key.startswith("stages."):
        raise Mistake(place, "", "stages are changed in the file, not on the command line.")
    if key in SECTIONS:
        raise Mistake(place, "", f"{key} is a section. Write -S {key}.NAME=VALUE.")
    if dot and bare in OWNER:
        raise Mistake(place, "", f"unknown name {shown(key)}. Did you mean {path_of(bare)}?")
    raise Mistake(place, "", f"unknown name {shown(key)}. {_remedy(section, bare)}")


def _remedy(section: str, bare: str) -> str:
    if section in SECTIONS:
        return suggestion(bare, SECTIONS[section].model_fields)
    if section:
        return suggestion(section, SECTIONS)
    # What is set most often comes first: a long list is cut.
    return suggestion(bare, dict.fromkeys([*SEARCHABLE, *OWNER]))


def _check_space(root: Item, name: str, value: Item, file: str) -> None:
    space = root.value.get("space")
    if space is None or not isinstance(space.value, dict) or name not in space.value:
        return
    stands = f"{name} stands in space ({file}:{space.value[name].place.line})"
    try:
        fit(name, value, "")
    except Mistake as mistake:
        text = f"{mistake.text} And {stands}: change it there."
        raise Mistake(value.place, "", text) from None
    written = f"{name}: [{inline(value.plain())}]"
    text = f"{stands}. Delete that line, or write {written} there."
    raise Mistake(value.place, "", text)


def placed_in(root: Item, name: str, value: Item) -> Item:
    """The file's content with another value of a field."""
    section = OWNER[name]
    if not section:
        return Item({**root.value, name: value}, root.place)
    found = root.value.get(section) or Item({}, value.place)
    if found.value is None:
        found = Item({}, found.place)
    if not isinstance(found.value, dict):
        return root  # told where the section is read
    changed = Item({**found.value, name: value}, found.place)
    return Item({**root.value, section: changed}, root.place)
