"""The samplers give the space's own points, also to any other Optuna program."""

from __future__ import annotations

import optuna
import pytest

from cnnsearch import catalog
from cnnsearch.space import Choice, Condition, Grid, Range, Space, active, random_point
from cnnsearch.study.distributions import distribution_of
from cnnsearch.study.samplers import GridSampler, RandomSampler, TPESampler, draw, make_sampler

SPACE: Space = {
    "lr": Range(1e-5, 1.0, log=True, points=4),
    "epochs": Range(1, 9, integer=True, points=3),
    "momentum": Range(0.0, 0.95, step=0.1, points=3),
    "conv": Choice(([16], [16, 32])),
    "activation": Choice(("relu", "maxout")),
    "dropout": Range(0.0, 0.5, points=2, when=(Condition("activation", ("maxout",)),)),
    "batchnorm": Choice((True, False)),
}


@pytest.fixture
def study() -> optuna.Study:
    return optuna.create_study()


def test_random_points_are_those_of_the_space(study: optuna.Study) -> None:
    sampler = RandomSampler(SPACE, seed=3)
    for k in range(50):
        assert draw(sampler, study, SPACE, k) == random_point(SPACE, 3, k)


def test_grid_points_are_those_of_the_grid(study: optuna.Study) -> None:
    sampler, grid = GridSampler(SPACE, seed=3), Grid(SPACE)
    for place in range(len(grid)):
        assert draw(sampler, study, SPACE, place) == grid[place]


@pytest.mark.parametrize("name", catalog.SAMPLERS)
def test_points_lie_in_the_space(name: str, study: optuna.Study) -> None:
    sampler = make_sampler(name, SPACE, seed=1)
    for k in range(30):
        point = draw(sampler, study, SPACE, k)
        for key, parameter in SPACE.items():
            assert (key in point) == active(parameter, point)
            if key in point and isinstance(parameter, Choice):
                assert point[key] in parameter.choices
            elif key in point:
                assert isinstance(parameter, Range)
                assert parameter.low <= point[key] <= parameter.high  # type: ignore[operator]


@pytest.mark.parametrize("kind", [RandomSampler, GridSampler, TPESampler])
def test_any_optuna_program_can_use_them(kind: type[optuna.samplers.BaseSampler]) -> None:
    space: Space = {"lr": Range(1e-3, 1.0, log=True, points=3), "init": Choice(("he", "xavier"))}

    def objective(trial: optuna.Trial) -> float:
        lr = trial.suggest_float("lr", 1e-3, 1.0, log=True)
        init = trial.suggest_categorical("init", ["he", "xavier"])
        return lr + len(init)

    study = optuna.create_study(sampler=kind(space, 0))  # type: ignore[call-arg]
    study.optimize(objective, n_trials=6)
    points = {(t.params["lr"], t.params["init"]) for t in study.trials}
    assert len(points) == 6  # the grid's whole product, or six different draws
    if kind is RandomSampler:
        assert [t.params for t in study.trials] == [random_point(space, 0, k) for k in range(6)]


def test_tpe_learns_and_depends_on_seed_and_history_alone() -> None:
    space: Space = {"lr": Range(1e-5, 1.0, log=True)}

    def run(seed: int) -> list[float]:
        storage = optuna.storages.InMemoryStorage()
        optuna.create_study(storage=storage, study_name="learning")
        found = []
        for k in range(40):
            # A new sampler and study for each point, as after a restart.
            study = optuna.load_study(storage=storage, study_name="learning")
            point = draw(TPESampler(space, seed), study, space, k)
            lr = point["lr"]
            assert isinstance(lr, float)
            found.append(lr)
            study.add_trial(
                optuna.trial.create_trial(
                    params={"lr": lr},
                    distributions={"lr": distribution_of(space["lr"])},
                    value=abs(lr - 1e-3) / 1e-3,
                )
            )
        return found

    first = run(0)
    assert first == run(0)
    assert first != run(1)
    near = [1e-4 < lr < 1e-2 for lr in first]
    assert sum(near[-15:]) >= 12 > sum(near[:15])
