"""The network of a config's `model:` section: built, initialised, measured without running it."""

from cnnsearch.model.activations import Maxout
from cnnsearch.model.init import (
    glorot,
    he,
    initialise,
    normal,
    orthogonal,
    unit_variance,
    xavier,
    zeros,
)
from cnnsearch.model.network import build, weight_layers
from cnnsearch.model.shapes import (
    LayerRow,
    layer_table,
    memory_bytes,
    parameter_count,
    shape_error,
)

__all__ = [
    "LayerRow",
    "Maxout",
    "build",
    "glorot",
    "he",
    "initialise",
    "layer_table",
    "memory_bytes",
    "normal",
    "orthogonal",
    "parameter_count",
    "shape_error",
    "unit_variance",
    "weight_layers",
    "xavier",
    "zeros",
]
