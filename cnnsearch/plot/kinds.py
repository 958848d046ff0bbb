"""The table of figures."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from cnnsearch.plot.curves import curves
from cnnsearch.plot.importance import importance
from cnnsearch.plot.layers import PROFILES_HIGH, histograms_height, layers
from cnnsearch.plot.paper import Drawn
from cnnsearch.plot.parallel import parallel
from cnnsearch.plot.pictured import Asked, Pictured
from cnnsearch.plot.progress import progress
from cnnsearch.plot.scatter import pair_map, panel_columns, param

WIDE, HIGH = 8.0, 4.5
Size = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of figure.

    Args:
        draw: draws it on an empty figure or a part of one.
        title: what it shows, after the study's name.
        size: width and height of a picture of its own, inches.
    """

    draw: Callable[[Drawn, Pictured, Asked], None]
    title: str
    size: Callable[[Pictured, Asked], Size] = lambda _, __: (WIDE, HIGH)


def _param_size(pictured: Pictured, asked: Asked) -> Size:
    count = 1 if asked.x else max(1, len(pictured.varied[: asked.most]))
    columns = panel_columns(count)
    if columns == 1:
        return 7.0, HIGH
    return max(WIDE, 3.6 * columns), 1.0 + 2.8 * math.ceil(count / columns)


def _parallel_size(pictured: Pictured, asked: Asked) -> Size:
    return max(WIDE, 2.0 + 1.35 * (1 + len(pictured.varied[: asked.most]))), HIGH


def _importance_size(pictured: Pictured, _: Asked) -> Size:
    effects = pictured.importances.effects if pictured.importances else ()
    return 7.0, max(2.5, 1.4 + 0.42 * len(effects))


def _layers_size(pictured: Pictured, _: Asked) -> Size:
    probed = pictured.layers is not None and pictured.layers.probe is not None
    return 9.0, 0.4 + PROFILES_HIGH * probed + sum(map(histograms_height, pictured.histograms))


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "curves": Kind(curves, "curves"),
        "progress": Kind(progress, "best so far"),
        "param": Kind(param, "value by hyperparameter", _param_size),
        "map": Kind(pair_map, "two hyperparameters", lambda _, __: (7.0, 5.0)),
        "parallel": Kind(parallel, "parallel coordinates", _parallel_size),
        "importance": Kind(importance, "importance", _importance_size),
        "layers": Kind(layers, "signal by layer", _layers_size),
    }
)
