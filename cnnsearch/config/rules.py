"""What several fields of a config say together."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from cnnsearch import catalog
from cnnsearch.config.config import Config
from cnnsearch.config.document import Item
from cnnsearch.config.fields import OWNER, SECTIONS, path_of
from cnnsearch.config.mistakes import Mistakes, Place, inline, nearest
from cnnsearch.config.reachable import combinations
from cnnsearch.config.sections import OWN_INIT
from cnnsearch.own import is_own
from cnnsearch.records import Value
from cnnsearch.space import Grid, Parameter, Range, Space

MAX_POINTS = 10_000
_MAX_SHUFFLED = 10**18  # Python's len() ends at 2^63
_MEETINGS = 20_000  # combinations of values that a rule looks at


@dataclass(frozen=True, slots=True)
class Reading:
    """A config being read.

    Args:
        config: fields with mistakes have their defaults here, and parameters with mistakes are
            absent from its space.
        wrong: the names of those fields and parameters.
        any_size: a grid may have any number of points, since not all of them are run.
    """

    root: Item
    config: Config
    wrong: Collection[str]
    any_size: bool

    def knows(self, *names: str) -> bool:
        """Whether the values of these fields are what the user wrote."""
        return not any(name in self.wrong for name in names)


def check_rules(reading: Reading, mistakes: Mistakes) -> None:
    """Look at the fields that fit by themselves."""
    config = reading.config
    if reading.knows("name"):
        _check_images(reading, mistakes)
    if reading.knows("init", "module"):
        _check_own_init(reading.root, config, mistakes)
    if reading.knows("batchnorm", "batch_size"):
        _check_batchnorm(reading.root, config, mistakes)
    if reading.knows("warmup_epochs", "epochs"):
        _check_warmup(reading.root, config, mistakes)
    if config.space is None or config.search is None or not reading.knows("sampler"):
        return
    if catalog.SAMPLERS[config.search.sampler].finite:
        _check_grid(reading, mistakes)
    elif config.search.trials is None and reading.knows("trials"):
        _tell_trials(reading, mistakes)


def _tell_trials(reading: Reading, mistakes: Mistakes) -> None:
    root = reading.root
    stages_are_wrong = "stages" in root.value and not reading.config.stages
    if stages_are_wrong or meant(root, "trials", "search"):
        return
    text = "is missing. Write search: {trials: 20}, or give -n 20."
    section = root.value.get("search", root.value["space"])
    mistakes.add(section.place, "search.trials", text)


def meant(root: Item, name: str, section: str) -> bool:
    """Whether an unknown name probably stands for a field or its section: that is told already."""
    top = [key for key in root.value if key not in OWNER or OWNER[key]]
    known = (*SECTIONS, "space", "stages")
    if any(nearest(key, [name, section]) for key in top if key not in known):
        return True
    return any(
        nearest(key, [name]) is not None
        for title, fields in SECTIONS.items()
        if title in root.value and isinstance(root.value[title].value, dict)
        for key in root.value[title].value
        if key not in fields.model_fields
    )


def notes(root: Item, config: Config) -> Iterator[tuple[Place, str, str]]:
    """(place, path, text) of what is written without effect."""
    yield from _overridden(root, config)
    yield from _about_checkpoints(root, config)
    own_code = any(name != config.data.name for name in config.own_names())
    if own_code and config.fuse not in ("auto", False) and "fuse" in root.value:
        text = "has no effect: what has code of your own is trained alone."
        yield root.value["fuse"].place, "fuse", text
    if config.space is None and "fuse" in root.value:
        yield root.value["fuse"].place, "fuse", "is not used: a single run is trained alone."
    search = root.value.get("search")
    if config.search is None or search is None or not isinstance(search.value, dict):
        return
    if catalog.SAMPLERS[config.search.sampler].finite and "trials" in search.value:
        text = "search.trials is not used by a grid, which runs its whole product; -n limits it."
        yield search.value["trials"].place, "", text


def _about_checkpoints(root: Item, config: Config) -> Iterator[tuple[Place, str, str]]:
    if not config.checkpoint.keeps:
        return
    if config.search is None:
        text = "is not used by a single run, which keeps nothing on the disk."
        yield root.value["checkpoint"].place, "checkpoint", text
    elif config.fuse not in ("auto", False) and "fuse" in root.value:
        what = "checkpoints" if config.checkpoint.every is not None else "weights"
        text = f"has no effect beside checkpoint: trials that keep {what} are trained alone."
        yield root.value["fuse"].place, "fuse", text
    if config.search is not None and config.checkpoint.keep != "none" and config.data.folds > 1:
        text = "is not used: with folds a trial is several networks, of which none is kept."
        yield root.value["checkpoint"].place, "checkpoint.keep", text


def _overridden(root: Item, config: Config) -> Iterator[tuple[Place, str, str]]:
    """Every fixed value in the file that a parameter of the space overrides."""
    for name, parameter in (config.space or {}).items():
        section = root.value.get(OWNER[name])
        if section is None or section.value is None or name not in section.value:
            continue
        value = section.value[name].plain()
        where = " where it is active" if parameter.when else ""
        text = f"space.{name} overrides the fixed {inline(value)}{where}."
        yield section.value[name].place, path_of(name), text


def _check_images(reading: Reading, mistakes: Mistakes) -> None:
    row = catalog.DATASETS[reading.config.data.name]
    for name in ("size", "channels"):
        has_own = row.shape is not None or is_own(row.name)
        if has_own and getattr(reading.config.data, name) is not None:
            text = f"the images of {row.name} have their own. Delete the line."
            mistakes.add(_place(reading.root, name), f"data.{name}", text)


def _check_own_init(root: Item, config: Config, mistakes: Mistakes) -> None:
    for init, module in _met(config, "init", "module"):
        if init == OWN_INIT and module is None:
            text = "own is of a network of your own, in model.module. Write another scheme."
            mistakes.add(_place(root, "init"), _path(config, "init"), text)
            return


def _check_batchnorm(root: Item, config: Config, mistakes: Mistakes) -> None:
    for batchnorm, batch_size in _met(config, "batchnorm", "batch_size"):
        if batchnorm and batch_size == 1:
            text = (
                "batch norm needs at least 2 images a batch. Write 2 or more, or batchnorm: false."
            )
            mistakes.add(_place(root, "batch_size", "batchnorm"), _path(config, "batch_size"), text)
            return


def _check_warmup(root: Item, config: Config, mistakes: Mistakes) -> None:
    for warmup, epochs in _met(config, "warmup_epochs", "epochs"):
        assert isinstance(warmup, float)
        assert isinstance(epochs, int)
        if warmup >= epochs:
            text = f"a warm-up of {warmup:g} of {epochs} epochs. Write fewer than there are epochs."
            place = _place(root, "warmup_epochs", "epochs")
            mistakes.add(place, _path(config, "warmup_epochs"), text)
            return


def _met(config: Config, *names: str) -> Iterator[tuple[Value, ...]]:
    """The values of fields that a trial can have together."""
    fixed = {name: getattr(getattr(config, OWNER[name]), name) for name in names}
    for params in islice(combinations(config.space or {}, names), _MEETINGS):
        yield tuple({**fixed, **params}[name] for name in names)


def _check_grid(reading: Reading, mistakes: Mistakes) -> None:
    space = reading.config.space
    assert space is not None
    before = len(mistakes.found)
    for name, parameter in space.items():
        text = _axis_mistake(parameter)
        if text:
            mistakes.add(_place(reading.root, name), f"space.{name}", text)
    written = reading.root.value["space"]
    complete = isinstance(written.value, dict) and reading.knows(*written.value)
    if len(mistakes.found) > before or not complete:
        return
    text = _grid_mistake(space, reading.any_size)
    if text:
        mistakes.add(written.place, "space", text)


def _grid_mistake(space: Space, any_size: bool) -> str | None:
    parents = {c.parent for parameter in space.values() for c in parameter.when}
    if math.prod(space[name].grid_size() for name in parents) > MAX_POINTS:
        return f"conditions on more than {MAX_POINTS:,} combinations. Give fewer values."
    size = Grid(space).size
    if size > _MAX_SHUFFLED:
        return f"a grid of {size:.0e} points. Write fewer values, or sampler: random."
    if size > MAX_POINTS and not any_size:
        return f"a grid of {size:,} points. Give -n to run some of them, or fewer values."
    return None


def _axis_mistake(parameter: Parameter) -> str | None:
    if isinstance(parameter, Range):
        if parameter.points is None and parameter.step is None and not parameter.integer:
            return "a grid takes a range of numbers by points. Write points: 6, or a step."
        if parameter.grid_size() > MAX_POINTS:
            size = f"{parameter.grid_size():,}"
            return f"{size} values for a grid, {MAX_POINTS:,} at most. Write points: 6."
    return None


def _path(config: Config, name: str) -> str:
    return f"space.{name}" if name in (config.space or {}) else path_of(name)


def _place(root: Item, *names: str) -> Place:
    """Where the first of the fields stands that the user wrote; else the top of the file."""
    for name in names:
        for section in ("space", OWNER[name]):
            found: Any = root.value.get(section) if section else root
            if found is not None and isinstance(found.value, dict) and name in found.value:
                place = found.value[name].place
                assert isinstance(place, Place)
                return place
    return root.place
