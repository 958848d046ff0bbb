"""Which points a search has, and which of them remain to be run."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import count as count_from
from itertools import islice

from cnnsearch import catalog
from cnnsearch.config import Config
from cnnsearch.ranking import last_attempts
from cnnsearch.records import Start, State, Trial
from cnnsearch.space import Grid, point_key, random_point, trial_seed
from cnnsearch.study.samplers import draw, make_sampler

# Of a long search so many points are looked at for samples.
_LOOKED_AT = 1000


def planned(config: Config, trials: int | None = None) -> int:
    """How many points a search has.

    Args:
        trials: the total asked for with `-n`; a grid without it is run whole.
    """
    assert config.search is not None
    size = size_of_grid(config)
    if size is not None:
        return size if trials is None else min(trials, size)
    assert config.search.trials is not None, "config checks this"
    return config.search.trials


def size_of_grid(config: Config) -> int | None:
    """How many points there are at most; None where a search draws as many as it is asked for."""
    assert config.search is not None
    assert config.space is not None
    finite = catalog.SAMPLERS[config.search.sampler].finite
    return Grid(config.space).size if finite else None


def remaining(
    config: Config, trials: Iterable[Trial], count: int, retry_failed: bool = False
) -> deque[Start]:
    """What has to run: each point that has not ended, with its next attempt.

    Args:
        trials: all attempts so far.
        count: number of points in all, those that have ended included; see `planned`.
    """
    last = {trial.key: trial for trial in last_attempts(trials)}
    again = {State.KILLED, State.RUNNING} | ({State.FAILED} if retry_failed else set())
    old = [
        Start(trial.point, trial.key, trial.attempt + 1, trial.seed, trial.params)
        for trial in last.values()
        if trial.state in again
    ]
    unseen = (start for start in _starts(config, count) if start.key not in last)
    new = islice(unseen, max(0, count - len(last)))
    room = max(0, count - (len(last) - len(old)))
    return deque([*old[:room], *_numbered(new, {trial.point for trial in last.values()})])


def _numbered(starts: Iterable[Start], taken: set[int]) -> Iterator[Start]:
    """New points, with free numbers where a grid has grown and their places are taken."""
    free = count_from(max(taken, default=-1) + 1)
    for start in starts:
        point = start.point if start.point not in taken else next(free)
        while point in taken:
            point = next(free)
        taken.add(point)
        yield replace(start, point=point)


def _starts(config: Config, count: int) -> Iterator[Start]:
    """The first attempt of each point, in the order they are run.

    A part of a grid is taken in an order shuffled by the seed. Points of tpe have no parameters
    yet: they depend on the trials before them.
    """
    assert config.search is not None
    assert config.space is not None
    row = catalog.SAMPLERS[config.search.sampler]
    places: Iterable[int] = range(count)
    if row.finite and count < (grid := Grid(config.space)).size:
        places = grid.shuffled(config.seed)
    sampler = make_sampler(row.name, config.space, config.seed)
    for k in places:
        params = {} if row.sequential else draw(sampler, None, config.space, k)
        key = point_key(params) if row.finite else str(k)
        yield Start(k, key, 1, trial_seed(config.seed, key if row.finite else k), params)


def samples(config: Config, count: int, most: int = 3) -> list[Config]:
    """Single runs that stand for a search, to measure what a trial costs.

    Those at even places when all are ordered by what decides their cost.
    """
    assert config.search is not None
    assert config.space is not None
    runs = []
    for k, start in enumerate(islice(_starts(config, count), min(count, _LOOKED_AT))):
        params = start.params or random_point(config.space, config.seed, k)
        runs.append(config.at(params, start.seed))
    runs.sort(key=_cost)
    few = min(most, len(runs))
    return [runs[len(runs) * (2 * i + 1) // (2 * few)] for i in range(few)]


def _cost(run: Config) -> tuple[int | float | str | bool, ...]:
    """What decides the time of a trial; the learning rate, as a high one ends it early."""
    train, model = run.train, run.model
    sizes = (sum(model.conv), sum(model.hidden), model.kernel)
    layers = (model.activation, model.batchnorm)
    return (train.epochs, train.batch_size, *sizes, *layers, train.lr)
