"""What repeats with other seeds tell: means, differences beyond noise, and how much was luck."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from cnnsearch.review.chance import ALPHA
from cnnsearch.review.student import t_quantile

Floats = NDArray[np.float64]
# Of `expected_shrink`: true values lie this far apart, in deviations of the noise; values further
# below the best do not matter; rounds of the fit; what the best counts in it.
_STEP, _REACH, _ROUNDS, _BEST_COUNTS = 0.25, 8.0, 50, 0.5
# The share of the first guess that is spread over all true values, and its least deviation.
_EVERYWHERE, _NARROWEST = 0.01, 0.25


@dataclass(frozen=True, slots=True)
class Finalist:
    """A trial of a search that was repeated.

    Args:
        number: of the trial.
        searched: its value in the search; None without one, or where the repeats ran otherwise.
        values: by seed; None where a repeat diverged, failed or was pruned.
    """

    number: int
    searched: float | None
    values: Mapping[int, float | None]

    @property
    def finished(self) -> list[float]:
        """The values that there are."""
        return [value for value in self.values.values() if value is not None]

    @property
    def lost(self) -> int:
        """Repeats that ended without a value."""
        return len(self.values) - len(self.finished)

    @property
    def mean(self) -> float | None:
        """Of the values that there are."""
        return statistics.fmean(self.finished) if self.finished else None

    @property
    def deviation(self) -> float | None:
        """Standard deviation of the same; None of fewer than two."""
        return statistics.stdev(self.finished) if len(self.finished) > 1 else None


@dataclass(frozen=True, slots=True)
class Difference:
    """The mean of one finalist minus that of another, over the seeds that both finished.

    Args:
        first: number of the trial; likewise `second`.
        seeds: their number.
        low: lower end of the interval; None of fewer than two seeds, likewise `high`.
        larger: it is larger than the noise: the interval excludes 0.
    """

    first: int
    second: int
    seeds: int
    mean: float
    low: float | None
    high: float | None
    larger: bool


@dataclass(frozen=True, slots=True)
class Shrink:
    """How much of the best value of a search is luck.

    Args:
        value: the best value of the search.
        expected: by how much its trial is expected to be worse with other seeds.
        noise: standard deviation of one value over seeds.
        freedom: degrees of freedom of `noise`.
        trials: complete trials of the search.
    """

    value: float
    expected: float
    noise: float
    freedom: int
    trials: int


def ranked(finalists: Sequence[Finalist], direction: str) -> list[Finalist]:
    """Best mean first; those that lost a repeat below those that lost none, then those without."""
    sign = -1.0 if direction == "maximize" else 1.0

    def order(one: Finalist) -> tuple[bool, bool, float, int]:
        mean = one.mean
        return (mean is None, one.lost > 0, sign * mean if mean is not None else 0.0, one.number)

    return sorted(finalists, key=order)


def worse_by(one: Finalist, direction: str) -> float | None:
    """By how much a finalist was worse with new seeds than in the search; negative: better."""
    if one.searched is None or one.mean is None:
        return None
    fall = one.searched - one.mean
    return fall if direction == "maximize" else -fall


def differences(finalists: Sequence[Finalist], resolution: float = 0.0) -> list[Difference]:
    """All pairs of finalists, in their order; those that share no finished seed are left out.

    Paired over seeds, so that what a seed changes in both cancels out: Student's t interval of the
    mean of the differences. With the correction of C. Bonferroni: together the intervals of all
    pairs hold the true differences in 95 of 100 such studies. The variance of a pair's differences
    is the mean over all pairs, which has more degrees of freedom (with every seed finished it is
    that of R. A. Fisher's randomised blocks), or the pair's own where that is larger: a finalist
    may be less steady than the others. Two seeds give wide intervals: that is what they tell.

    Args:
        resolution: the step in which values go, 1/N for a share of N images; 0 for a loss. Equal
            differences are equal to half a step only, so no interval is narrower for it.
    """
    shared = {
        (one.number, other.number): gaps
        for one, other in combinations(finalists, 2)
        if (gaps := _gaps(one, other))
    }
    if not shared:
        return []
    several = [gaps for gaps in shared.values() if len(gaps) > 1]
    weight = sum(len(gaps) - 1 for gaps in several)
    pooled = math.fsum(statistics.variance(gaps) * (len(gaps) - 1) for gaps in several)
    # Two values, each rounded by up to half a step, which has the variance 1/12.
    least = max(pooled / max(weight, 1), resolution**2 / 6)
    reach = t_quantile(1 - ALPHA / (2 * len(shared)), _freedom(finalists))
    return [_difference(*pair, gaps, least, reach) for pair, gaps in shared.items()]


def _gaps(one: Finalist, other: Finalist) -> list[float]:
    """The differences of the seeds that both finished."""
    return [
        value - against
        for seed, value in one.values.items()
        if value is not None and (against := other.values.get(seed)) is not None
    ]


def _freedom(finalists: Sequence[Finalist]) -> int:
    """Degrees of freedom of what is left when finalists and seeds have their means; at least 1."""
    seeds = [n for one in finalists for n, value in one.values.items() if value is not None]
    shared = [seed for seed, count in Counter(seeds).items() if count > 1]
    cells = [sum(one.values.get(seed) is not None for seed in shared) for one in finalists]
    return max(1, sum(count - 1 for count in cells if count) - (len(shared) - 1))


def _difference(
    first: int, second: int, gaps: Sequence[float], least: float, reach: float
) -> Difference:
    """The difference of one pair.

    Args:
        least: the variance of its differences, where its own is not larger.
        reach: half an interval, in standard errors.
    """
    mean, count = statistics.fmean(gaps), len(gaps)
    if count < 2:
        return Difference(first, second, count, mean, None, None, larger=False)
    half = reach * math.sqrt(max(statistics.variance(gaps), least) / count)
    return Difference(first, second, count, mean, mean - half, mean + half, abs(mean) > half)


def noise(repeats: Sequence[Sequence[float]], resolution: float = 0.0) -> tuple[float, int] | None:
    """Standard deviation of one value over seeds, pooled, and its degrees of freedom.

    None where nothing was repeated. Equal sequences count once: where hyperparameters make no
    difference at all, equal seeds give equal values.

    Args:
        repeats: values that differ by their seeds alone, a sequence for each configuration.
    """
    groups = [values for values in set(map(tuple, repeats)) if len(values) > 1]
    freedom = sum(len(values) - 1 for values in groups)
    if not freedom:
        return None
    squares = math.fsum(statistics.variance(values) * (len(values) - 1) for values in groups)
    return max(math.sqrt(squares / freedom), resolution / math.sqrt(12)), freedom


def shrink(
    repeats: Sequence[Sequence[float]],
    searched: Sequence[Sequence[float]],
    direction: str,
    resolution: float = 0.0,
) -> Shrink | None:
    """How much of a search's best value is luck; None where repeats tell no noise.

    Args:
        repeats: see `noise`.
        searched: the values of all complete trials of the search, those of equal hyperparameters
            together.
    """
    found = noise(repeats, resolution)
    values = [value for group in searched for value in group]
    if found is None or not values:
        return None
    deviation, freedom = found
    best = max(values) if direction == "maximize" else min(values)
    sign = 1.0 if direction == "maximize" else -1.0
    signed = [[sign * value for value in group] for group in searched if group]
    return Shrink(best, expected_shrink(signed, deviation), deviation, freedom, len(values))


def expected_shrink(groups: Sequence[Sequence[float]], noise: float) -> float:
    """How far the true value of the best is expected to lie below what was seen of it.

    Each value is a true value, that of its group, plus normal noise. Which true values there are is
    not assumed but fitted: the weights on a line of them that make the groups' means most likely
    (J. Kiefer and J. Wolfowitz 1956; empirical Bayes: H. Robbins 1956), by rounds of expectation
    and maximisation that start from the best-fitting normal distribution. By these weights the true
    value behind the best one has an expectation. Where many true values lie together at the top,
    their luckiest trial shrinks by the most; one that stands alone hardly shrinks.

    The best one was chosen for its noise and would draw the weights after it: it counts half. In
    simulations (tests/test_noise.py) the mean prediction was within 20 % of the truth where the top
    of the search was equal, near a ceiling, or spread by as much as the noise; of few trials, or of
    a top spread several times as widely, it was too large by up to 0.3 deviations of the noise.

    Args:
        groups: values of equal hyperparameters, mostly one each; larger is better.
        noise: standard deviation of one value.
    """
    if noise <= 0:
        return 0.0
    of_best = max(groups, key=max)
    least = statistics.fmean(of_best) - _REACH * noise
    near = [
        of_best,
        *(one for one in groups if one is not of_best and statistics.fmean(one) > least),
    ]
    means = np.array([statistics.fmean(group) for group in near])
    errors = np.array([noise / math.sqrt(len(group)) for group in near])
    truths = np.arange(means.min(), means.max() + noise * _STEP / 2, noise * _STEP)
    likely = np.exp(-(((means[:, None] - truths) / errors[:, None]) ** 2) / 2)
    counts = np.where(np.arange(len(near)) == 0, _BEST_COUNTS, 1.0)
    weights = _first_guess(means, truths, noise)
    for _ in range(_ROUNDS):
        shares = likely * weights
        shares *= (counts / shares.sum(axis=1))[:, None]
        weights = shares.sum(axis=0) / counts.sum()
    shares = weights * likely[0]
    return float(max(of_best) - shares @ truths / shares.sum())


def _first_guess(means: Floats, truths: Floats, noise: float) -> Floats:
    """Weights of the normal distribution that fits, with a little weight everywhere."""
    variance = max(float(means.var()) - noise**2, (_NARROWEST * noise) ** 2)
    weights = np.exp(-((truths - means.mean()) ** 2) / (2 * variance))
    guess: Floats = (1 - _EVERYWHERE) * weights / weights.sum() + _EVERYWHERE / len(truths)
    return guess
