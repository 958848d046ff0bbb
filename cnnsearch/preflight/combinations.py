"""The combinations of init, activation and batch norm in a space, and words for some of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations as tuples

from cnnsearch.config import Config
from cnnsearch.config.reachable import combinations as reachable
from cnnsearch.config.reachable import sample
from cnnsearch.config.sections import Model
from cnnsearch.records import Params, Value
from cnnsearch.render.text import value_text
from cnnsearch.space import Choice, Parameter, Range, Space, active

FIELDS = ("init", "activation", "batchnorm")
"""What decides how a network of given sizes begins."""
MOST = 12
"""Of many combinations so many are looked at."""
_RATES = 3
_NAMED = 2
# What else decides what an untrained network shows.
_STRUCTURE = {*Model.model_fields, "preprocess"} - {*FIELDS, "dropout"}


@dataclass(frozen=True)
class Combination:
    """An init scheme, an activation and batch norm or none.

    Args:
        params: those of the three that are searched.
        config: a single run with them, everything else that is searched at its first value or in
            the middle of its range.
        rates: learning rates of the space, the middle one first.
        held: of its searched structure (layers, filters, preprocessing) what it has.
        ends: the same run with the shallowest and with the deepest structure of the space, as far
            as they differ from `config`: what holds for all of them holds for the combination.
    """

    params: Params
    config: Config
    rates: tuple[float, ...]
    held: Params
    ends: tuple[Config, ...]


def combinations(config: Config, fields: Sequence[str] = FIELDS) -> list[Combination]:
    """All that the space can bring together; of a single run the one that it is.

    Args:
        fields: of `model` and `train`, those whose values are to be combined.
    """
    space = config.space or {}
    found: dict[tuple[Value, ...], Combination] = {}
    for chosen in reachable(space, fields):
        params = _completed(space, chosen)
        run = config.at(params, config.seed)
        values = {name: _value(run, name) for name in fields}
        key = tuple(values.values())
        if key not in found:
            found[key] = Combination(
                {name: value for name, value in values.items() if name in space},
                run,
                learning_rates(space, params, run),
                {name: value for name, value in params.items() if name in _STRUCTURE},
                _ends(config, chosen, run),
            )
    return list(found.values())


def _value(run: Config, name: str) -> Value:
    found: Value = getattr(run.model if name in Model.model_fields else run.train, name)
    return found


def _ends(config: Config, chosen: Params, run: Config) -> tuple[Config, ...]:
    """A run with the shallowest and one with the deepest structure, where they are others."""
    found: list[Config] = []
    for pick in (_shallowest, _deepest):
        other = config.at(_completed(config.space or {}, chosen, pick), config.seed)
        there = [(one.model, one.data) for one in (run, *found)]
        if (other.model, other.data) not in there:
            found.append(other)
    return tuple(found)


def _first(parameter: Parameter) -> Value:
    return sample(parameter)[0] if isinstance(parameter, Choice) else parameter.at(0.5)


def _shallowest(parameter: Parameter) -> Value:
    """The shortest list of layers; of anything else the first value."""
    return min(sample(parameter), key=_length)


def _deepest(parameter: Parameter) -> Value:
    """The longest list of layers; of anything else the last value."""
    return max(reversed(sample(parameter)), key=_length)


def _length(value: Value) -> int:
    return len(value) if isinstance(value, list) else 0


def among(config: Config, params: Params) -> Params:
    """The combination of a search's point; fixed values where a parameter is inactive."""
    space = config.space or {}
    fixed = {name: getattr(config.model, name) for name in FIELDS if name in space}
    return {name: params.get(name, value) for name, value in fixed.items()}


def spread(found: Sequence[Combination], most: int = MOST) -> list[Combination]:
    """At most so many of them: every choice as long as there is room, then as many pairs of choices
    as can be had. The same ones each time.
    """
    left, taken = list(found), list[Combination]()
    seen: dict[frozenset[tuple[str, Value]], int] = {}

    def news(combination: Combination) -> tuple[float, float]:
        """How much of it is new: choices, seldom seen ones first; then pairs."""
        ones, twos = (
            sum(1 / (1 + seen.get(part, 0) ** 2) for part in _parts(combination, size))
            for size in (1, 2)
        )
        unseen = sum(part not in seen for part in _parts(combination, 1))
        return unseen, ones + twos

    while left and len(taken) < most:
        best = max(left, key=news)  # of equals the first
        left.remove(best)
        taken.append(best)
        for size in (1, 2):
            for part in _parts(best, size):
                seen[part] = seen.get(part, 0) + 1
    return [combination for combination in found if combination in taken]


