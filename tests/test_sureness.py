"""How sure the best of a study is, from the search alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from cnnsearch.records import Diagnosis, Params, State, Trial
from cnnsearch.render.sureness import sure_text
from cnnsearch.review.student import expected_best, t_below, t_quantile
from cnnsearch.review.sureness import Source, Sureness, sureness

IMAGES = 144


def trials(
    values: Sequence[float], params: Sequence[Params] | None = None, images: int | None = IMAGES
) -> list[Trial]:
    """Complete trials; where `params` does not say, each with hyperparameters of its own."""
    facts = {} if images is None else {"validation_images": images}
    return [
        Trial(
            number=number,
            point=number,
            key=str(number),
            attempt=1,
            state=State.COMPLETE,
            value=float(value),
            params={"lr": 0.001 * number} if params is None else params[number],
            epochs=1,
            best_epoch=1,
            seconds=1.0,
            reason=None,
            seed=number,
            started=0.0,
            facts=facts,
        )
        for number, value in enumerate(values)
    ]


def tried(**counts: int) -> list[Params]:
    """Hyperparameters: `he=3` is three trials of one configuration."""
    return [{"init": name} for name, count in counts.items() for _ in range(count)]


def sure(told: Sequence[Trial], objective: str = "val_accuracy") -> Sureness:
    direction = "maximize" if objective == "val_accuracy" else "minimize"
    found = sureness(told, objective, direction)
    assert found is not None
    return found


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 16, 100, 12345, math.inf])
@pytest.mark.parametrize("share", [0.6, 0.9, 0.975, 0.9975, 0.99999])
def test_student_is_that_of_scipy(share: float, freedom: float) -> None:
    expected = float(stats.t.ppf(share, freedom))
    assert t_quantile(share, freedom) == pytest.approx(expected, rel=1e-9)
    assert t_below(expected, freedom) == pytest.approx(share, rel=1e-9)
    assert t_below(-expected, freedom) == pytest.approx(1 - share, rel=1e-9)


@pytest.mark.parametrize(("count", "right"), [(1, 0.0), (2, 0.025), (5, 0.02), (20, 0.005)])
def test_the_best_of_several(count: int, right: float) -> None:
    draws = np.random.default_rng(0).normal(size=(200_000, count)).max(axis=1).mean()
    assert expected_best(count) == pytest.approx(draws, abs=right + 0.005)


def test_the_error_of_an_accuracy_is_that_of_a_share() -> None:
    assert sure(trials([0.9, 0.2])).deviation == pytest.approx(0.025, abs=0.001)
    assert sure(trials([1.0, 0.2])).deviation > 0.005


def in_folds(
    values: Sequence[Sequence[float]], params: Sequence[Params] | None = None
) -> list[Trial]:
    """Complete trials with these values of their folds."""
    means = [float(np.mean(folds)) for folds in values]
    return [
        replace(trial, facts={**trial.facts, "fold_values": list(map(float, folds))})
        for trial, folds in zip(trials(means, params), values, strict=True)
    ]


def test_the_noise_of_folds_is_that_of_their_mean() -> None:
    """Of 3 folds 0.099 apart it is 0.057, however many images there are."""
    found = sure(in_folds([[0.9, 0.8, 0.702], [0.6, 0.5, 0.402]]))
    assert found.deviation == pytest.approx(0.099 / math.sqrt(3), rel=0.01)
    assert (found.source, found.freedom) == (Source.FOLDS, 4)
    assert "0.0572 is the noise of one value, seen among the folds" in sure_text(found)
    near = sure(in_folds([[0.9, 0.8, 0.702], [0.89, 0.79, 0.69], [0.2, 0.1, 0.02]]))
    assert near.within == 1
    stuck = in_folds([[0.9, 0.8, 0.702], [0.1, 0.1, 0.1]])
    stuck[1] = replace(stuck[1], diagnosis=Diagnosis("lr-too-low"))
    assert sure(stuck).freedom == 2
    assert sureness(in_folds([[0.5, 0.6], [0.2, 0.3]]), "val_loss", "minimize") is not None


def test_the_noise_of_folds_is_never_below_that_of_their_images() -> None:
    assert sure(in_folds([[0.9] * 4, [0.2] * 4])).deviation == pytest.approx(0.025 / 2, rel=0.05)


def test_repeats_tell_more_than_folds() -> None:
    many = in_folds([[0.9, 0.7]] * 6, tried(he=6))
    assert sure(many).source is Source.REPEATS
    assert sure(many[:3]).source is Source.FOLDS


def test_20_equal_trials_of_folds_have_no_best() -> None:
    """Seeds matter three times as much as the number of images does."""
    draws = np.random.default_rng(3)
    error = math.sqrt(0.8 * 0.2 / IMAGES)
    distinct = sum(
        sure(in_folds((0.8 + draws.normal(0, 3 * error, (20, 5))).tolist())).distinct
        for _ in range(200)
    )
    assert distinct <= 10
    found = [
        sure(in_folds((0.8 + draws.normal(0, 3 * error, (20, 5))).tolist())).deviation
        for _ in range(50)
    ]
    assert np.mean(found) == pytest.approx(3 * error / math.sqrt(5), rel=0.05)


def test_40_equal_trials_have_no_best() -> None:
    """Equal in truth, whether or not their hyperparameters say so."""
    draws = np.random.default_rng(1)
    for params in (None, tried(he=40)):
        distinct = lucky = 0
        above = []
        for _ in range(100):
            values = (draws.binomial(IMAGES, 0.8, 40) / IMAGES).tolist()
            found = sure(trials(values, params))
            distinct += found.distinct
            lucky += found.lucky
            above.append(found.best.value - found.expected)  # type: ignore[operator]
        assert distinct == 0
        assert lucky >= 95
        assert np.mean(above) == pytest.approx(0.0, abs=0.01)


def test_two_equal_trials_are_told_apart_once_in_20() -> None:
    """The test keeps its level although the better one was chosen."""
    draws = np.random.default_rng(2)
    counts = draws.binomial(IMAGES, 0.7, (1000, 2)) / IMAGES
    pairs = [sure(trials(pair.tolist())) for pair in counts]
    assert 0.02 < np.mean([one.distinct for one in pairs]) < 0.07
    assert 0.02 < np.mean([not one.lucky for one in pairs]) < 0.07


def test_a_real_difference_is_told() -> None:
    found = sure(trials([0.9, 0.6, 0.55, 0.2]))
    assert (found.best.number, found.within, found.complete) == (0, 0, 4)
    assert found.distinct
    assert not found.lucky
    assert sure_text(found) == (
        "the best is better than the rest by more than the error of the validation images (0.0258);"
        " how much seeds matter is not known: cnnsearch rerun tells"
    )


def test_what_lies_within_the_noise_is_counted() -> None:
    found = sure(trials([0.9, 0.88, 0.85, 0.6, 0.2]))
    assert found.within == 2
    assert not found.distinct
    assert not found.lucky
    assert "cannot be told from 2 others of 4" in sure_text(found)


def test_equal_hyperparameters_give_the_noise() -> None:
    params = tried(he=5, xavier=5)
    values = [0.90, 0.91, 0.92, 0.91, 0.90, 0.86, 0.85, 0.86, 0.87, 0.86]
    found = sure(trials(values, params))
    assert found.deviation == pytest.approx(math.sqrt(0.5 * (0.7e-4 + 0.5e-4)), rel=1e-6)
    assert (found.source, found.freedom) == (Source.REPEATS, 8)
    assert "better than the rest, beyond the noise" in sure_text(found)
    assert found.distinct  # by the images alone, one of each could not be told apart
    assert found.within == 4  # its own repeats
    assert not sure(trials([0.90, 0.86])).distinct


def test_a_lucky_one_of_several_repeats_does_not_win() -> None:
    """Configurations are compared by their means."""
    params = tried(he=5, xavier=1)
    assert not sure(trials([0.95, 0.84, 0.85, 0.86, 0.85, 0.87], params)).distinct


def test_equal_values_and_single_ones() -> None:
    found = sure(trials([0.5] * 6, tried(he=6)))
    assert found.lucky
    assert not found.distinct
    assert found.deviation > 0  # values go up in steps of an image
    alone = sure(trials([0.5]))
    assert (alone.within, alone.complete, alone.distinct) == (0, 1, False)
    assert "no other trial" in sure_text(alone)


def test_a_loss_needs_repeats() -> None:
    assert sureness(trials([0.5, 0.6]), "val_loss", "minimize") is None
    params = tried(he=3, xavier=1)
    found = sure(trials([0.50, 0.51, 0.52, 0.9], params), "val_loss")
    assert found.source is Source.REPEATS
    assert found.deviation == pytest.approx(0.01)
    assert found.best.number == 0
    assert found.distinct
    close = sure(trials([0.50, 0.51, 0.52, 0.53], params), "val_loss")
    assert not close.distinct
    equal = sure(trials([0.5, 0.5, 0.7], tried(he=2, zeros=1)), "val_loss")
    assert equal.deviation == 0
    assert equal.distinct


def test_nothing_to_say() -> None:
    assert sureness([], "val_accuracy", "maximize") is None
    assert sureness(trials([0.5, 0.6], images=None), "val_accuracy", "maximize") is None
    lost = [replace(t, state=State.DIVERGED, value=None) for t in trials([0.5, 0.6])]
    assert sureness(lost, "val_accuracy", "maximize") is None


def test_hidden_trials_and_those_that_learned_nothing_do_not_count() -> None:
    told = trials([0.9, 0.89, 0.2])
    assert not sure(told).distinct
    assert sure([told[0], replace(told[1], hidden=True), told[2]]).distinct
    params = tried(he=1, zeros=8)
    stuck = trials([0.9, *[0.1] * 8], params)
    stuck = [stuck[0], *(replace(t, diagnosis=Diagnosis("lr-too-low")) for t in stuck[1:])]
    assert sure(trials([0.9, *[0.1] * 8], params)).source is Source.REPEATS
    assert sure(stuck).deviation > 0.01
