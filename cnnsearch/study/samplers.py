"""The samplers, as Optuna's `BaseSampler`s: any Optuna program can use them.

The point is the trial's number there, or the trial's attribute `point` where it has one.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial

from cnnsearch import catalog
from cnnsearch.records import Value
from cnnsearch.space import Grid, Space, active, trial_seed, unit
from cnnsearch.study.attributes import POINT, unfolded
from cnnsearch.study.distributions import distribution_of, from_optuna, parameter_of, to_optuna


class PointSampler(BaseSampler):
    """A sampler whose point k does not depend on other trials, in whatever order they are asked."""

    def infer_relative_search_space(
        self,
        study: optuna.Study,  # noqa: ARG002
        trial: FrozenTrial,  # noqa: ARG002
    ) -> dict[str, BaseDistribution]:
        """Nothing is drawn jointly: every parameter is independent of the others."""
        return {}

    def sample_relative(
        self,
        study: optuna.Study,  # noqa: ARG002
        trial: FrozenTrial,  # noqa: ARG002
        search_space: dict[str, BaseDistribution],  # noqa: ARG002
    ) -> dict[str, Any]:
        """See `infer_relative_search_space`."""
        return {}


class RandomSampler(PointSampler):
    """Each parameter from a hash of (seed, k, its name)."""

    def __init__(self, space: Space, seed: int) -> None:  # noqa: ARG002
        self._seed = seed

    def sample_independent(
        self,
        study: optuna.Study,  # noqa: ARG002
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Draw one parameter of the trial's point."""
        return parameter_of(param_distribution).at(unit(self._seed, _point(trial), param_name))


class GridSampler(PointSampler):
    """Point k is place k of the grid's product."""

    def __init__(self, space: Space, seed: int) -> None:  # noqa: ARG002
        self._grid = Grid(space)

    def sample_independent(
        self,
        study: optuna.Study,  # noqa: ARG002
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,  # noqa: ARG002
    ) -> Any:
        """One parameter of the trial's place; places repeat after the grid's end."""
        return to_optuna(self._grid[_point(trial) % len(self._grid)][param_name])


class TPESampler(BaseSampler):
    """Optuna's TPE, drawn anew for each point with the seed (seed, k).

    Trials that run count as bad (constant liar), so that parallel workers do not get one point.
    Each parameter on its own: Optuna's joint TPE leaves a note on the trial that it draws for, and
    a point is drawn here before its trial exists, so that a crash leaves no trial without one.
    """

    def __init__(self, space: Space, seed: int) -> None:  # noqa: ARG002
        self._seed = seed
        self._point = -1
        self._tpe = self._seeded(seed)

    def _at(self, trial: FrozenTrial) -> optuna.samplers.TPESampler:
        if _point(trial) != self._point:
            self._point = _point(trial)
            seed = trial_seed(self._seed, f"tpe {self._point}")
            self._tpe = self._seeded(seed)
        return self._tpe

    def _seeded(self, seed: int) -> optuna.samplers.TPESampler:
        return optuna.samplers.TPESampler(seed=seed, constant_liar=True, multivariate=False)

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """As Optuna's TPE."""
        return self._at(trial).infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """As Optuna's TPE."""
        return self._at(trial).sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """As Optuna's TPE."""
        return self._at(trial).sample_independent(study, trial, param_name, param_distribution)


def make_sampler(name: str, space: Space, seed: int) -> BaseSampler:
    """The sampler of a row of the catalog."""
    sampler = pkgutil.resolve_name(catalog.SAMPLERS[name].target)(space, seed)
    assert isinstance(sampler, BaseSampler)
    return sampler


def draw(
    sampler: BaseSampler, study: optuna.Study | None, space: Space, k: int
) -> dict[str, Value]:
    """The parameters of point `k`, in the order of the space, without creating a trial.

    Args:
        study: the trials so far; samplers whose points do not depend on them need none.
    """
    trial = optuna.trial.create_trial(state=optuna.trial.TrialState.RUNNING, user_attrs={POINT: k})
    params: dict[str, Value] = {}
    for name, parameter in space.items():
        if active(parameter, params):
            value = sampler.sample_independent(
                study,  # type: ignore[arg-type]  # None only where it is not looked at
                trial,
                name,
                distribution_of(parameter),
            )
            params[name] = from_optuna(value, parameter)
    return params


def optuna_distributions(space: Space) -> Mapping[str, BaseDistribution]:
    """The distribution of each parameter of a space."""
    return {name: distribution_of(parameter) for name, parameter in space.items()}


def _point(trial: FrozenTrial) -> int:
    return int(unfolded(trial.user_attrs).get(POINT, trial.number))
