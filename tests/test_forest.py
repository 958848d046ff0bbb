"""The functional ANOVA of a forest, against what is known exactly and against Optuna's."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.importance import FanovaImportanceEvaluator
from optuna.trial import create_trial

from cnnsearch.records import Params, State, Trial
from cnnsearch.review.importance import NEEDED_TOP, Cases, p_values, top_count
from cnnsearch.review.tried import axes, tried
from cnnsearch.space import Choice, Parameter, Range, random_point
from cnnsearch.study import forest
from cnnsearch.study.distributions import distribution_of
from cnnsearch.study.fanova import fanova
from cnnsearch.study.forest import Forest

WHOLE: dict[str, Parameter] = {
    "epochs": Range(1, 4, integer=True),
    "init": Choice(("zeros", "xavier", "he")),
    "conv": Choice(([8], [16, 32])),
}
AXES: dict[str, Parameter] = {
    "lr": Range(1e-4, 1.0, log=True),
    "dropout": Range(0.0, 1.0),
    "momentum": Range(0.0, 0.9),
}
Told = Callable[[Any], float]


def trials(space: dict[str, Parameter], count: int) -> list[Trial]:
    return [
        Trial(k, k, str(k), 1, State.COMPLETE, 0.0, random_point(space, 0, k), 3, 1, 1.0, None,
              0, 0.0)
        for k in range(count)
    ]  # fmt: skip


def scored(found: list[Trial], told: Told) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array([told(trial.params) for trial in found])


def decade(params: Params) -> float:
    lr = params["lr"]
    assert isinstance(lr, float)
    return float((np.log10(lr) + 4) / 4)


def test_the_variances_are_those_of_the_whole_product() -> None:
    """Of whole numbers and choices every point of the space can be asked."""
    found = trials(WHOLE, 60)
    scores = scored(found, lambda p: p["epochs"] * (p["init"] == "he") + len(p["conv"]))
    fitted = Forest(found, WHOLE)
    told = fitted.decompose(scores, seed=3)

    grid = list(itertools.product(*(parameter.grid() for parameter in WHOLE.values())))
    points = [
        Trial(0, 0, "0", 1, State.COMPLETE, 0.0, dict(zip(WHOLE, values, strict=True)), 3, 1, 1.0,
              None, 0, 0.0)
        for values in grid
    ]  # fmt: skip
    trees, _ = forest._grown(fitted._rows, scores, 3)
    rows = Forest(points, WHOLE)._rows.astype(np.float32)
    whole = np.mean([tree.predict(rows)[:, 0] for tree in trees], axis=0).reshape(4, 3, 2)
    singles = {
        "epochs": whole.mean(axis=(1, 2)).var(),
        "init": whole.mean(axis=(0, 2)).var(),
        "conv": whole.mean(axis=(0, 1)).var(),
    }
    assert told.singles == pytest.approx(singles)
    both = whole.mean(axis=2).var() - singles["epochs"] - singles["init"]
    assert told.pairs["epochs", "init"] == pytest.approx(both)
    assert told.pairs["epochs", "init"] > 0.1
    assert told.total == pytest.approx(whole.var(), rel=0.1)


def test_a_known_function() -> None:
    """3 decade + dropout: variances 9 to 1, and no pair."""
    found = trials(AXES, 400)
    told = Forest(found, AXES).decompose(
        scored(found, lambda p: 3 * decade(p) + p["dropout"]), seed=0
    )
    assert told.singles["lr"] / told.total == pytest.approx(0.9, abs=0.04)
    assert told.singles["dropout"] / told.total == pytest.approx(0.1, abs=0.04)
    assert told.singles["momentum"] < 0.01 * told.total
    assert max(told.pairs.values()) < 0.03 * told.total
    assert told.explained > 0.9
    assert np.corrcoef(told.additive, [3 * decade(t.params) for t in found])[0, 1] > 0.9


def test_a_product_is_an_interaction() -> None:
    found = trials(AXES, 400)
    told = Forest(found, AXES).decompose(
        scored(found, lambda p: (decade(p) > 0.5) is (p["dropout"] > 0.5)), seed=0
    )
    assert told.pairs["lr", "dropout"] > 0.8 * told.total
    assert max(told.singles.values()) < 0.05 * told.total


def test_a_constant_has_no_variance() -> None:
    found = trials(AXES, 30)
    told = Forest(found, AXES).decompose(np.ones(30), seed=0)
    assert (told.total, told.explained) == (0.0, 0.0)
    assert set(told.singles.values()) == {0.0}


def test_optunas_fanova_tells_the_same() -> None:
    axes = {**AXES, "lr": Range(0.0, 1.0)}  # theirs sees a logarithmic one on a linear scale
    found = trials(axes, 80)
    scores = scored(found, lambda p: 2 * p["lr"] + p["dropout"] ** 2)
    told = Forest(found, axes).decompose(scores, seed=0)
    study = optuna.create_study()
    distributions = {name: distribution_of(parameter) for name, parameter in axes.items()}
    for one, score in zip(found, scores, strict=True):
        study.add_trial(
            create_trial(params=dict(one.params), distributions=distributions, value=float(score))
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = FanovaImportanceEvaluator(seed=0).evaluate(study)
    for name in AXES:
        assert told.singles[name] / told.total == pytest.approx(theirs[name], abs=0.08)


def test_an_interaction_beside_strong_single_ones() -> None:
    """What single hyperparameters explain stays in its place in the worlds it is held against."""
    space: dict[str, Parameter] = {**AXES, "batchnorm": Choice((True, False))}
    found, draws = trials(space, 80), np.random.default_rng(0)

    def told(params: Any) -> float:
        pair = 1.5 * ((params["dropout"] > 0.5) is params["batchnorm"])
        return 4 * decade(params) + pair + float(draws.normal()) / 10

    cases = Cases("value", tuple(found), tuple(scored(found, told)), {})
    importances = fanova(cases, space, list(space))
    assert [pair.names for pair in importances.pairs] == [("dropout", "batchnorm")]
    assert importances.pairs_judged == 6
    assert importances.effects[0].names == ("lr",)


def test_values_that_the_space_has_lost() -> None:
    space: dict[str, Parameter] = {
        "init": Choice(("he",)),
        "lr": Range(0.1, 1.0),
        "new": Choice((True,)),
    }
    points: list[Params] = [{"init": "zeros", "lr": 0.01}, {"init": "he", "lr": 2.0, "kernel": [3]}]
    found = [replace(trials(space, 1)[0], params=params) for params in points]
    assert tried(found, space, ["init", "lr", "kernel"]) == {
        "init": Choice(("he", "zeros")),
        "lr": Range(0.01, 2.0),
        "kernel": Choice(([3],)),
    }
    assert axes(found, space, 1).judged == ("init", "lr")
    assert axes(found, space, 1).constant == (("kernel", [3]),)
    assert axes(found, space, 2).few == (("new", 0), ("kernel", 1))


class TestTop:
    def test_is_a_fifth_and_at_least_five(self) -> None:
        assert top_count(list(range(100))) == 20
        assert top_count(list(range(20))) == NEEDED_TOP

    def test_holds_all_that_equal_the_last(self) -> None:
        assert top_count([1.0] * 9 + [0.5] * 3 + [0.0] * 28) == 9
        assert top_count([1.0] * 3 + [0.5] * 9 + [0.0] * 28) == 12

    def test_is_never_all(self) -> None:
        assert top_count([1.0] * 2 + [0.0] * 38) == 2
        assert top_count([1.0] * 40) == 0


class TestChance:
    def test_what_stands_out_is_told(self) -> None:
        null = [[0.1 + 0.01 * (k % 7), 0.2 + 0.01 * (k % 5)] for k in range(39)]
        assert p_values([0.9, 0.22], null) == [1 / 40, pytest.approx(1, abs=0.5)]

    def test_many_draws_of_nothing_tell_nothing_more_than_one_time_in_twenty(self) -> None:
        draws = np.random.default_rng(0)
        hits = 0
        for _ in range(200):
            worlds = draws.chisquare(1, size=(40, 6)).tolist()
            hits += min(p_values(worlds[0], worlds[1:])) < 0.05
        assert hits <= 20
