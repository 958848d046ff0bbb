"""Which points a search has, and which of them remain to be run."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace

from cnnsearch import catalog
from cnnsearch.config import Config
from cnnsearch.ranking import last_attempts
from cnnsearch.records import Start, State, Trial
from cnnsearch.space import Grid, point_key, random_point, trial_seed
from cnnsearch.study.samplers import draw, make_sampler


def planned(config: Config, trials: int | None = None) -> int:
    """How many points a search has.

    Args:
        trials: the total asked for with `-n`; a grid without it is run whole.
    """
    assert config.search is not None
    assert config.space is not None
    if not catalog.SAMPLERS[config.search.sampler].finite:
        assert config.search.trials is not None, "config checks this"
        return config.search.trials
    size = Grid(config.space).size
    wanted = trials or config.search.trials
    return size if wanted is None else min(wanted, size)


def places(config: Config, count: int) -> Iterable[int]:
    """The points of a search in the order they are run.

    A part of a grid is taken in an order shuffled by the seed.
    """
    assert config.search is not None
    assert config.space is not None
    if catalog.SAMPLERS[config.search.sampler].finite:
        grid = Grid(config.space)
        if count < grid.size:
            shuffled = grid.shuffled(config.seed)
            return (place for place, _ in zip(shuffled, range(count), strict=False))
    return range(count)


def remaining(
    config: Config, trials: Iterable[Trial], count: int, retry_failed: bool = False
) -> deque[Start]:
    """What has to run: each point that has not ended, with its next attempt.

    Points of tpe have no parameters yet: they depend on the trials before them.

    Args:
        trials: all attempts so far.
        count: see `planned`.
    """
    attempts = {trial.key: trial for trial in last_attempts(trials)}
    again = {State.KILLED, State.RUNNING} | ({State.FAILED} if retry_failed else set())
    found: deque[Start] = deque()
    for start in _starts(config, count):
        last = attempts.get(start.key)
        if last is None:
            found.append(start)
        elif last.state in again:
            found.append(replace(start, attempt=last.attempt + 1, params=last.params))
    return found


def _starts(config: Config, count: int) -> Iterator[Start]:
    """The first attempt of each point, in order."""
    assert config.search is not None
    assert config.space is not None
    row = catalog.SAMPLERS[config.search.sampler]
    sampler = make_sampler(row.name, config.space, config.seed)
    for k in places(config, count):
        params = {} if row.sequential else draw(sampler, None, config.space, k)
        key = point_key(params) if row.finite else str(k)
        yield Start(k, key, 1, trial_seed(config.seed, key if row.finite else k), params)


def samples(config: Config, count: int, most: int = 3) -> list[Config]:
    """Single runs from all over a search, to measure what a trial costs."""
    assert config.search is not None
    assert config.space is not None
    chosen = list(places(config, count))
    some = sorted({chosen[i * (len(chosen) - 1) // max(1, most - 1)] for i in range(most)})
    if catalog.SAMPLERS[config.search.sampler].finite:
        grid = Grid(config.space)
        return [config.at(grid[place], config.seed) for place in some]
    return [config.at(random_point(config.space, config.seed, k), config.seed) for k in some]
