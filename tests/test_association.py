"""Whether numbers are tied to hyperparameters: how often it is said, with and without reason."""

from __future__ import annotations

import random
from typing import Any

import pytest

from cnnsearch.review.association import p_values, ranks
from cnnsearch.space import Choice, Condition, Range, Space, random_point

SPACE: Space = {
    "lr": Range(1e-5, 1.0, log=True),
    "init": Choice(("zeros", "xavier", "he")),
    "conv": Choice(([8], [16, 32])),
    "batchnorm": Choice((True, False)),
    "dropout": Range(0.0, 0.5, when=(Condition("batchnorm", (False,)),)),
}
NAMES = list(SPACE)


def points(count: int, seed: int = 0) -> list[dict[str, Any]]:
    return [random_point(SPACE, seed, k) for k in range(count)]


def told(params: list[dict[str, Any]], numbers: list[float]) -> list[str]:
    found = p_values(params, numbers, NAMES)
    return [name for name, p in zip(NAMES, found, strict=True) if p < 0.05]


@pytest.mark.parametrize("binary", [False, True])
def test_nothing_is_told_of_noise_but_in_one_study_of_twenty(binary: bool) -> None:
    draws = random.Random(0)
    wrong = 0
    for seed in range(100):
        numbers = [draws.gauss(0, 1) for _ in range(30)]
        wrong += bool(
            told(points(30, seed), [float(n > 1) for n in numbers] if binary else numbers)
        )
    assert wrong <= 10


def test_what_decides_is_told() -> None:
    params, draws = points(40), random.Random(0)
    for name, values in {"init": ("zeros",), "conv": ([8],), "batchnorm": (True,)}.items():
        numbers = [float(one[name] in values) + draws.gauss(0, 0.5) for one in params]
        assert name in told(params, numbers)
    assert told(params, [-(abs(one["lr"] - 1e-3) ** 0.1) for one in params]) == ["lr"]


def test_a_parent_does_not_make_its_child_count() -> None:
    """dropout is active exactly where batchnorm is false, which decides."""
    params, draws = points(60), random.Random(0)
    numbers = [float(one["batchnorm"]) + draws.gauss(0, 0.3) for one in params]
    assert told(params, numbers) == ["batchnorm"]
    numbers = [one.get("dropout", 0.25) + draws.gauss(0, 0.05) for one in params]
    assert told(params, numbers) == ["dropout"]


def test_ranks() -> None:
    assert ranks([0.3, 0.1, 0.3, 9.0]) == [1.5, 0.0, 1.5, 3.0]


def test_equal_numbers_tell_nothing() -> None:
    assert p_values(points(20), [0.5] * 20, NAMES) == [1.0] * len(NAMES)


def test_it_is_the_same_each_time() -> None:
    numbers = [float(k % 7) for k in range(30)]
    assert p_values(points(30), numbers, NAMES) == p_values(points(30), numbers, NAMES)
