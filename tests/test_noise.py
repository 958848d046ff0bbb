"""What repeats tell: differences beyond noise, and how much of the best is luck."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from cnnsearch.review.noise import (
    Finalist,
    differences,
    expected_shrink,
    noise,
    ranked,
    shrink,
    worse_by,
)

Floats = NDArray[np.float64]


def finalists(table: Sequence[Sequence[float | None]]) -> list[Finalist]:
    """A row each, a column a seed."""
    return [
        Finalist(number, None, dict(enumerate(row, 1))) for number, row in enumerate(table, start=7)
    ]


def test_two_finalists_are_a_paired_t_test() -> None:
    one, other = [0.91, 0.94, 0.90, 0.95], [0.90, 0.91, 0.88, 0.93]
    (found,) = differences(finalists([one, other]))
    expected = stats.ttest_rel(one, other).confidence_interval(0.95)
    assert (found.first, found.second, found.seeds) == (7, 8, 4)
    assert found.mean == pytest.approx(np.mean(one) - np.mean(other))
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.larger == (stats.ttest_rel(one, other).pvalue < 0.05)


def test_three_finalists_share_their_variance_and_the_error() -> None:
    table = np.array([[0.90, 0.93, 0.92], [0.90, 0.92, 0.93], [0.81, 0.84, 0.84]])
    found = differences(finalists(table.tolist()))
    assert [(d.first, d.second) for d in found] == [(7, 8), (7, 9), (8, 9)]
    gaps = [table[0] - table[1], table[0] - table[2], table[1] - table[2]]
    variances = [float(gap.var(ddof=1)) for gap in gaps]
    for difference, variance in zip(found, variances, strict=True):
        spread = math.sqrt(max(variance, float(np.mean(variances))) / 3)
        half = float(stats.t.ppf(1 - 0.05 / 6, 4)) * spread
        assert difference.high == pytest.approx(difference.mean + half)
        assert difference.low == pytest.approx(difference.mean - half)
    assert [d.larger for d in found] == [False, True, True]


@pytest.mark.parametrize(
    ("count", "seeds", "deviations"),
    [(2, 2, (1, 1)), (2, 5, (1, 5)), (5, 2, (1,) * 5), (5, 5, (1,) * 5), (5, 5, (5, 1, 1, 1, 1))],
)
def test_equal_finalists_are_rarely_told_apart(
    count: int, seeds: int, deviations: Sequence[float]
) -> None:
    draws = np.random.default_rng(0)
    wrong = 0
    for _ in range(400):
        table = draws.normal(0, 1, (count, seeds)) * np.array(deviations)[:, None]
        table += draws.normal(0, 2, seeds)  # what a seed does to all
        wrong += any(d.larger for d in differences(finalists(table.tolist())))
    assert wrong <= 32  # of 400; 20 are expected at most


def test_two_seeds_give_wide_intervals() -> None:
    (found,) = differences(finalists([[0.90, 0.92], [0.85, 0.86]]))
    assert not found.larger
    assert found.high is not None
    assert found.high - found.mean > 0.06


def test_equal_differences_are_equal_to_half_a_step_only() -> None:
    table = [[0.90, 0.92, 0.91], [0.89, 0.91, 0.90]]
    (loss,), (share,) = differences(finalists(table)), differences(finalists(table), 1 / 100)
    assert loss.larger
    assert not share.larger
    (same,) = differences(finalists([[0.5, 0.5], [0.5, 0.5]]))
    assert (same.mean, same.low, same.high, same.larger) == (0.0, 0.0, 0.0, False)


def test_lost_repeats() -> None:
    told = finalists([[0.9, None, 0.91, 0.92], [0.8, 0.81, None, 0.82], [None] * 4])
    assert [one.lost for one in told] == [1, 1, 4]
    assert told[0].mean == pytest.approx(0.91)
    assert (told[2].mean, told[2].deviation) == (None, None)
    (found,) = differences(told)
    assert found.seeds == 2
    assert differences(finalists([[0.9, None], [None, 0.8]])) == []
    assert differences(finalists([[0.9, 0.8]])) == []
    assert differences([]) == []
    (once,) = differences(finalists([[0.9], [0.8]]))
    assert (once.low, once.high, once.larger) == (None, None, False)


def test_the_steady_come_first() -> None:
    told = finalists([[0.8, 0.9], [0.99, None], [None, None], [0.9, 0.9]])
    assert [one.number for one in ranked(told, "maximize")] == [10, 7, 8, 9]
    assert [one.number for one in ranked(told, "minimize")] == [7, 10, 8, 9]


def test_worse_is_worse_in_both_directions() -> None:
    one = Finalist(1, 0.9, {1: 0.8, 2: 0.8})
    assert worse_by(one, "maximize") == pytest.approx(0.1)
    assert worse_by(one, "minimize") == pytest.approx(-0.1)
    assert worse_by(Finalist(1, None, {1: 0.8}), "maximize") is None
    assert worse_by(Finalist(1, 0.9, {1: None}), "maximize") is None


def singles(values: Floats) -> list[list[float]]:
    """Each value of other hyperparameters."""
    return [[value] for value in values.tolist()]


def pooled(repeats: list[list[float]], resolution: float = 0.0) -> tuple[float, int]:
    found = noise(repeats, resolution)
    assert found is not None
    return found


def test_noise_is_pooled() -> None:
    deviation, freedom = pooled([[1.0, 3.0], [5.0, 6.0, 7.0]])
    assert deviation == pytest.approx(math.sqrt(4 / 3))
    assert freedom == 3
    assert pooled([[1.0, 3.0], [1.0, 3.0]]) == pooled([[1.0, 3.0]])
    assert noise([[1.0], []]) is None
    assert pooled([[0.5, 0.5]]) == (0.0, 1)
    assert pooled([[0.5, 0.5]], 0.01)[0] == pytest.approx(0.01 / math.sqrt(12))


PRIORS: dict[str, Callable[[np.random.Generator, int], Floats]] = {
    "all equal": lambda _, n: np.zeros(n),
    "spread half as the noise": lambda draws, n: draws.normal(0, 0.5, n),
    "spread as the noise": lambda draws, n: draws.normal(0, 1, n),
    "near a ceiling": lambda draws, n: -draws.exponential(2, n),
    "a quarter learns": lambda draws, n: np.where(draws.random(n) < 0.25, 0.0, -30.0),
    "a parabola": lambda draws, n: -80 * (draws.random(n) - 0.5) ** 2,
}


@pytest.mark.parametrize("prior", PRIORS)
def test_the_expected_shrink_is_calibrated(prior: str) -> None:
    """Searches of 40 trials whose truth is known; in units of the noise of one value."""
    draws = np.random.default_rng(0)
    true, told = [], []
    for _ in range(300):
        truth = PRIORS[prior](draws, 40)
        values = truth + draws.normal(0, 1, 40)
        best = values.argmax()
        true.append(values[best] - truth[best])
        told.append(expected_shrink(singles(values), 1.0))
    assert np.mean(told) == pytest.approx(np.mean(true), rel=0.2)


@pytest.mark.parametrize("spread", [3, 10])
def test_what_is_really_better_hardly_shrinks(spread: float) -> None:
    draws = np.random.default_rng(0)
    true, told = [], []
    for _ in range(300):
        truth = draws.normal(0, spread, 40)
        values = truth + draws.normal(0, 1, 40)
        best = values.argmax()
        true.append(values[best] - truth[best])
        told.append(expected_shrink(singles(values), 1.0))
    assert abs(np.mean(told) - np.mean(true)) < 0.4
    assert expected_shrink([[0.0]] * 39 + [[20.0]], 1.0) < 0.1


def test_repeats_within_the_search_count_together() -> None:
    values = [0.1, 0.2, 0.3, 0.9]
    assert expected_shrink([values], 0.1) == pytest.approx(0.9 - np.mean(values))
    assert expected_shrink([values, [-5.0]], 0.1) == pytest.approx(0.9 - np.mean(values))
    assert expected_shrink([[0.0, 10.0], [6.0]], 0.1) == pytest.approx(5.0, abs=0.1)


def test_nothing_to_shrink() -> None:
    assert expected_shrink([[0.5]], 0.1) == 0.0
    assert expected_shrink([[0.5], [0.9]], 0.0) == 0.0
    assert expected_shrink([[0.5]] * 3, 0.1) == pytest.approx(0.0)
    assert shrink([[0.5]], [[0.5], [0.6]], "maximize") is None
    assert shrink([[0.5, 0.6]], [], "maximize") is None


def test_a_loss_shrinks_upwards() -> None:
    values = np.random.default_rng(0).normal(0.5, 0.1, 40)
    found = shrink([[0.4, 0.5, 0.6]], singles(values), "minimize")
    assert found is not None
    assert found.value == values.min()
    assert found.noise == pytest.approx(0.1)
    assert (found.freedom, found.trials) == (2, 40)
    assert 0.1 < found.expected < 0.3
    mirrored = shrink([[0.4, 0.5, 0.6]], singles(-values), "maximize")
    assert mirrored is not None
    assert mirrored.expected == pytest.approx(found.expected)
