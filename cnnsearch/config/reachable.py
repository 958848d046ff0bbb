"""Which values of several parameters a space can bring together."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from itertools import islice

from cnnsearch import catalog
from cnnsearch.config.config import Config
from cnnsearch.config.sections import Model
from cnnsearch.records import Value
from cnnsearch.space import Choice, Parameter, Range, Space, active

_LISTED = 64  # whole numbers of a range that are looked at one by one
_MAX_MODELS = 2_000
_MAX_OWN = 32
_MAX_COMBINATIONS = 100_000  # of which many may be the same network
_MAX_FITTING = 100_000  # about a second, with the arithmetic on each
# What decides whether the images still fit through the conv layers.
_FITTING = ("conv", "kernel", "stride", "padding", "pool", "pool_size")
# What else changes the sizes of the weights.
_SIZING = ("hidden", "activation", "batchnorm", "batchnorm_at", "module")


def fitting(config: Config) -> Iterator[Model]:
    """Networks among which there is one that is too small, if the space can produce any.

    Only what the conv layers do to the image is varied; searched hidden layers are left out. A
    range of more than 64 whole numbers stands for its ends and its middle. Where that would make
    more than 100,000 networks, ranges and lists of numbers stand for their ends. No such network is
    missed by this: an image never grows with the kernel, the stride and the pool, and never shrinks
    with the padding, so of all values an end is the worst.
    """
    if config.model.module is not None:
        return  # nothing is known of its sizes, see `structures`
    space = config.space or {}
    wanted = _with_parents(space, _FITTING)
    if math.prod(len(sample(space[name])) for name in wanted) > _MAX_FITTING:
        parents = {c.parent for parameter in space.values() for c in parameter.when}
        space = {
            name: parameter if name in parents else Choice(_ends(parameter), parameter.when)
            for name, parameter in space.items()
        }
    # A fixed `hidden` that the space overrides is no reason to refuse the space.
    model = config.model.model_copy(update={"hidden": []} if "hidden" in space else None)
    seen = set()
    for params in combinations(space, _FITTING):
        found = model.model_copy(update={k: v for k, v in params.items() if k in _FITTING})
        key = _conv_key(found)
        if key not in seen:
            seen.add(key)
            yield found


def structures(config: Config) -> list[Model]:
    """Every distinct network, as far as shapes and sizes go, that the space can produce.

    Activations that make the same layers are one: the first stands for the others. A range of more
    than 64 whole numbers stands for its ends and its middle. Where there are more than 2,000
    networks, the fields that cannot make a shape impossible (hidden layers, activation, batch norm)
    are varied one at a time; above that, the first 2,000 are given. Whether all of them fit is
    asked of `fitting`. Of networks of the user's own, which have to be built to be known, the first
    32.
    """
    space = config.space or {}
    if config.model.module is not None:
        return list(_distinct(config.model, space, _FITTING + _SIZING, _MAX_OWN).values())
    found = _distinct(config.model, space, _FITTING + _SIZING, _MAX_MODELS + 1)
    if len(found) <= _MAX_MODELS:
        return list(found.values())
    found = {}
    for varied in [_FITTING, *([name] for name in _SIZING)]:
        held = _held(space, varied)
        more = _distinct(config.model, held, _FITTING + _SIZING, _MAX_MODELS)
        found |= {key: model for key, model in more.items() if key not in found}
    return list(found.values())


def _distinct(
    model: Model, space: Space, names: Collection[str], most: int
) -> dict[tuple[object, ...], Model]:
    """Up to `most` networks of different sizes, each by its key; of equal ones the first."""
    found: dict[tuple[object, ...], Model] = {}
    for params in islice(combinations(space, names), _MAX_COMBINATIONS):
        made = model.model_copy(update={k: v for k, v in params.items() if k in names})
        found.setdefault(_size_key(made), made)
        if len(found) >= most:
            break
    return found


def _conv_key(model: Model) -> tuple[object, ...]:
    """What the conv layers of a network do to the image; fields without effect are left out."""
    if model.module is not None:
        return (model.module, repr(model.conv), model.kernel, model.stride, model.padding)
    if not model.conv:
        return ()
    pool = (model.pool, model.pool_size if model.pool != "none" else None)
    return (*model.conv, model.kernel, model.stride, model.padding, *pool)


def _size_key(model: Model) -> tuple[object, ...]:
    """What decides the sizes of a network's layers, and nothing else; of one's own, anything."""
    if model.module is not None:
        return tuple(map(repr, model.model_dump().items()))
    row = catalog.ACTIVATIONS[model.activation]
    # A monotone activation stands after the pool and has fewer values to keep.
    activation = (row.pieces, row.monotone, row.learned)
    norm = model.batchnorm_at if model.batchnorm else None
    return (_conv_key(model), tuple(model.hidden), activation, norm)


def _ends(parameter: Parameter) -> tuple[Value, ...]:
    """The ends of numbers; of anything else all values."""
    if isinstance(parameter, Range):
        return tuple(dict.fromkeys((parameter.at(0.0), _last(parameter))))
    numbers = [value for value in parameter.choices if type(value) is int]
    if len(numbers) < len(parameter.choices):
        return parameter.choices
    return tuple(dict.fromkeys((min(numbers), max(numbers))))


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
