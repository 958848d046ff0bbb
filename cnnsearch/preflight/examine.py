"""What would make every trial fail: a device, images or networks that do not fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain, islice

import torch

from cnnsearch import data, model, own, runner
from cnnsearch.config import Config, fitting, placed, structures
from cnnsearch.config.sections import Model
from cnnsearch.errors import InputError
from cnnsearch.render.text import value_text
from cnnsearch.space import Choice

# Of impossible networks so many are told.
_MOST_TOLD = 20


@dataclass(frozen=True)
class Preflight:
    """What was found: the device, and the images."""

    device: torch.device
    images: data.Images


def examine(
    config: Config, say: Callable[[str], None], file: str, sets: Sequence[str] = ()
) -> Preflight:
    """Find what would make trials fail, before the first one.

    Args:
        say: gets what the user should know meanwhile, such as images that cannot be read.
        file: where the config was read, to place mistakes in it; likewise `sets`.

    Raises:
        InputError: with one line for each mistake.
    """
    try:
        return _examine(config, say)
    except InputError as error:
        raise type(error)(placed(file, sets, str(error))) from error


def _examine(config: Config, say: Callable[[str], None]) -> Preflight:
    device = runner.resolve_device(config.device)
    _check_files(config)
    images = data.load(config.data, say)
    data.check_split(images, config.data)
    classes = len(images.classes)
    _check_own(config)
    candidates = list(chain(fitting(config), structures(config)))
    wrong = (
        f"model: {network_title([section], candidates)}: {error}"
        for section in candidates
        if (error := model.fits(section, images.shape, classes)) is not None
    )
    if told := list(dict.fromkeys(islice(wrong, _MOST_TOLD))):
        raise InputError("\n".join(told))
    return Preflight(device, images)


def _check_files(config: Config) -> None:
    """Refuse files of the user's own that cannot be read.

    Raises:
        InputError: with one line for each name.
    """
    space = config.space or {}
    named: dict[str, Sequence[object]] = {"data.name": [config.data.name]}
    for field in ("module", "activation", "init"):
        if field not in space:
            named[f"model.{field}"] = [getattr(config.model, field)]
        elif isinstance(parameter := space[field], Choice):
            named[f"space.{field}"] = parameter.choices
    told = []
    for place, names in named.items():
        for name in names:
            try:
                own.digests([name] if isinstance(name, str) else [])
            except InputError as error:
                told.append(f"{place}: {error}")
    if told:
        raise InputError("\n".join(told))


def _check_own(config: Config) -> None:
    """Refuse what is searched and a network of the user's own does not take.

    Raises:
        InputError: its file cannot be executed, or it does not take it.
    """
    space = config.space or {}
    modules = [config.model.module]
    if "module" in space:
        modules = [section.module for section in structures(config)]
    for module in dict.fromkeys(name for name in modules if name is not None):
        section = config.model.model_copy(update={"module": module})
        try:
            taken = [*model.own.taken(section), "module", "init"]
        except InputError as error:
            place = "space.module" if "module" in space else "model.module"
            raise InputError(f"{place}: {error}") from error
        for name in space:
            if name in Model.model_fields and name not in taken:
                raise InputError(
                    f"space.{name}: {module} takes no {name}. Give it such a parameter, or delete "
                    "the line."
                )


def network_title(sections: Sequence[Model], among: Sequence[Model]) -> str:
    """The fields in which networks differ from the others of their space."""
    parts = []
    for name in Model.model_fields:
        everywhere = {value_text(getattr(other, name)) for other in among}
        here = dict.fromkeys(value_text(getattr(section, name)) for section in sections)
        if len(everywhere) > 1:
            parts.append(f"{name} {' | '.join(here)}")
    return ", ".join(parts) or "the network"
