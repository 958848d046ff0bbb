"""Spaces and their points: pure functions of (space, seed, k)."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections import Counter
from itertools import product

import pytest

from cnnsearch.records import Value
from cnnsearch.space import (
    Choice,
    Condition,
    Grid,
    Range,
    Space,
    active,
    point_key,
    random_point,
    trial_seed,
    unit,
)

LR = Range(1e-5, 1.0, log=True, points=6)
SPACE: Space = {
    "optimizer": Choice(("sgd", "adam")),
    "lr": LR,
    "momentum": Choice((0.0, 0.5, 0.9), (Condition("optimizer", ("sgd",)),)),
    "nesterov": Choice((True, False), (Condition("momentum", (0.5, 0.9)),)),
    "conv": Choice(([16], [16, 32])),
}
RANGES = [
    LR,
    Range(0.0, 0.5),
    Range(0.0, 0.3, step=0.1, points=4),
    Range(0.05, 0.95, step=0.3),
    Range(1, 64, log=True, integer=True, points=5),
    Range(16, 128, step=16, integer=True),
    Range(0, 3, integer=True),
    Range(0.1234567890123456, 0.6543210987654321, points=3),
    Range(2.2250738585072014e-308, sys.float_info.max, log=True, points=3),
]
KNOWN: list[dict[str, Value]] = [
    {"lr": 0.1422638473178383, "a": "y"},
    {"lr": 7.20271655573831e-05, "a": "y"},
]
KNOWN_SEEDS = (3327490024, 3871755391)
US = [0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0 - 2.0**-53]


def ids(parameter: Range) -> str:
    return f"{parameter.low:g}-{parameter.high:g}"


@pytest.mark.parametrize("parameter", RANGES, ids=ids)
def test_draws_stay_in_the_range_and_rise(parameter: Range) -> None:
    values = [parameter.at(u) for u in US]
    assert values == sorted(values)  # type: ignore[type-var]  # numbers only
    for value in values:
        assert isinstance(value, int | float)
        assert parameter.low <= value <= parameter.high
        assert isinstance(value, int) is parameter.integer
        if parameter.step is not None:
            steps = (value - parameter.low) / parameter.step
            assert abs(steps - round(steps)) < 1e-9


@pytest.mark.parametrize(
    "parameter", [p for p in RANGES if p.points or p.step or p.integer], ids=ids
)
def test_grid_values_stay_in_the_range(parameter: Range) -> None:
    values = parameter.grid()
    assert values[0] == parameter.low
    assert len(set(values)) == len(values) <= parameter.grid_size()
    assert all(parameter.low <= v <= parameter.high for v in values)  # type: ignore[operator]
    if parameter.step is None:
        assert values[-1] == parameter.high


@pytest.mark.parametrize(
    ("parameter", "values"),
    [
        (LR, (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)),
        (Range(0.0, 1.0, points=3), (0.0, 0.5, 1.0)),
        (Range(0.0, 0.3, step=0.1), (0.0, 0.1, 0.2, 0.3)),
        (Range(0.0, 0.3, step=0.1, points=2), (0.0, 0.3)),
        (Range(0.0, 0.35, step=0.1, points=9), (0.0, 0.1, 0.2, 0.3)),
        (Range(0.0, 0.38, step=0.1, points=2), (0.0, 0.3)),
        (Range(1, 5, integer=True), (1, 2, 3, 4, 5)),
        (Range(1, 100, log=True, integer=True, points=3), (1, 10, 100)),
        (Range(1, 3, integer=True, points=9), (1, 2, 3)),
        (Range(16, 50, step=16, integer=True), (16, 32, 48)),
        (Choice(("a", "b")), ("a", "b")),
    ],
)
def test_grid_values(parameter: Range | Choice, values: tuple[Value, ...]) -> None:
    assert parameter.grid() == values
    assert [type(value) for value in parameter.grid()] == [type(value) for value in values]


def test_the_ends_of_a_range_of_integers_are_as_likely_as_the_rest() -> None:
    counts = Counter(Range(1, 4, integer=True).at(unit(0, k, "x")) for k in range(4000))
    assert set(counts) == {1, 2, 3, 4}
    assert all(abs(count - 1000) < 150 for count in counts.values())


def test_a_log_range_is_even_on_its_axis() -> None:
    decades = Counter(
        math.floor(math.log10(float(str(LR.at(unit(1, k, "lr")))))) for k in range(5000)
    )
    assert set(decades) == {-5, -4, -3, -2, -1}
    assert all(abs(count - 1000) < 150 for count in decades.values())


def test_choices_are_equally_likely() -> None:
    counts = Counter(random_point(SPACE, 3, k)["optimizer"] for k in range(2000))
    assert abs(counts["sgd"] - 1000) < 130


def test_a_point_depends_on_space_seed_and_k_alone() -> None:
    points = [random_point(SPACE, 0, k) for k in range(50)]
    assert points == [random_point(SPACE, 0, k) for k in range(50)]
    assert random_point(SPACE, 0, 49) == points[49]
    assert len({point_key(point) for point in points}) == 50
    assert points[0] != random_point(SPACE, 1, 0)


def test_another_parameter_moves_no_draw() -> None:
    for k in range(20):
        assert random_point({"lr": LR}, 0, k)["lr"] == random_point(SPACE, 0, k)["lr"]


def test_known_draws() -> None:
    """The points of a seed are a promise: a stored study goes on with them."""
    assert random_point({"lr": LR, "a": Choice(("x", "y", "z"))}, 0, 0) == KNOWN[0]
    assert random_point({"lr": LR, "a": Choice(("x", "y", "z"))}, 7, 123) == KNOWN[1]
    assert (trial_seed(0, 0), trial_seed(7, '{"lr": 0.1}')) == KNOWN_SEEDS


def test_draws_do_not_depend_on_the_process() -> None:
    code = (
        "from cnnsearch.space import *\n"
        "import json\n"
        "print(json.dumps([random_point({'lr': Range(1e-5, 1.0, log=True)}, 4, k) "
        "for k in range(3)]))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    assert json.loads(told) == [random_point({"lr": LR}, 4, k) for k in range(3)]


def test_inactive_parameters_are_absent() -> None:
    for k in range(200):
        point = random_point(SPACE, 0, k)
        assert ("momentum" in point) is (point["optimizer"] == "sgd")
        assert ("nesterov" in point) is (point.get("momentum") in (0.5, 0.9))


def test_true_is_not_1() -> None:
    condition = Choice(("a",), (Condition("x", (True,)),))
    assert active(condition, {"x": True})
    assert not active(condition, {"x": 1})
    assert not active(condition, {})


def test_lists_can_be_conditions() -> None:
    condition = Choice(("a",), (Condition("conv", ([16], [32])),))
    assert active(condition, {"conv": [16]})
    assert not active(condition, {"conv": [16, 32]})


def brute_force(space: Space) -> set[str]:
    """Every point of a grid, the slow way."""
    found = set()
    for values in product(*(parameter.grid() for parameter in space.values())):
        params: dict[str, Value] = {}
        for (name, parameter), value in zip(space.items(), values, strict=True):
            if active(parameter, params):
                params[name] = value
        found.add(point_key(params))
    return found


CONDITIONAL: Space = {
    "a": Choice((1, 2, 3)),
    "b": Choice(("x", "y"), (Condition("a", (1, 2)),)),
    "c": Choice((True, False), (Condition("b", ("x",)), Condition("a", (2,)))),
    "d": Choice((0.5,)),
    "e": Choice((1, 2, 3, 4), (Condition("c", (True,)),)),
}


@pytest.mark.parametrize(
    "space", [SPACE, CONDITIONAL, {"lr": LR}, {"a": Choice((1,))}], ids=["1", "2", "3", "4"]
)
def test_a_grid_is_the_product_each_point_once(space: Space) -> None:
    grid = Grid(space)
    points = [grid[place] for place in range(len(grid))]
    keys = [point_key(point) for point in points]
    assert len(set(keys)) == len(keys) == grid.size
    assert set(keys) == brute_force(space)
    assert all(list(point) == [name for name in space if name in point] for point in points)


@pytest.mark.parametrize("place", [-1, 60, 10**9])
def test_places_outside_a_grid(place: int) -> None:
    grid = Grid({"lr": LR, "a": Choice(tuple(range(10)))})
    with pytest.raises(IndexError):
        grid[place]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 16, 17, 100, 1000])
def test_shuffled_holds_every_place_once(size: int) -> None:
    grid = Grid(
        {"epochs": Range(1, size + 1, integer=True, step=1)} if size > 1 else {"a": Choice((1,))}
    )
    places = list(grid.shuffled(0))
    assert sorted(places) == list(range(len(grid)))
    assert places == list(grid.shuffled(0))


def test_shuffled_depends_on_the_seed_and_is_no_counting() -> None:
    grid = Grid({"a": Choice(tuple(range(100))), "b": Choice(tuple(range(10)))})
    first, second = list(grid.shuffled(0)), list(grid.shuffled(1))
    assert first != second
    assert first != sorted(first)
    # The first tenth comes from all over the grid.
    assert len({place // 100 for place in first[:100]}) == 10


def test_a_huge_grid_costs_nothing() -> None:
    space: Space = {f"p{i}": Choice(tuple(range(100))) for i in range(20)}
    grid = Grid(space)
    assert grid.size == 100**20
    place = next(grid.shuffled(0))
    assert len(grid[place]) == 20


def test_point_keys_do_not_depend_on_the_order() -> None:
    assert point_key({"a": 1, "b": [1]}) == point_key({"b": [1], "a": 1})
    assert point_key({"a": 1}) != point_key({"a": True}) != point_key({"a": 1.0})


def test_trial_seeds_differ() -> None:
    seeds = {trial_seed(s, k) for s in range(10) for k in range(100)}
    assert len(seeds) == 1000
    assert all(0 <= seed < 2**32 for seed in seeds)
