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
    groups: list[Collection[str]] = [_FITTING + _SIZING]
    if len(list(islice(combinations(space, groups[0]), _MAX_MODELS + 1))) > _MAX_MODELS:
        groups = [[field] for field in _SIZING] + [_FITTING]
    found: dict[str, Model] = {}
    for group in groups:
        for params in islice(combinations(space, group), _MAX_MODELS):
            model = config.model.model_copy(
                update={name: value for name, value in params.items() if name in group}
            )
            found.setdefault(repr(model), model)
    return list(found.values())


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
