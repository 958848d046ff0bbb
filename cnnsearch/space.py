"""Search spaces and their points.

Point k is a pure function of (space, seed, k): it does not depend on the trials before it, on the
number of workers or on interruptions. Everything random here is a hash of what it depends on, so
that no generator's state has to be kept and every platform draws the same.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from cnnsearch.records import Params, Value


@dataclass(frozen=True, slots=True)
class Condition:
    """The parameter it belongs to is active where `parent` is active and has one of `values`."""

    parent: str
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Range:
    """Numbers from `low` to `high`, both included.

    Args:
        log: draw evenly on a logarithmic axis.
        step: only `low + i * step`.
        points: how many values of it a grid takes.
        integer: whole numbers only; follows from the field.
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None
    points: int | None = None
    integer: bool = False
    when: tuple[Condition, ...] = ()

    def at(self, u: float) -> Value:
        """The value at `u` in [0, 1), even in the range's own scale."""
        if self.step is not None:
            count = self._steps(self.step)
            return self._number(self.low + min(int(u * count), count - 1) * self.step)
        if self.integer:
            # Half a unit beyond each end, so that the ends are as likely as the rest.
            low, high = self.low - 0.5, self.high + 0.5
            value = _log_between(low, high, u) if self.log else _between(low, high, u)
            return int(min(max(round(value), self.low), self.high))
        return self._scaled(u)

    def grid_size(self) -> int:
        """How many values `grid` gives, or a few more where rounding makes some equal."""
        if self.points is not None:
            return self.points
        assert self.step is not None or self.integer, "config checks this"
        return self._steps(self.step or 1)

    def grid(self) -> tuple[Value, ...]:
        """`points` values from low to high, even in the range's own scale.

        A range with a step and no `points` takes every step; equal values are taken once.
        """
        if self.points is None:
            step = self.step or 1
            return tuple(self._number(self.low + i * step) for i in range(self.grid_size()))
        values: dict[Value, None] = {}
        for i in range(self.points):
            values.setdefault(self._on_step(self._scaled(i / max(self.points - 1, 1))))
        return tuple(values)

    def _scaled(self, u: float) -> float:
        if u == 0.0 or self.low == self.high:
            return self.low
        if u == 1.0:
            return self.high
        value = (_log_between if self.log else _between)(self.low, self.high, u)
        return min(max(value, self.low), self.high)

    def _steps(self, step: float) -> int:
        # 0.3 is three steps of 0.1, though 0.3 / 0.1 is a little less than 3.
        return math.floor((self.high - self.low) / step + 1e-9) + 1

    def _on_step(self, value: float) -> Value:
        if self.step is not None:
            # The last step may end below `high`.
            i = min(round((value - self.low) / self.step), self._steps(self.step) - 1)
            value = self.low + i * self.step
        return self._number(value)

    def _number(self, value: float) -> Value:
        if self.integer:
            return round(value)
        if value in (self.low, self.high):
            return value
        # 12 digits: 1e-05 instead of 1.0000000000000003e-05, in listings and exported files.
        return min(max(float(f"{value:.12g}"), self.low), self.high)


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a list of values."""

    choices: tuple[Value, ...]
    when: tuple[Condition, ...] = ()

    def at(self, u: float) -> Value:
        """The value at `u` in [0, 1)."""
        return self.choices[min(int(u * len(self.choices)), len(self.choices) - 1)]

    def grid(self) -> tuple[Value, ...]:
        """All values."""
        return self.choices

    def grid_size(self) -> int:
        """How many values there are."""
        return len(self.choices)


Parameter = Range | Choice
Space = Mapping[str, Parameter]


def active(parameter: Parameter, params: Params) -> bool:
    """Whether a parameter is active beside the ones chosen before it."""
    return all(
        condition.parent in params and _among(params[condition.parent], condition.values)
        for condition in parameter.when
    )


def _among(value: Value, values: tuple[Value, ...]) -> bool:
    # Python's `in` takes True for 1.
    return any(type(value) is type(other) and value == other for other in values)


def random_point(space: Space, seed: int, k: int) -> dict[str, Value]:
    """Draw point `k`: each parameter from a hash of (seed, k, its name)."""
    params: dict[str, Value] = {}
    for name, parameter in space.items():
        if active(parameter, params):
            params[name] = parameter.at(unit(seed, k, name))
    return params


def point_key(params: Params) -> str:
    """The identity of a grid point: its parameters, whatever their order."""
    return json.dumps(dict(params), sort_keys=True, allow_nan=False)


def trial_seed(study_seed: int, identity: int | str) -> int:
    """Seed of the trial at a point, below 2^32.

    Args:
        identity: the point's index for random and tpe, its key for a grid.
    """
    return _hash("trial", study_seed, identity) >> 32


def repeat_seed(study_seed: int, number: int) -> int:
    """Seed of the repeats with seed `number`, from 1: the same for all finalists, new to each."""
    return trial_seed(study_seed, f"repeat {number}")


@dataclass(frozen=True)
class Grid:
    """The product of a space's values; points that differ only in inactive parameters are one."""

    space: Space

    @cached_property
    def _blocks(self) -> list[tuple[dict[str, Value], list[tuple[str, tuple[Value, ...]]], int]]:
        """One block for each combination of parents: (parents, free axes with values, size).

        Only the parents of conditions are enumerated, so that a large product costs nothing.
        """
        parents = {c.parent for parameter in self.space.values() for c in parameter.when}
        # Once, not once a block: 7,000 blocks of an axis of 10,000 values took 200 s.
        free = {name: one.grid() for name, one in self.space.items() if name not in parents}
        blocks = []
        for chosen in self._combinations(parents):
            axes = [
                (name, values) for name, values in free.items() if active(self.space[name], chosen)
            ]
            blocks.append((chosen, axes, math.prod(len(values) for _, values in axes)))
        return blocks

    def _combinations(self, parents: set[str]) -> list[dict[str, Value]]:
        chosen: list[dict[str, Value]] = [{}]
        for name, parameter in self.space.items():
            if name in parents:
                chosen = [
                    {**params, name: value} if inside else params
                    for params in chosen
                    for inside in [active(parameter, params)]
                    for value in (parameter.grid() if inside else (None,))
                ]
        return chosen

    @property
    def size(self) -> int:
        """Number of points, also above 2^63, where `len` ends."""
        return sum(size for _, _, size in self._blocks)

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, place: int) -> dict[str, Value]:
        if place < 0:
            raise IndexError(place)
        for chosen, axes, size in self._blocks:
            if place < size:
                params = dict(chosen)
                for name, values in reversed(axes):
                    place, i = divmod(place, len(values))
                    params[name] = values[i]
                return {name: params[name] for name in self.space if name in params}
            place -= size
        raise IndexError(place)

    def shuffled(self, seed: int) -> Iterator[int]:
        """All places in an order given by the seed, without holding them."""
        yield from _permutation(self.size, seed)


def _permutation(n: int, seed: int) -> Iterator[int]:
    """0..n-1 in a random order: a Feistel network over the next power of 4, walked to below n."""
    half = max(1, (max(n - 1, 1).bit_length() + 1) // 2)
    mask = (1 << half) - 1
    for i in range(n):
        place = i
        while True:
            left, right = place >> half, place & mask
            for turn in range(4):
                left, right = right, left ^ (_hash("grid", seed, turn, right) & mask)
            place = left << half | right
            if place < n:
                break
        yield place


def unit(*parts: int | str) -> float:
    """A number in [0, 1) that depends on `parts` alone."""
    return (_hash(*parts) >> 11) * 2.0**-53


def _hash(*parts: int | str) -> int:
    text = json.dumps(parts, separators=(",", ":"))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def _between(low: float, high: float, u: float) -> float:
    return low + (high - low) * u


def _log_between(low: float, high: float, u: float) -> float:
    # The minimum is for the largest of floats: a last digit more would overflow.
    return math.exp(min(_between(math.log(low), math.log(high), u), math.log(high)))
