"""From a file, or from stored plain data, to a checked config."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from cnnsearch.config.config import Config
from cnnsearch.config.document import Item, items, read_file
from cnnsearch.config.fields import OWNER, SECTIONS, fit, path_of
from cnnsearch.config.mistakes import Mistake, Mistakes, Place, nearest, report, shown, suggestion
from cnnsearch.config.rules import check_rules, overridden
from cnnsearch.config.sections import Section, Top, is_study_name, study_name
from cnnsearch.config.settings import with_settings
from cnnsearch.config.space_section import read_space
from cnnsearch.errors import InputError

_STORED = "the study's config"
_TOP = (*Top.model_fields, *SECTIONS, "space")


def load(path: str | Path, sets: Sequence[str] = (), trials: int | None = None) -> Config:
    """Read and check a file.

    Args:
        sets: "KEY=VALUE" texts of the command line, in the place of the file's values.
        trials: number of points asked for on the command line, in the place of `search.trials`.

    Raises:
        InputError: with all mistakes, one line each.
    """
    return load_with_notes(path, sets, trials)[0]


def load_with_notes(
    path: str | Path, sets: Sequence[str] = (), trials: int | None = None
) -> tuple[Config, list[str]]:
    """Like `load`, and what the user should know: fixed values that `space` overrides."""
    file = str(path)
    try:
        root = read_file(Path(path))
    except Mistake as mistake:
        raise InputError(report(file, [mistake])) from None
    mistakes = Mistakes()
    root = with_settings(root, sets, file, mistakes)
    if trials is not None:
        root = _with_trials(root, trials, mistakes)
    if "study" not in root.value:
        root = _with_study(root, Path(path).stem, mistakes)
    config = _config(root, file, mistakes)
    return config, [f"{file}:{line}: {text}" for line, text in overridden(root, config)]


def from_plain(plain: Mapping[str, Any]) -> Config:
    """Check what `Config.plain` gave, as it was stored.

    Raises:
        InputError: it does not fit, as with a config of another version of the program.
    """
    root = items(dict(plain), Place())
    mistakes = Mistakes()
    if "study" not in root.value:
        mistakes.add(root.place, "study", "is missing.")
    return _config(root, _STORED, mistakes)


def _config(root: Item, file: str, mistakes: Mistakes) -> Config:
    _check_names(root, mistakes)
    top = _fields("", root, mistakes)
    sections = {name: _fields(name, _section(root, name), mistakes) for name in SECTIONS}
    space = read_space(root.value["space"], mistakes) if "space" in root.value else None
    if "search" in root.value and space is None:
        text = "there is no space to search. Write a section space, or delete this one."
        mistakes.add(root.value["search"].place, "search", text)
    mistakes.raise_any(file)
    searching = space is not None
    built = {
        name: section(**sections[name])
        for name, section in SECTIONS.items()
        if searching or name != "search"
    }
    config = Config(**{**Top(**top).model_dump(), **built}, space=space)
    check_rules(root, config, mistakes)
    mistakes.raise_any(file)
    return config


def _section(root: Item, name: str) -> Item:
    found = root.value.get(name, Item({}, Place()))
    # A section whose lines are all commented out is empty.
    return Item({}, found.place) if found.value is None else found


def _check_names(root: Item, mistakes: Mistakes) -> None:
    for name, item in root.value.items():
        if name in _TOP:
            continue
        if OWNER.get(name):
            text = f"belongs to the section {OWNER[name]}. Move it there."
        else:
            text = _unknown_among(name, _TOP)
        mistakes.add(item.place, _path("", name), text)


def _fields(section: str, item: Item, mistakes: Mistakes) -> dict[str, Any]:
    """The values of a section's fields that fit, with mistakes told of the others."""
    if not isinstance(item.value, dict):
        text = f"{shown(item.plain())} is no mapping. Write {section}: and its fields below."
        mistakes.add(item.place, section, text)
        return {}
    fields = _model(section).model_fields
    found: dict[str, Any] = {}
    for name, value in item.value.items():
        with mistakes.gathering():
            if name in fields:
                found[name] = fit(name, value, path_of(name))
            elif section:
                raise Mistake(value.place, _path(section, name), _unknown(section, name))
    _check_required(section, item, mistakes)
    return found


def _check_required(section: str, item: Item, mistakes: Mistakes) -> None:
    if section == "data" and "name" not in item.value:
        text = "is missing. Write data: {name: digits}, or another of `cnnsearch choices`."
        mistakes.add(item.place, "data.name", text)


def _unknown(section: str, name: str) -> str:
    if name in OWNER:
        where = f"the section {OWNER[name]}" if OWNER[name] else "the top of the file"
        return f"belongs to {where}. Move it there."
    return _unknown_among(name, _model(section).model_fields)


def _unknown_among(name: str, known: Collection[str]) -> str:
    """First the names that can stand there, then those of other sections."""
    elsewhere = None if nearest(name, known) else nearest(name, OWNER)
    if elsewhere:
        return f"unknown name. Did you mean {path_of(elsewhere)}?"
    return f"unknown name. {suggestion(name, known)}"


def _model(section: str) -> type[Section]:
    return SECTIONS[section] if section else Top


def _path(section: str, name: str) -> str:
    written = name if name.isidentifier() and len(name) <= 40 else shown(name)
    return f"{section}.{written}" if section else written


def _with_study(root: Item, stem: str, mistakes: Mistakes) -> Item:
    if not is_study_name(stem):
        text = f"the file's name {shown(stem)} is no study name. Write study: {study_name(stem)}."
        mistakes.add(Place(1), "study", text)
        stem = study_name(stem)
    return Item({**root.value, "study": items(stem, Place())}, root.place)


def _with_trials(root: Item, trials: int, mistakes: Mistakes) -> Item:
    place = Place(option=f"-n {trials}")
    if trials < 1:
        mistakes.add(place, "", "write a number of points of at least 1.")
        return root
    if "space" not in root.value:
        mistakes.add(place, "", "the file has no space: there is nothing to search.")
        return root
    search = _section(root, "search")
    if not isinstance(search.value, dict):
        return root
    changed = Item({**search.value, "trials": items(trials, place)}, search.place)
    return Item({**root.value, "search": changed}, root.place)


def placed(path: str | Path, sets: Sequence[str], message: str) -> str:
    """A message with the file and the line of the field that each of its lines begins with.

    For what is found only after the file was read: "device: cuda is not there" becomes
    "coarse.yaml:3: device: cuda is not there". Lines that name no field are left as they are.
    """
    file = str(path)
    try:
        root = with_settings(read_file(Path(path)), sets, file, Mistakes())
    except Mistake:
        return message
    return "\n".join(_placed_line(root, file, line) for line in message.splitlines())


def _placed_line(root: Item, file: str, line: str) -> str:
    name = line.partition(":")[0]
    section, _, field = name.rpartition(".")
    if name not in _TOP and OWNER.get(field) != section:
        return line
    item = root.value.get(section or field)
    if section and item is not None and isinstance(item.value, dict):
        item = item.value.get(field, item)
    if item is not None and item.place.option:
        return f"{item.place.option}: {line}"
    return f"{file}:{item.place.line}: {line}" if item is not None else f"{file}: {line}"
