"""From a file, or from stored plain data, to a checked config."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cnnsearch.config.config import Config
from cnnsearch.config.document import Item, items, read_file
from cnnsearch.config.fields import OWNER, SECTIONS, fit, path_of
from cnnsearch.config.mistakes import (
    Mistake,
    Mistakes,
    Place,
    line,
    nearest,
    report,
    shown,
    suggestion,
)
from cnnsearch.config.rules import Reading, check_rules, meant, notes
from cnnsearch.config.sections import OWN_INIT, Model, Section, Top, study_name
from cnnsearch.config.settings import placed_in, with_settings
from cnnsearch.config.space_section import read_space
from cnnsearch.config.stages_counts import check_counts, number_of_points
from cnnsearch.config.stages_section import Stage, read_stages
from cnnsearch.errors import InputError
from cnnsearch.records import is_study_name
from cnnsearch.space import Space

_STORED = "the study's config"
_TOP = (*Top.model_fields, *SECTIONS, "space", "stages")


def load(path: str | Path, sets: Sequence[str] = (), trials: int | None = None) -> Config:
    """Read and check a file.

    Args:
        sets: "KEY=VALUE" texts of the command line, in the place of the file's values.
        trials: number of points asked for on the command line, in the place of `search.trials`;
            only with it may a grid have more points than are run.

    Raises:
        InputError: with all mistakes, one line each.
    """
    return load_with_notes(path, sets, trials)[0]


def load_with_notes(
    path: str | Path, sets: Sequence[str] = (), trials: int | None = None
) -> tuple[Config, list[str]]:
    """Like `load`, and what the user should know: what is written without effect."""
    file = str(path)
    try:
        root = read_file(Path(path))
    except Mistake as mistake:
        raise InputError(report(file, [mistake])) from None
    mistakes = Mistakes(file)
    root = with_settings(root, sets, mistakes)
    if "study" not in root.value:
        root = _with_study(root, Path(path).stem, mistakes)
    written = root
    if trials is not None:
        root = _with_trials(root, trials, mistakes)
    config = _config(root, mistakes, any_size=trials is not None)
    return config, [line(file, *note) for note in notes(written, config)]


def from_plain(plain: Mapping[str, Any], what: str = _STORED) -> Config:
    """Check what `Config.plain` gave, as it was stored.

    Args:
        what: begins each line of the error.

    Raises:
        InputError: it does not fit, as with a config of another version of the program.
    """
    root = items(dict(plain), Place())
    mistakes = Mistakes(what)
    if "study" not in root.value:
        mistakes.add(root.place, "study", "is missing.")
    # How many points of a grid were asked for is not stored with it.
    return _config(root, mistakes, any_size=True)


def with_values(config: Config, values: Mapping[str, Any], what: str = "") -> Config:
    """The config with other values, checked together with the rest; without `stages`.

    Args:
        values: plain, by the bare names of fields; also `space`.
        what: begins each line of the error.

    Raises:
        InputError: they do not fit.
    """
    plain = replace(config, stages=()).plain()
    for name, value in values.items():
        section = OWNER.get(name, "")
        if section and section not in plain:
            text = f"a single run has no {section}. Leave {name} out."
            raise InputError(line(what, Place(), path_of(name), text))
        (plain[section] if section else plain)[name] = value
    return from_plain(plain, what)


def _config(root: Item, mistakes: Mistakes, any_size: bool) -> Config:
    _check_names(root, mistakes)
    root, stages = _with_stages(root, mistakes)
    top = _fields("", root, mistakes)
    sections = {name: _fields(name, _section(root, name), mistakes) for name in SECTIONS}
    _check_required(root, mistakes)
    space = read_space(root.value["space"], mistakes) if "space" in root.value else None
    if "search" in root.value and space is None:
        text = "there is no space to search. Write a section space, or delete this one."
        mistakes.add(root.value["search"].place, "search", text)
    # Every value was checked by its field, so that a section need not check them again. Where there
    # are mistakes, what remains is looked at all the same: they are all to be told at once.
    built = {
        name: section.model_construct(**sections[name])
        for name, section in SECTIONS.items()
        if space is not None or name != "search"
    }
    built["model"] = _with_own_init(root, built["model"], space)
    tops = Top.model_construct(**{"study": "", **top}).model_dump()
    if space is None:
        tops["fuse"] = "auto"  # as of a trial's single run: there is nothing to fuse it with
    config = Config(**{**tops, **built}, space=space, stages=stages)
    # A stage runs as many points of a grid as it says.
    any_size = any_size or (bool(stages) and stages[0].trials is not None)
    check_rules(Reading(root, config, _wrong(root, sections, space), any_size), mistakes)
    if not mistakes.found:
        _check_stages(root, config, mistakes)
    mistakes.raise_any()
    return config


def _with_own_init(root: Item, model: Section, space: Space | None) -> Section:
    """A network of the user's own keeps the weights that it draws, unless the file says otherwise.

    It may have learned them elsewhere.
    """
    assert isinstance(model, Model)
    written = _section(root, "model").value
    if model.module is None or "init" in (space or {}) or "init" in (written or {}):
        return model
    return model.model_copy(update={"init": OWN_INIT})


def _with_stages(root: Item, mistakes: Mistakes) -> tuple[Item, tuple[Stage, ...]]:
    """The file's content with the values of its first stage in their places, and all stages."""
    item = root.value.get("stages")
    if item is None:
        return root, ()
    if "space" not in root.value:
        text = "there is no space to narrow. Write a section space, or delete this one."
        mistakes.add(item.place, "stages", text)
        return root, ()
    stages = read_stages(item, root.value["space"], mistakes)
    for name, value in (stages[0].values if stages else {}).items():
        written = _section(root, OWNER[name]).value
        old = written.get(name) if isinstance(written, dict) else None
        if old is not None and old.place.option:
            text = f"stages.1 sets {name}. Change it in the file."
            mistakes.add(old.place, "", text)
        root = placed_in(root, name, items(value, item.value[0].place))
    return root, stages


