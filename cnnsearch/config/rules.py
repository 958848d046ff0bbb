"""What several fields of a config say together."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import islice
from typing import Any

from cnnsearch import catalog
from cnnsearch.config.config import Config
from cnnsearch.config.document import Item
from cnnsearch.config.fields import OWNER, path_of
from cnnsearch.config.mistakes import Mistakes, Place, inline
from cnnsearch.config.reachable import combinations
from cnnsearch.records import Value
from cnnsearch.space import Grid, Parameter, Range

MAX_POINTS = 10_000
_MAX_SHUFFLED = 10**18  # Python's len() ends at 2^63
_MEETINGS = 20_000  # combinations of values that a rule looks at


def check_rules(root: Item, config: Config, mistakes: Mistakes) -> None:
    """Look at a config whose every field fits by itself."""
    _check_images(root, config, mistakes)
    _check_batchnorm(root, config, mistakes)
    _check_warmup(root, config, mistakes)
    if config.space is not None and config.search is not None:
        if catalog.SAMPLERS[config.search.sampler].finite:
            _check_grid(root, config, mistakes)
        elif config.search.trials is None:
            text = "is missing. Write search: {trials: 20}, or give -n 20."
            section = root.value.get("search", root.value["space"])
            mistakes.add(section.place, "search.trials", text)


def overridden(root: Item, config: Config) -> Iterator[tuple[int, str]]:
    """(line, note) of every fixed value in the file that a parameter of the space overrides."""
    for name, parameter in (config.space or {}).items():
        section = root.value.get(OWNER[name])
        if section is None or section.value is None or name not in section.value:
            continue
        line, value = section.value[name].place.line, section.value[name].plain()
        where = " where it is active" if parameter.when else ""
        text = f"{path_of(name)}: space.{name} overrides the fixed {inline(value)}{where}."
        yield line, text


def _check_images(root: Item, config: Config, mistakes: Mistakes) -> None:
    row = catalog.DATASETS[config.data.name]
    for name in ("size", "channels"):
        if row.shape is not None and getattr(config.data, name) is not None:
            text = f"the images of {row.name} have their own. Delete the line."
            mistakes.add(_place(root, name), f"data.{name}", text)


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


def _check_grid(root: Item, config: Config, mistakes: Mistakes) -> None:
    assert config.space is not None
    assert config.search is not None
    before = len(mistakes.found)
    for name, parameter in config.space.items():
        text = _axis_mistake(parameter)
        if text:
            mistakes.add(_place(root, name), f"space.{name}", text)
    if len(mistakes.found) > before:
        return
    parents = {c.parent for parameter in config.space.values() for c in parameter.when}
    if math.prod(config.space[name].grid_size() for name in parents) > MAX_POINTS:
        text = f"conditions on more than {MAX_POINTS:,} combinations. Give fewer values."
        mistakes.add(root.value["space"].place, "space", text)
        return
    size = Grid(config.space).size
    if size > _MAX_SHUFFLED:
        text = f"a grid of {size:.0e} points. Write fewer values, or sampler: random."
        mistakes.add(root.value["space"].place, "space", text)
    elif size > MAX_POINTS and config.search.trials is None:
        text = f"a grid of {size:,} points. Give -n to run some of them, or fewer values."
        mistakes.add(root.value["space"].place, "space", text)


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
