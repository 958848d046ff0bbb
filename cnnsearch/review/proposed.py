"""Another range for a hyperparameter, as it has to be written for the search to load."""

from __future__ import annotations

from dataclasses import replace

from cnnsearch.catalog import SAMPLERS
from cnnsearch.config.config import Config
from cnnsearch.space import Choice, Parameter, Range

# Values that a grid takes of a range where the file does not say how many.
_POINTS = 6


def logarithmic(old: Parameter | float, low: float, high: float, config: Config) -> Range:
    """From low to high in the log scale, with the conditions of what stood there before.

    For a grid with as many values as it took so far, or six; a step is left out, as it cannot be
    written beside log.

    Args:
        old: of the space, or a fixed value.
        config: of the search that is to have it.
    """
    sampler = SAMPLERS[config.search.sampler] if config.search is not None else None
    points = None
    if sampler is not None and sampler.finite:
        points = _POINTS if isinstance(old, float | int) else max(2, old.grid_size())
    if isinstance(old, Range):
        points = points or old.points
        return replace(old, low=low, high=high, log=True, step=None, points=points)
    when = old.when if isinstance(old, Choice) else ()
    return Range(low, high, log=True, points=points, when=when)