def _check_stages(root: Item, config: Config, mistakes: Mistakes) -> None:
    """Look at the stages after the first, each over the whole space: it will be a part of it."""
    last = f"{config.study}.{len(config.stages)}"
    if config.stages and not is_study_name(last):
        text = f"stages are named such as {shown(last)}, of 64 characters at most. Shorten it."
        mistakes.add(root.value["study"].place, "study", text)
    stages = config.stages
    for number, stage in enumerate(stages[1:], 2):
        place, path = root.value["stages"].value[number - 1].place, f"stages.{number}"
        before = number_of_points(config, stages[: number - 1])
        if before is not None:
            check_counts(root.value["stages"].value, number, before, mistakes)
        try:
            config = with_values(config, stage.values)
        except InputError as error:
            for text in str(error).splitlines():
                mistakes.add(place, path, text)
            return


def _wrong(root: Item, sections: Mapping[str, Mapping[str, Any]], space: Space | None) -> set[str]:
    """The fields and parameters whose values are not what the user wrote."""
    wrong = {"name"} - sections["data"].keys()
    for section, found in sections.items():
        written, fields = _section(root, section).value, _model(section).model_fields
        read = written.keys() & fields if isinstance(written, dict) else fields.keys()
        wrong |= read - found.keys()
    parameters = _section(root, "space").value
    return wrong | (set(parameters if isinstance(parameters, dict) else ()) - set(space or ()))


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
    return found


def _check_required(root: Item, mistakes: Mistakes) -> None:
    data = _section(root, "data")
    if (
        isinstance(data.value, dict)
        and "name" not in data.value
        and not meant(root, "name", "data")
    ):
        text = "is missing. Write data: {name: digits}, or another of `cnnsearch choices`."
        mistakes.add(data.place, "data.name", text)


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
    if "stages" in root.value:
        mistakes.add(place, "", "each stage has its own trials. Change them in the file.")
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
        root = with_settings(read_file(Path(path)), sets, Mistakes(file))
    except Mistake:
        return message
    return "\n".join(_placed_line(root, file, line) for line in message.splitlines())


def _placed_line(root: Item, file: str, line: str) -> str:
    name = line.partition(":")[0]
    section, _, field = name.rpartition(".")
    if name not in _TOP and OWNER.get(field) != section and section != "space":
        return line
    item = root.value.get(section or field)
    if section and item is not None and isinstance(item.value, dict):
        item = item.value.get(field, item)
    if item is not None and item.place.option:
        return f"{item.place.option}: {line}"
    return f"{file}:{item.place.line}: {line}" if item is not None else f"{file}: {line}"