def _parts(combination: Combination, size: int) -> Iterator[frozenset[tuple[str, Value]]]:
    yield from map(frozenset, tuples(combination.params.items(), size))


def described(
    affected: Sequence[Params], looked_at: Sequence[Params], every: Sequence[Params]
) -> list[Params]:
    """The choices that `affected` have in common, as few as say it: [{}] where it is all of them.

    A choice, or a pair of choices, stands for its combinations if all that were looked at are
    affected, and there is more than one of them or no other in the space.

    Args:
        affected: combinations, some of those looked at.
        every: all of the space.
    """
    told: list[Params] = []
    names = list(dict.fromkeys(name for params in every for name in params))
    for size in range(len(names) + 1):
        for chosen in tuples(names, size):
            for params in affected:
                if any(matches(params, choice) for choice in told):
                    continue
                choice = {name: params[name] for name in chosen if name in params}
                seen = [other for other in looked_at if matches(other, choice)]
                there = sum(matches(other, choice) for other in every)
                if all(other in affected for other in seen) and (len(seen) > 1 or there == 1):
                    told.append(choice)
    return [*told, *(p for p in affected if not any(matches(p, choice) for choice in told))]


def matches(params: Params, choice: Params) -> bool:
    """Whether a point or a combination is one of a choice's."""
    return all(name in params and params[name] == value for name, value in choice.items())


def words(choices: Sequence[Params]) -> str:
    """Choices as people say them: `init zeros; init normal:1.0, batchnorm false`."""
    texts = [", ".join(f"{name} {value_text(v)}" for name, v in c.items()) for c in choices]
    if texts in ([], [""]):
        return "every network"
    more = len(texts) - _NAMED
    return "; ".join(texts[:_NAMED]) + (f"; and {more} more" if more > 0 else "")


def learning_rates(space: Space, params: Params, run: Config) -> tuple[float, ...]:
    """Three learning rates spread over the space in log scale, the middle one first.

    All there are where there are fewer; the fixed one where lr is not searched.
    """
    parameter = space.get("lr")
    if parameter is None or not active(parameter, params):
        return (run.train.lr,)
    if isinstance(parameter, Range):
        even = Range(parameter.low, parameter.high, log=True)
        rates = [even.at((2 * i + 1) / (2 * _RATES)) for i in range(_RATES)]
    else:
        numbers = sorted(set(parameter.choices), key=_number)
        few = min(_RATES, len(numbers))
        rates = [numbers[len(numbers) * (2 * i + 1) // (2 * few)] for i in range(few)]
    middle = rates.pop(len(rates) // 2)
    return tuple(_number(rate) for rate in (middle, *rates))


def largest_decay(config: Config) -> float:
    """The config's weight decay, or the largest of its space; 1.0 where there is none."""
    parameter = (config.space or {}).get("weight_decay")
    if parameter is None:
        return config.train.weight_decay or 1.0
    if isinstance(parameter, Range):
        return parameter.high
    return max(map(_number, parameter.choices)) or 1.0


def _number(value: Value) -> float:
    assert isinstance(value, int | float)
    return float(value)


def _completed(
    space: Space, chosen: Mapping[str, Value], pick: Callable[[Parameter], Value] = _first
) -> dict[str, Value]:
    """A point with the chosen values; the rest at its first value or mid-range.

    Args:
        pick: the value of what belongs to the structure.
    """
    params: dict[str, Value] = {}
    for name, parameter in space.items():
        if name in chosen:
            params[name] = chosen[name]
        elif active(parameter, params):
            params[name] = pick(parameter) if name in _STRUCTURE else _first(parameter)
    return params


def count(points: Collection[Params], choices: Sequence[Params]) -> int:
    """How many points are among the choices."""
    return sum(any(matches(point, choice) for choice in choices) for point in points)
