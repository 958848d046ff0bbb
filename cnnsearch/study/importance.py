"""Importance of hyperparameters by Optuna's PED-ANOVA, with how sure it is.

PED-ANOVA (S. Watanabe, A. Bansal, F. Hutter 2023) compares where the best trials lie on each axis
with where all lie; in Optuna 5 a conditional hyperparameter is compared where it is active.
"""

from __future__ import annotations

import math
import random
import warnings
from collections.abc import Mapping, Sequence

import optuna
from optuna.distributions import BaseDistribution
from optuna.importance import PedAnovaImportanceEvaluator
from optuna.trial import FrozenTrial, create_trial

from cnnsearch.records import Trial
from cnnsearch.review.association import p_values, ranks
from cnnsearch.review.importance import (
    HALVES,
    Cases,
    Effect,
    Importances,
    interval,
    top_count,
)
from cnnsearch.review.tried import tried
from cnnsearch.space import Space
from cnnsearch.study.distributions import distribution_of, to_optuna

optuna.logging.set_verbosity(optuna.logging.ERROR)


def ped_anova(cases: Cases, space: Space, names: Sequence[str]) -> Importances:
    """How far each hyperparameter separates the best trials from all.

    Args:
        space: what the study searches.
        names: hyperparameters to judge, see `cnnsearch.review.tried.axes`.
    """
    model = _Model(cases.trials, tried(cases.trials, space, names))
    draws = random.Random(0)
    top = top_count(cases.scores)
    share = top / len(cases.scores)
    halves = [
        _shares(model.divergences(_half(cases.scores, draws), names, share), names)
        for _ in range(HALVES)
    ]
    shares = _shares(model.divergences(cases.scores, names), names)
    # Optuna's divergence of a choice depends more on which values are among the best than on how
    # often they are, so chance is told by the ranks of the trials instead.
    chance = p_values([trial.params for trial in cases.trials], ranks(cases.scores), names)
    effects = []
    for i, (name, p) in enumerate(zip(names, chance, strict=True)):
        low, high = interval(shares[i], [half[i] for half in halves])
        active = sum(name in trial.params for trial in cases.trials)
        effects.append(Effect((name,), shares[i], low, high, p, active))
    effects.sort(key=lambda effect: -effect.share)
    return Importances("ped-anova", cases, tuple(effects), top=top)


class _Model:
    """The trials in a study of Optuna in memory, whose target is told anew at each question."""

    def __init__(self, trials: Sequence[Trial], space: Space) -> None:
        distributions = {name: distribution_of(parameter) for name, parameter in space.items()}
        self._study = optuna.create_study()
        for trial in trials:
            self._study.add_trial(_frozen(trial, distributions))
        for frozen in self._study.get_trials(deepcopy=False):
            # The very same objects: Optuna asks of each trial whether they are equal, which is
            # two thirds of the time with the copies that it has made.
            frozen.distributions = {name: distributions[name] for name in frozen.params}

    def divergences(
        self, scores: Sequence[float], names: Sequence[str], share: float | None = None
    ) -> Mapping[str, float]:
        """The divergence of each hyperparameter, 0 or more.

        Args:
            scores: by trial; a NaN leaves the trial out.
            share: see `top_count`.
        """
        finite = [score for score in scores if not math.isnan(score)]
        top = top_count(finite, share)
        if top == 0:
            return dict.fromkeys(names, 0.0)
        # Half a trial less: Optuna rounds up, and 0.3 * 10 is more than 3.
        evaluator = PedAnovaImportanceEvaluator(target_quantile=(top - 0.5) / len(finite))
        with warnings.catch_warnings():
            # That low targets are taken for good ones, and that a half holds few trials.
            warnings.simplefilter("ignore")
            found = evaluator.evaluate(
                self._study, list(names), target=lambda trial: -scores[trial.number]
            )
        return {name: float(value) for name, value in found.items()}


def _frozen(trial: Trial, distributions: Mapping[str, BaseDistribution]) -> FrozenTrial:
    params = {name: value for name, value in trial.params.items() if name in distributions}
    return create_trial(
        params={name: to_optuna(value) for name, value in params.items()},
        distributions={name: distributions[name] for name in params},
        value=0.0,
    )


def _shares(raw: Mapping[str, float], names: Sequence[str]) -> list[float]:
    total = math.fsum(raw.values())
    return [raw[name] / total if total > 0 else 0.0 for name in names]


def _half(scores: Sequence[float], draws: random.Random) -> list[float]:
    """The scores of half the trials, NaN of the others."""
    chosen = set(draws.sample(range(len(scores)), len(scores) // 2))
    return [score if i in chosen else math.nan for i, score in enumerate(scores)]
