"""How sure the best trial of a study is, from the search alone, without any rerun."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from cnnsearch import ranking
from cnnsearch.records import State, Trial
from cnnsearch.review.chance import ALPHA
from cnnsearch.review.student import expected_best, t_below, t_quantile
from cnnsearch.review.verdicts import wasted
from cnnsearch.space import point_key

# Degrees of freedom from which repeats tell more of the noise than the number of images does.
_FEWEST_REPEATED = 4


class Source(StrEnum):
    """What tells how large the noise of a value is."""

    REPEATS = "repeats"
    """Trials of equal hyperparameters."""
    FOLDS = "folds"
    """The folds of each trial, which differ by their images and their seeds."""
    IMAGES = "images"
    """The number of validation images alone: what another seed would change is not known."""


@dataclass(frozen=True, slots=True)
class Sureness:
    """Whether the best trial of a search is better than the rest, or was only lucky.

    Args:
        best: the best complete trial.
        deviation: standard error of its value; where `source` is IMAGES, without that of its seed.
        within: complete trials, the best not counted, that cannot be told from it: of the same
            hyperparameters, or of others whose difference from it may be noise.
        complete: complete trials.
        distinct: no other hyperparameters come so close: the best ones are better than the rest.
        lucky: the values differ no more than those of equal trials would.
        expected: the best value to expect of so many equal trials with the mean of these.
        source: of `deviation`.
        freedom: degrees of freedom of `deviation`; infinite where `source` is IMAGES.
    """

    best: Trial
    deviation: float
    within: int
    complete: int
    distinct: bool
    lucky: bool
    expected: float
    source: Source
    freedom: float


@dataclass(frozen=True, slots=True)
class _Noise:
    """The standard error of a trial's value.

    Args:
        deviation: as repeats or folds tell it; 0 where nothing but the number of images does.
        freedom: degrees of freedom of `deviation`.
        images: that a share was measured on; 0 of a loss.
    """

    source: Source
    deviation: float
    freedom: float
    images: int

    def of(self, value: float) -> float:
        if self.source is Source.REPEATS or not self.images:
            return self.deviation
        return max(self.deviation, self._of_share(value))

    def _of_share(self, value: float) -> float:
        # Two hits and two misses more (A. Agresti and B. A. Coull 1998): an accuracy of 1 is not
        # known exactly.
        share = (value * self.images + 2) / (self.images + 4)
        return math.sqrt(share * (1 - share) / (self.images + 4))


def sureness(trials: Sequence[Trial], objective: str, direction: str) -> Sureness | None:
    """How sure the best of a study's trials is; None where nothing tells how large the noise is.

    The noise of a value is read off trials of equal hyperparameters, which differ by their seeds
    alone, where there are enough of them. Otherwise, with several folds, it is the standard error
    of the mean of a trial's folds, their variance pooled over trials; folds differ by their seeds
    too, and where some are harder for all trials it is too large rather than too small. Otherwise
    an accuracy has the standard error of a share of the validation images, which is the least that
    it can be with folds as well. All trials are measured on the same images, so that their errors
    go together and the error of a difference is at most the root of the sum of squares, which is
    taken. What another seed would change is not in the error of a share: it comes on top, and
    nothing tells by how much (Source.IMAGES). A loss has no such error: without repeats and folds
    nothing is said.

    Which one is the best was seen only after all values were, and the best of many is the luckiest
    of them. Two questions are kept apart:

    * `distinct`: is the best better than the rest? It is where it beats the runner-up, and so all
      others, by more than a two-sided test of the two allows. No correction for the number of
      trials belongs there: the test keeps its level after the selection, because more rivals only
      bring the runner-up nearer (S. Gutmann and Z. Maymin 1987, "Is the selected population the
      best?"; K. Hung and W. Fithian 2019, "Rank verification for exponential families"). Equal
      hyperparameters are compared by their mean, as one.
    * `lucky`: do the trials differ at all? The best of n equal values is expected about
      E[max of n normals] deviations above their mean, 2.2 of 40. It counts as luck unless fewer
      than 5 of 100 such studies had a best so far above the mean.

    Args:
        trials: all attempts of a study, or the last of each point; hidden ones do not count.
        objective: "val_accuracy" or "val_loss".
        direction: "maximize" or "minimize".
    """
    complete = [t for t in ranking.shown(trials) if t.state is State.COMPLETE]
    best = ranking.best(complete, direction)
    groups = _groups(complete)
    noise = _noise(groups, best, objective)
    if best is None or best.value is None or noise is None:
        return None
    sign = 1.0 if direction == "maximize" else -1.0
    equals = groups[point_key(best.params)]
    rivals = sum(
        len(group)
        for group in groups.values()
        if group is not equals and not _beats(equals, group, sign, noise)
    )
    mean = statistics.fmean(_values(complete))
    count, error = len(complete), noise.of(mean)
    return Sureness(
        best=best,
        deviation=noise.of(best.value),
        within=rivals + len(equals) - 1,
        complete=count,
        distinct=len(groups) > 1 and rivals == 0,
        lucky=len(groups) == 1 or not _stands_out(sign * (best.value - mean), error, count, noise),
        expected=_possible(mean + sign * expected_best(count) * error, objective),
        source=noise.source,
        freedom=noise.freedom,
    )


def _possible(value: float, objective: str) -> float:
    """Accuracies end at 1, losses at 0, whatever a normal distribution says."""
    return min(value, 1.0) if objective == "val_accuracy" else max(value, 0.0)


def _groups(trials: Sequence[Trial]) -> dict[str, list[Trial]]:
    """Trials by their hyperparameters."""
    groups: dict[str, list[Trial]] = {}
    for trial in trials:
        groups.setdefault(point_key(trial.params), []).append(trial)
    return groups


def _values(trials: Sequence[Trial]) -> list[float]:
    return [trial.value for trial in trials if trial.value is not None]


def _noise(
    groups: Mapping[str, Sequence[Trial]], best: Trial | None, objective: str
) -> _Noise | None:
    images = 0 if best is None or objective != "val_accuracy" else images_of(best)
    deviation, freedom = _replicated(groups)
    of_folds, freedom_of_folds = _of_folds([one for group in groups.values() for one in group])
    if freedom >= (_FEWEST_REPEATED if images or freedom_of_folds else 1):
        # Values go up in steps of one image: equal ones are equal to half a step only.
        least = 1 / (images * math.sqrt(12)) if images else 0.0
        return _Noise(Source.REPEATS, max(deviation, least), freedom, images)
    if freedom_of_folds:
        return _Noise(Source.FOLDS, of_folds, freedom_of_folds, images)
    return _Noise(Source.IMAGES, 0.0, math.inf, images) if images else None


def images_of(trial: Trial) -> int:
    """How many images a trial's value was measured on, over all folds."""
    images, folds = trial.facts.get("validation_images"), trial.facts.get("fold_values")
    return (images if isinstance(images, int) else 0) * (len(folds) if folds else 1)


def _replicated(groups: Mapping[str, Sequence[Trial]]) -> tuple[float, int]:
    """Standard deviation among trials of equal hyperparameters, and its degrees of freedom.

    Trials that learned nothing are left out: they hardly differ.
    """
    return _pooled(
        [_values([one for one in group if not wasted(one)]) for group in groups.values()]
    )


def _of_folds(trials: Sequence[Trial]) -> tuple[float, int]:
    """Standard error of the mean of a trial's folds, and its degrees of freedom.

    Trials that learned nothing are left out, as above.
    """
    told = [one.facts.get("fold_values") or () for one in trials if not wasted(one)]
    deviation, freedom = _pooled(told)
    # All trials of a study have the same number of folds.
    return deviation / math.sqrt(max(map(len, told), default=1) or 1), freedom


def _pooled(samples: Sequence[Sequence[float]]) -> tuple[float, int]:
    """Standard deviation within samples that have means of their own, and degrees of freedom."""
    several = [values for values in samples if len(values) > 1]
    freedom = sum(len(values) - 1 for values in several)
    squares = math.fsum(statistics.variance(values) * (len(values) - 1) for values in several)
    return (math.sqrt(squares / freedom), freedom) if freedom else (0.0, 0)


def _beats(ones: Sequence[Trial], others: Sequence[Trial], sign: float, noise: _Noise) -> bool:
    """Whether the mean of `ones` is better than that of `others` by more than noise."""
    one, other = statistics.fmean(_values(ones)), statistics.fmean(_values(others))
    error = math.hypot(
        noise.of(one) / math.sqrt(len(ones)), noise.of(other) / math.sqrt(len(others))
    )
    return sign * (one - other) > t_quantile(1 - ALPHA / 2, noise.freedom) * error


def _stands_out(above: float, error: float, count: int, noise: _Noise) -> bool:
    """Whether the best of so many equal values would hardly ever lie so far above their mean."""
    if count < 2 or above <= 0:
        return False
    if error == 0:
        return True
    from_mean = above / (error * math.sqrt(1 - 1 / count))
    return 1 - t_below(from_mean, noise.freedom) ** count < ALPHA
