"""The orders that the ranking can be shown in."""

from __future__ import annotations

from collections.abc import Sequence

from cnnsearch import ranking
from cnnsearch.records import Trial
from cnnsearch.render.trials import parameters, sort_key

RANK = "rank"
NEWEST = "newest"


def orders(searched: Sequence[str]) -> list[str]:
    """What trials can be sorted by, in the order in which a key goes through them.

    Args:
        searched: names of the hyperparameters.
    """
    return [RANK, NEWEST, "value", *parameters((), searched), "verdict", "seconds"]


def ordered(points: Sequence[Trial], order: str, direction: str, backwards: bool) -> list[int]:
    """Numbers of trials in an order; those that have no such value stand last either way.

    Args:
        order: one of `orders`. By value and by rank differ in what stands below: ranked are
            complete trials, then pruned ones and so on.
    """
    ranked = ranking.ranked(points, direction)
    if order in (RANK, NEWEST):
        trials = ranked if order == RANK else sorted(points, key=lambda one: -one.number)
        return [trial.number for trial in (reversed(trials) if backwards else trials)]
    keys = {trial.number: sort_key(trial, order) for trial in ranked}
    down = backwards is not (order == "value" and direction == "maximize")
    has = [trial for trial in ranked if keys[trial.number] != _NONE]
    has.sort(key=lambda trial: keys[trial.number], reverse=down)
    without = [trial for trial in ranked if keys[trial.number] == _NONE]
    return [trial.number for trial in (*has, *without)]


# What `sort_key` makes of a value that is missing.
_NONE = (1, 0.0, "")
