"""Which values of several parameters a space can bring together."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import islice

from cnnsearch.config.config import Config
from cnnsearch.config.sections import Model
from cnnsearch.records import Value
from cnnsearch.space import Choice, Parameter, Range, Space, active

_LISTED = 64  # whole numbers of a range that are looked at one by one
_MAX_MODELS = 2_000
# What decides whether the images still fit through the conv layers.
_FITTING = ("conv", "kernel", "stride", "padding", "pool", "pool_size")
# What else changes the sizes of the weights.
_SIZING = ("hidden", "activation", "batchnorm", "batchnorm_at")


def structures(config: Config) -> list[Model]:
    """Every distinct network, as far as shapes go, that the space can produce.

    A range of more than 64 whole numbers stands for its ends and its middle. Where there are more
    than 2,000 networks, the fields that cannot make a shape impossible (hidden layers, activation,
    batch norm) are varied one at a time; above that, the first 2,000 are given.
    """
    space = config.space or {}
    names = _FITTING + _SIZING
    spaces = [space]
    if len(list(islice(combinations(space, names), _MAX_MODELS + 1))) > _MAX_MODELS:
        spaces = [_held(space, varied) for varied in [_FITTING, *([name] for name in _SIZING)]]
    found: dict[str, Model] = {}
    for reduced in spaces:
        for params in islice(combinations(reduced, names), _MAX_MODELS):
            model = config.model.model_copy(
                update={name: value for name, value in params.items() if name in names}
            )
            found.setdefault(repr(model), model)
    return list(found.values())


def _held(space: Space, varied: Collection[str]) -> Space:
    """The space with every parameter but those, and what they depend on, at its first value."""
    kept = _with_parents(space, varied)
    return {
        name: parameter if name in kept else Choice((sample(parameter)[0],), parameter.when)
        for name, parameter in space.items()
    }


def combinations(space: Space, names: Collection[str]) -> Iterator[dict[str, Value]]:
    """The ways the parameters `names` can meet, with the parents of their conditions.

    An inactive parameter is absent. Long ranges stand for their ends and their middle.
    """
    wanted = _with_parents(space, names)
    return _extended({}, [(name, space[name]) for name in space if name in wanted])


def sample(parameter: Parameter) -> list[Value]:
    """All values of a choice or a short range, else its ends and its middle."""
    if isinstance(parameter, Choice):
        return list(parameter.choices)
    if parameter.integer and parameter.high - parameter.low < _LISTED:
        step = parameter.step or 1
        return [int(v) for v in range(int(parameter.low), int(parameter.high) + 1, int(step))]
    values = [parameter.at(0.0), parameter.at(0.5), _last(parameter)]
    return list(dict.fromkeys(values))


def _last(parameter: Range) -> Value:
    return parameter.at(1.0 - 2.0**-53) if parameter.step or parameter.integer else parameter.high


def _with_parents(space: Space, names: Collection[str]) -> set[str]:
    wanted = {name for name in names if name in space}
    while True:
        parents = {c.parent for name in wanted for c in space[name].when}
        if parents <= wanted:
            return wanted
        wanted |= parents


def _extended(
    params: Mapping[str, Value], rest: list[tuple[str, Parameter]]
) -> Iterator[dict[str, Value]]:
    if not rest:
        yield dict(params)
        return
    (name, parameter), *after = rest
    if not active(parameter, params):
        yield from _extended(params, after)
        return
    for value in sample(parameter):
        yield from _extended({**params, name: value}, after)
